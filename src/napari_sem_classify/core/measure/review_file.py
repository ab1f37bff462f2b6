"""A review as a JSON file, to pause and to go on later."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.files import write_json
from napari_sem_classify.core.measure.review import (
    SKIPPED,
    UNSURE,
    Answer,
    Review,
    ReviewCell,
    ReviewedMap,
)
from napari_sem_classify.core.model.card import ClassInfo

FORMAT = "napari-sem-classify review"
FORMAT_VERSION = 1


def save_review(review: Review, path: Path) -> None:
    """Write a review, all of it or nothing.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    value = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "seed": review.seed,
        "blind": review.blind,
        "classes": [asdict(each) for each in review.classes],
        "images": [
            {"name": m.name, "plane": m.plane, "map_sha256": m.sha256} for m in review.images
        ],
        "stratum_cells": review.stratum_cells,
        "stratum_area_px": review.stratum_area_px,
        "columns": ["image", "row", "col", "map_class", "area_px", "answer"],
        "cells": [astuple(cell) for cell in review.cells],
    }
    write_json(path, value)


def load_review(path: Path) -> Review:
    """Open a review.

    Raises
    ------
    AnnotationError
        When the file is missing, damaged, of a newer format or something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnnotationError(f"The review {path} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise AnnotationError(f"{path} is no review of this program: choose another file.")
    if value.get("format_version") != FORMAT_VERSION:
        raise AnnotationError(
            f"{path} has review format {value.get('format_version')}, and this program reads "
            f"{FORMAT_VERSION}: update napari-sem-classify."
        )
    try:
        return _parse(value)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise AnnotationError(f"The review {path} is damaged ({error!r}).") from error


def _parse(value: dict[str, Any]) -> Review:
    classes = tuple(ClassInfo(str(c["name"]), str(c["colour"])) for c in value["classes"])
    images = tuple(
        ReviewedMap(str(m["name"]), tuple(int(i) for i in m["plane"]), str(m["map_sha256"]))
        for m in value["images"]
    )
    numbers = [tuple(int(n) for n in value[key]) for key in ("stratum_cells", "stratum_area_px")]
    if any(len(each) != len(classes) for each in numbers):
        raise ValueError("not as many strata as classes")
    cells = []
    for image, row, col, map_class, area, answer in value["cells"]:
        cell = ReviewCell(
            int(image), int(row), int(col), int(map_class), int(area), _answer(answer, classes)
        )
        if not (0 <= cell.image < len(images) and 1 <= cell.map_class <= len(classes)):
            raise ValueError("a cell of an image or class that is not there")
        cells.append(cell)
    blind = value.get("blind")  # not in files of the first versions
    if not (blind is None or isinstance(blind, bool)):
        raise ValueError(f"{blind!r} does not say whether the review was blind")
    return Review(classes, images, int(value["seed"]), numbers[0], numbers[1], tuple(cells), blind)


def _answer(value: Any, classes: tuple[ClassInfo, ...]) -> Answer | None:
    known: tuple[Answer | None, ...] = (None, UNSURE, SKIPPED)
    if value not in known and not (isinstance(value, int) and 1 <= value <= len(classes)):
        raise ValueError(f"{value!r} is no answer")
    answer: Answer | None = value
    return answer
