"""A comparison as files: JSON, CSV, and a page with the article's table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from napari_sem_classify.core.classify.record import run_record
from napari_sem_classify.core.common.files import write_json, write_text
from napari_sem_classify.core.common.html_page import data_table, page
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.evaluate_report import write_rows
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.compare import PUBLISHED, ComparedRow, class_table

_COLUMNS = ("accuracy", "macro_precision", "macro_recall", "macro_f1")


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
    data: TrainingSet, split: Split, rows: Sequence[ComparedRow], device: str, folder: Path
) -> list[Path]:
    """Write ``comparison`` as .json, .csv and .html; gives the files written.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    value = comparison(data, split, rows, device)
    paths = [folder / f"comparison.{ending}" for ending in ("json", "csv", "html")]
    write_json(paths[0], value)
    keys = ("method", "seed", *_COLUMNS, "weighted_f1", "minutes", "problem")
    write_rows(paths[1], [{key: row.get(key) for key in keys} for row in value["rows"]])
    write_text(paths[2], _html(value))
    return paths


def _html(value: dict[str, Any]) -> str:
    head = ["Method", "seed", "accuracy", "precision", "recall", "F1", "minutes"]
    mine = [_cells(row) for row in value["rows"]]
    published = [_cells(row) for row in value["published"]]
    classes = [
        [escape(row["class"]), *(str(row[key]) for key in ("images", "train", "valid", "test"))]
        for row in value["classes"]
    ]
    problems = "".join(
        f'<p class="note">{escape(row["method"])}: {escape(row["problem"])}</p>'
        for row in value["rows"]
        if row["problem"]
    )
    split = value["split"]
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*value["notes"], *split["notes"]))
    return page(
        "Comparison of ways to train",
        [
            "<h1>Comparison of ways to train</h1>",
            f"<p>One split for all, {escape(split['how'])}; precision, recall and F1 are means "
            f"over the classes. On {escape(value['record']['device'])}.</p>",
            data_table(head, mine) + problems,
            "<h2>Published, on other images</h2>",
            data_table(head, published),
            '<p class="note">Ten classes of NFFA-EUROPE, split at random, so that near-duplicates '
            "lie on both sides.</p>",
            "<h2>Classes</h2>",
            data_table(["Class", "images", "to learn", "to choose", "to score"], classes),
            f"<p>A random split would have shown the model "
            f"{100 * split['leak_of_a_random_split']:.0f} % of the held-out images beforehand.</p>",
            f"<ul>{notes}</ul>" if notes else "",
        ],
    )


def _cells(row: dict[str, Any]) -> list[str]:
    seed = row.get("seed")
    minutes = row.get("minutes")
    numbers = [row.get(key) for key in _COLUMNS]
    return [
        escape(row["method"]),
        "" if seed is None else str(seed),
        *("–" if number is None else f"{number:.3f}" for number in numbers),
        "–" if minutes is None else f"{minutes:.1f}",
    ]
