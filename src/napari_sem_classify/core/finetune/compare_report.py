"""A comparison as files: JSON, CSV, and a page with the article's table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_sem_classify.core.classify.record import run_record
from napari_sem_classify.core.common.files import write_json, write_text
from napari_sem_classify.core.common.html_page import render
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.evaluate_report import write_rows
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.compare import PUBLISHED, ComparedRow, class_table

COLUMNS = ("method", "seed", "accuracy", "precision", "recall", "F1", "minutes")
_SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")


def comparison(
    data: TrainingSet, split: Split, rows: Sequence[ComparedRow], device: str
) -> dict[str, Any]:
    """Everything that was found, as plain values."""
    return {
        "rows": [row.to_dict() for row in rows],
        "published": [dict(row) for row in PUBLISHED],
        "classes": class_table(data, split),
        "split": split.to_dict(),
        "notes": list(data.notes),
        "record": {**run_record(job="compare"), "device": device, "data": data.fingerprint()},
    }


def write_comparison(
    data: TrainingSet,
    split: Split,
    rows: Sequence[ComparedRow],
    device: str,
    out: Path | OutputFolder,
) -> list[Path]:
    """Write ``comparison`` as .json, .csv and .html; gives the files written.

    The folder is made when it is not there. Where one of the names is the user's, all get another
    start.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    value = comparison(data, split, rows, device)
    names = [f"comparison.{ending}" for ending in ("json", "csv", "html")]
    keys = ("method", "seed", *_SCORES, "weighted_f1", "minutes", "problem")
    with output_folder(out) as folder, folder.staging() as staging:
        as_json, table, html = (staging / name for name in names)
        write_json(as_json, value)
        write_rows(table, [{key: row.get(key) for key in keys} for row in value["rows"]])
        write_text(html, _html(value))
        places = folder.put(staging, "comparison")
    return [places[name] for name in names]


def _html(value: dict[str, Any]) -> str:
    keys = ("class", "images", "train", "valid", "test")
    return render(
        "finetune/compare_report.html",
        title="Comparison of ways to train",
        split=value["split"],
        record=value["record"],
        rows=value["rows"],
        head=[COLUMNS[0].capitalize(), *COLUMNS[1:]],
        mine=[cells_of(row) for row in value["rows"]],
        published=[cells_of(row) for row in value["published"]],
        classes=[[row[key] for key in keys] for row in value["classes"]],
        notes=[*value["notes"], *value["split"]["notes"]],
    )


def cells_of(row: dict[str, Any]) -> list[str]:
    """A row of a `comparison` as text, under `COLUMNS`."""
    seed, minutes = row.get("seed"), row.get("minutes")
    numbers = [row.get(key) for key in _SCORES]
    return [
        row["method"],
        "" if seed is None else str(seed),
        *("–" if number is None else f"{number:.3f}" for number in numbers),
        "–" if minutes is None else f"{minutes:.1f}",
    ]
