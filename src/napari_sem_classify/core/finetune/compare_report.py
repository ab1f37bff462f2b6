"""A comparison as files: JSON, CSV, and a page with the article's table beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_sem_classify.core.classify.record import run_record
from napari_sem_classify.core.common.files import write_json, write_text
from napari_sem_classify.core.common.html_page import render
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.evaluate_report import write_rows
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.comparison import (
    PUBLISHED,
    RANDOM,
    SCORES,
    ComparedRow,
    class_table,
)

COLUMNS = (
    "method",
    "split",
    "seed",
    "accuracy",
    "macro P",
    "macro R",
    "macro F1",
    "weighted P",
    "weighted F1",
    "minutes",
)
"""P is precision, R recall; recall weighted by images is the accuracy."""


def comparison(
    data: TrainingSet, splits: Mapping[str, Split], rows: Sequence[ComparedRow], device: str
) -> dict[str, Any]:
    """Everything that was found, as plain values."""
    return {
        "rows": [row.to_dict() for row in rows],
        "published": [dict(row) for row in PUBLISHED],
        "splits": {
            name: {**split.to_dict(), "classes": class_table(data, split)}
            for name, split in splits.items()
        },
        "notes": list(data.notes),
        "record": {**run_record(job="compare"), "device": device, "data": data.fingerprint()},
    }


def write_comparison(value: Mapping[str, Any], out: Path | OutputFolder) -> list[Path]:
    """Write a `comparison` as .json, .csv and .html; gives the files written.

    The folder is made when it is not there. Where one of the names is the user's, all get another
    start.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    names = [f"comparison.{ending}" for ending in ("json", "csv", "html")]
    with output_folder(out) as folder, folder.staging() as staging:
        as_json, table, html = (staging / name for name in names)
        write_json(as_json, value)
        write_rows(table, [_csv_row(row) for row in value["rows"]])
        write_text(html, _html(value))
        places = folder.put(staging, "comparison")
    return [places[name] for name in names]


def _csv_row(row: Mapping[str, Any]) -> dict[str, Any]:
    intervals = row.get("intervals_95", {})
    scores = {
        name: value
        for key in SCORES
        for name, value in zip(
            (key, f"{key}_low", f"{key}_high"),
            (row.get(key), *intervals.get(key, (None, None))),
            strict=True,
        )
    }
    how = {key: row[key] for key in ("method", "split", "seed")}
    return how | scores | {"minutes": row["minutes"], "problem": row["problem"]}


def _html(value: Mapping[str, Any]) -> str:
    keys = ("class", "images", "train", "valid", "test")
    splits = {
        name: {**split, "classes": [[row[key] for key in keys] for row in split["classes"]]}
        for name, split in value["splits"].items()
    }
    return render(
        "finetune/compare_report.html",
        title="Comparison of ways to train",
        splits=splits,
        at_random=RANDOM,
        record=value["record"],
        rows=value["rows"],
        head=[COLUMNS[0].capitalize(), *COLUMNS[1:]],
        mine=[_with_intervals(row) for row in value["rows"]],
        published=[cells_of(row) for row in value["published"]],
        notes=[*value["notes"], *(note for each in splits.values() for note in each["notes"])],
    )


def cells_of(row: Mapping[str, Any]) -> list[str]:
    """A row of a `comparison` as text, under `COLUMNS`."""
    seed, minutes = row.get("seed"), row.get("minutes")
    numbers = [row.get(key) for key in SCORES]
    return [
        row["method"],
        row["split"],
        "" if seed is None else str(seed),
        *("–" if number is None else f"{number:.3f}" for number in numbers),
        "–" if minutes is None else f"{minutes:.1f}",
    ]


def intervals_of(row: Mapping[str, Any]) -> list[str]:
    """The 95 % intervals of a row as text, under `COLUMNS`; all empty where it has none."""
    found = row.get("intervals_95", {})
    texts = [f"{found[key][0]:.2f}–{found[key][1]:.2f}" if key in found else "" for key in SCORES]
    return ["", "", "", *texts, ""]


def _with_intervals(row: Mapping[str, Any]) -> list[str]:
    pairs = zip(cells_of(row), intervals_of(row), strict=True)
    return [f"{cell} ({interval})" if interval else cell for cell, interval in pairs]
