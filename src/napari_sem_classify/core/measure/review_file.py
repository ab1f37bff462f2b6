"""A review as a JSON file, to pause and to go on later."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.checked import (
    LARGEST,
    Fields,
    Malformed,
    is_whole,
    read_json,
    shown,
)
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
from napari_sem_classify.core.model.card import MOST_CLASSES, class_dict, classes_from

FORMAT = "napari-sem-classify review"
FORMAT_VERSION = 1
_MOST = 2**62


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
        "points": review.points,
        "classes": [class_dict(each) for each in review.classes],
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
        value = read_json(path)
    except OSError as error:
        raise AnnotationError(f"The review {path} cannot be read ({error.strerror}).") from error
    except Malformed as error:
        message = f"{path} is no review of this program ({error}): choose another file."
        raise AnnotationError(message) from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise AnnotationError(f"{path} is no review of this program: choose another file.")
    version = value.get("format_version")
    if version != FORMAT_VERSION:
        raise AnnotationError(
            f"{path} has review format {shown(version)}, and this program reads "
            f"{FORMAT_VERSION}: update napari-sem-classify."
        )
    try:
        return _review(Fields(value))
    except Malformed as error:
        raise AnnotationError(
            f"The review {path} is damaged ({error}): take a copy of it from before, or begin anew."
        ) from error


def _review(told: Fields) -> Review:
    classes = classes_from(told.objects("classes", MOST_CLASSES), least=2)
    images = tuple(
        ReviewedMap(each.text("name"), each.wholes("plane", 0, _MOST), each.text("map_sha256"))
        for each in told.objects("images")
    )
    cells = tuple(_cell(each, len(images), len(classes)) for each in told.items("cells"))
    # Not in files of the first versions.
    blind = told.flag("blind") if told.has("blind") else None
    points = told.flag("points") if told.has("points") else False
    count = len(classes)
    return Review(
        classes,
        images,
        told.whole("seed", -LARGEST, LARGEST),
        told.wholes("stratum_cells", 0, _MOST, count=count),
        told.wholes("stratum_area_px", 0, _MOST, count=count),
        cells,
        blind,
        points,
    )


def _cell(value: Any, n_images: int, n_classes: int) -> ReviewCell:
    if not (isinstance(value, list) and len(value) == 6):
        raise Malformed(f"a cell is {shown(value)}, not a list of 6")
    image, row, col, map_class, area, answer = value
    ranges = ((0, n_images - 1), (0, _MOST), (0, _MOST), (1, n_classes), (0, _MOST))
    for number, (low, high) in zip(value[:5], ranges, strict=True):
        if not is_whole(number, low, high):
            raise Malformed(f"a cell holds {shown(number)}, not a whole number {low} to {high}")
    known: tuple[Answer | None, ...] = (None, UNSURE, SKIPPED)
    if answer not in known and not is_whole(answer, 1, n_classes):
        raise Malformed(f"a cell has the answer {shown(answer)}")
    return ReviewCell(image, row, col, map_class, area, answer)
