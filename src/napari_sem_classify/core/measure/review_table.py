"""A review without a viewer: the cells as a table and pictures, the answers from a table or a mask.

The table does not tell what the map says of a cell, so that the reviewer is not led. Points of
outlines are cells of one pixel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import Malformed, shown
from napari_sem_classify.core.common.csv_text import cell_text, cell_value, csv_text, read_csv
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.files import atomic_path, write_text
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.review import UNSURE, Answer, Review, check_review

COLUMNS = ("cell", "image", "plane", "y", "x", "height", "width", "answer")
_NUMBER = re.compile("[0-9]{1,9}")
PICTURE_PX = 480
CONTEXT = 3.0
"""Side of a picture in cells or tiles, whichever is larger."""
POINT_CONTEXT = 1.5
"""The same of a point: nearer, since what counts is a pixel."""
CROSS_PX, GAP_PX = 10, 3
"""How far a cross reaches, and how much around its point stays free, in image px."""


def write_review_table(review: Review, maps: Sequence[ClassMap], path: Path) -> None:
    """Write the cells as a CSV: where each lies in its image in pixels, and the answer so far.

    Raises
    ------
    AnnotationError
        When the maps are not those of the review.
    OutputError
        When the file cannot be written.
    """
    check_review(review, maps)
    rows: list[list[Any]] = []
    for number, cell in enumerate(review.cells, start=1):
        place = maps[cell.image].grid.cell(cell.row, cell.col)
        known = review.images[cell.image]
        plane = "/".join(str(index) for index in known.plane)
        box = (place.top, place.left, place.height, place.width)
        rows.append([number, known.name, plane, *box, _text(review, cell.answer)])
    write_text(path, csv_text(COLUMNS, rows))


def read_review_table(review: Review, path: Path) -> Review:
    """Take the answers of a table that a person filled: class names, "unsure", or nothing.

    Raises
    ------
    AnnotationError
        When it cannot be read or is not the table of this review, or an answer is no class.
    """
    rows = _rows(path)
    names = {info.name.strip().lower(): k for k, info in enumerate(review.classes, start=1)}
    if len({row["cell"] for row in rows}) < len(rows):
        raise AnnotationError(f"{path} names a cell twice: keep one row a cell.")
    for row in rows:
        index = int(row["cell"]) - 1 if _NUMBER.fullmatch(row["cell"]) else -1
        if not 0 <= index < len(review.cells):
            raise AnnotationError(
                f"{path} has the cell {shown(row['cell'])}, which this review has not: use the "
                "table that was written with it."
            )
        known = review.images[review.cells[index].image]
        written = cell_value(cell_text(known.name))
        if row.get("image", written) != written:
            raise AnnotationError(f"{path} is the table of another review: its images differ.")
        text = row["answer"].strip().lower()
        answer: Answer | None = UNSURE if text == UNSURE else names.get(text)
        if text and answer is None:
            listed = ", ".join([*(info.name for info in review.classes), UNSURE])
            raise AnnotationError(
                f"{path}, cell {index + 1}: {shown(row['answer'])} is no class: write {listed}, or "
                "nothing."
            )
        review = review.with_answer(index, answer)
    return review


def answer_from_masks(
    review: Review,
    maps: Sequence[ClassMap],
    masks: Sequence[NDArray[Any]],
    classes: Mapping[int, str],
    contains: Mapping[int, float] | None = None,
) -> Review:
    """Answer every cell from label images: what covers most of it.

    Parameters
    ----------
    review, maps
        Those that belong together, see `check_review`.
    masks : sequence of integer arrays, shape (rows, cols)
        One a map, in pixels of its image.
    classes : mapping of int to str
        Values of the masks and the classes that they mean. Where other values cover most of a cell
        it is unsure.
    contains : mapping of int to float, optional
        Value of a class that a cell has as soon as so much of it (0 to 1) is of the class.

    Raises
    ------
    AnnotationError
        When masks and maps do not fit, or a class of the review has no value.
    """
    check_review(review, maps)
    if len(masks) != len(maps):
        raise AnnotationError(
            f"There are {len(maps)} class maps and {len(masks)} label images: give one for each."
        )
    numbers = {info.name: k for k, info in enumerate(review.classes, start=1)}
    if set(numbers) != set(classes.values()):
        raise AnnotationError(
            f"The map has the classes {', '.join(numbers)} and the label values name "
            f"{', '.join(classes.values())}: name the same ones."
        )
    for class_map, mask in zip(maps, masks, strict=True):
        area = class_map.grid.area
        if mask.shape[0] < area.bottom or mask.shape[1] < area.right:
            raise AnnotationError(
                f"The labels of {class_map.image_name} are {mask.shape[1]} × {mask.shape[0]} px, "
                "which does not cover its map: give labels of the image's own size."
            )
    for index, cell in enumerate(review.cells):
        place = maps[cell.image].grid.cell(cell.row, cell.col)
        part = masks[cell.image][place.top : place.bottom, place.left : place.right]
        name = _most_of(part, classes, contains or {})
        review = review.with_answer(index, UNSURE if name is None else numbers[name])
    return review


def write_cell_pictures(
    review: Review, maps: Sequence[ClassMap], images: Sequence[SemImage | None], folder: Path
) -> int:
    """Write a picture of each cell and around it, named by its number: ``cell_0001.png``.

    There is one image a map; a cell without its image gets no picture. Gives the number of pictures
    written.

    Raises
    ------
    OutputError
        When one cannot be written.
    ImageError
        When an image cannot be read.
    """
    from PIL import Image

    from napari_sem_classify.core.image.intensity import (
        IntensityRecipe,
        measure_range,
        stretch_to_uint8,
    )

    recipe, ranges, count = IntensityRecipe(), {}, 0
    for number, cell in enumerate(review.cells, start=1):
        image, class_map = images[cell.image], maps[cell.image]
        if image is None:
            continue
        if cell.image not in ranges:
            ranges[cell.image] = measure_range(image, recipe, class_map.plane)
        place = class_map.grid.cell(cell.row, cell.col)
        context = POINT_CONTEXT if review.points else CONTEXT
        window = _around(place, class_map.grid.tile, image.shape, context)
        grey = stretch_to_uint8(image.read(window, class_map.plane), ranges[cell.image])
        with atomic_path(folder / f"cell_{number:04d}.png") as temporary:
            Image.fromarray(_marked(grey, place, window, review.points)).save(temporary)
        count += 1
    return count


def _most_of(
    part: NDArray[Any], classes: Mapping[int, str], contains: Mapping[int, float]
) -> str | None:
    """Class of a cell from its part of a mask, None where it is none of the classes."""
    values, counts = np.unique(part, return_counts=True)
    pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))
    for value, share in contains.items():
        if pixels.get(value, 0) >= share * part.size:
            return classes[value]
    most = max(pixels, key=lambda value: pixels[value])
    return classes.get(most)


def _around(place: Area, tile: int, shape: tuple[int, int], context: float) -> Area:
    """A square around a cell, moved into the image."""
    side = round(context * max(tile, place.height, place.width))
    rows, cols = (min(side, n) for n in shape)
    top = min(max(0, (place.top + place.bottom - rows) // 2), shape[0] - rows)
    left = min(max(0, (place.left + place.right - cols) // 2), shape[1] - cols)
    return Area(top, top + rows, left, left + cols)


def _marked(grey: NDArray[np.uint8], place: Area, window: Area, point: bool) -> NDArray[np.uint8]:
    """The picture enlarged by whole pixels, with a frame just outside of the cell.

    A point lies where the arms of a cross would meet; it stays free.
    """
    zoom = max(1, PICTURE_PX // max(grey.shape))
    shown: NDArray[np.uint8] = np.repeat(
        np.kron(grey, np.ones((zoom, zoom), np.uint8))[..., None], 3, 2
    )
    width = max(2, zoom)
    rows, cols = shown.shape[:2]
    top, bottom = (zoom * (n - window.top) for n in (place.top, place.bottom))
    left, right = (zoom * (n - window.left) for n in (place.left, place.right))
    mark = np.zeros((rows, cols), bool)
    if point:
        long, gap = CROSS_PX * zoom, GAP_PX * zoom
        mark[max(0, top - long) : bottom + long, left:right] = True
        mark[top:bottom, max(0, left - long) : right + long] = True
        mark[max(0, top - gap) : bottom + gap, max(0, left - gap) : right + gap] = False
    else:
        mark[max(0, top - width) : bottom + width, max(0, left - width) : right + width] = True
        mark[top:bottom, left:right] = False
    shown[mark] = (255, 200, 0)
    return shown


def _text(review: Review, answer: Answer | None) -> str:
    if isinstance(answer, int):
        return review.classes[answer - 1].name
    return UNSURE if answer == UNSURE else ""


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        rows = read_csv(path)
    except OSError as error:
        raise AnnotationError(f"The table {path} cannot be read ({error.strerror}).") from error
    except Malformed as error:
        message = f"{path} is no table ({error}): save it as CSV (UTF-8)."
        raise AnnotationError(message) from error
    if not rows or not {"cell", "answer"} <= rows[0].keys():
        raise AnnotationError(
            f"{path} has no columns cell and answer: use the table that belongs to the review."
        )
    return rows
