"""Annotations on disk: one JSON file, saved whole after each stroke, and files for other programs.

A save goes through a temporary file and a rename, so a kill in the middle of it leaves the file of
the stroke before. Tiles are rows of ``[y, x, side, class number, 1 for a correction]``, in pixels
of the image file. A class that a tile takes where it contains a little of it has ``"contains"``, a
share from 0 to 1; files from before that know no such rule. An entry of a stack's further planes
has ``"plane"``, the index along its leading axes, beside the stack's own fingerprint; without it
the first plane is meant. Where the way of looking at tiles was chosen, ``"looking"`` tells it.
``"revision"`` counts the saves, so that an older copy is known as one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.annotate.annotation_set import Annotations, ImageAnnotations, Mark
from napari_sem_classify.core.annotate.place import TilePlace
from napari_sem_classify.core.common.checked import (
    Fields,
    Malformed,
    is_whole,
    read_json,
    shown,
)
from napari_sem_classify.core.common.csv_text import csv_text
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.files import atomic_path, write_json, write_text
from napari_sem_classify.core.common.output_folder import output_file
from napari_sem_classify.core.common.plain_text import ascii_where_needed
from napari_sem_classify.core.model.card import MOST_CLASSES, classes_from
from napari_sem_classify.core.model.recipe import RecipeChoice

FORMAT = "napari-sem-classify annotations"
FORMAT_VERSION = 1
SUFFIX = ".annotations.json"
MOST_PX = 2**31
MOST_SAVES = 2**53
LEAST_SHARE = 1e-9

CSV, TIFF, GEOJSON, OWN = "CSV table", "label TIFF", "GeoJSON", "annotations file"
SUFFIXES = {CSV: ".csv", TIFF: ".tif", GEOJSON: ".geojson", OWN: SUFFIX}


def beside(image_path: Path) -> Path:
    """The usual place of an image's annotations: ``STEM.annotations.json`` beside it."""
    return image_path.with_name(image_path.stem + SUFFIX)


def save_annotations(
    path: Path,
    annotations: Annotations,
    revision: int | None = None,
    *,
    place: Path | None = None,
) -> None:
    """Write all annotations, or leave the file as it was.

    Images in the same folder or below it are kept by their relative path, so that the folder can be
    moved as a whole. `place` is where the file will lie, when that is elsewhere.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    numbers = {name: number for number, name in enumerate(annotations.class_names)}
    rules = {name: {"contains": share} for name, share in annotations.rules.items()}
    value: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "classes": [
            {"name": info.name, "colour": info.colour} | rules.get(info.name, {})
            for info in annotations.classes
        ],
        "images": [
            {
                "name": image.name,
                "path": _relative(image.path, place or path),
                "fingerprint": image.fingerprint,
                "shape": list(image.shape),
                **({"plane": list(image.plane)} if image.plane else {}),
                **({"specimen": image.said_specimen} if image.said_specimen else {}),
                "tiles": [
                    [*place, numbers[mark.class_name], int(mark.correction)]
                    for place, mark in image.marks.items()
                ],
            }
            for image in annotations.images
            if image.marks or not image.plane
        ],
    }
    if annotations.looking is not None:
        value["looking"] = annotations.looking.to_dict()
    if revision is not None:
        value["revision"] = revision
    # Compact: it is written after each stroke, and may hold thousands of tiles.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    write_text(path, ascii_where_needed(text) + "\n")


def load_annotations(path: Path) -> Annotations:
    """Read annotations, see `load_revision`."""
    return load_revision(path)[0]


def load_revision(path: Path) -> tuple[Annotations, int | None]:
    """Read annotations, and how often the file was saved; None where it does not tell.

    Raises
    ------
    AnnotationError
        When the file is missing, damaged, no annotations, or of a newer program.
    """
    try:
        value = read_json(path)
    except OSError as error:
        why = error.strerror or error
        raise AnnotationError(f"{path} cannot be read ({why}): choose another file.") from error
    except Malformed as error:
        raise AnnotationError(
            f"{path} is no annotations file or is damaged ({error}): choose another file."
        ) from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise AnnotationError(f"{path} holds no annotations of this program: choose another file.")
    version = value.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise AnnotationError(
            f"{path} has annotations format {version}, and this program reads up to "
            f"{FORMAT_VERSION}: update napari-sem-classify."
        )
    try:
        told = Fields(value)
        revision = told.whole("revision", 0, MOST_SAVES) if told.has("revision") else None
        return _annotations(told, path), revision
    except Malformed as error:
        raise AnnotationError(
            f"{path} is damaged ({error}): take a copy of it from before, or annotate again."
        ) from error


def export_annotations(
    path: Path, kind: str, annotations: Annotations, key: str, *, confirmed: bool = False
) -> Path:
    """Write annotations for other programs: all images as a table, one image as a picture.

    The file gets the ending of `kind`, a key of `SUFFIXES`, where it has another. `key` names the
    image or plane for the kinds that hold one alone. `confirmed` tells that the user said that a
    file at just this path may be replaced; else only one that this program wrote there is.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    suffix = SUFFIXES[kind]
    if not path.name.endswith(suffix):
        path, confirmed = path.with_name(path.name + suffix), False
    with output_file(path, confirmed=confirmed) as temporary:
        if kind == CSV:
            write_text(temporary, annotations_csv(annotations))
        elif kind == TIFF:
            write_annotation_labels(temporary, annotations, annotations.of(key))
        elif kind == GEOJSON:
            write_json(temporary, annotations_geojson(annotations, annotations.of(key)))
        else:
            save_annotations(temporary, annotations, place=path)
    return path


def annotations_csv(annotations: Annotations) -> str:
    """All annotated tiles as CSV: ``image,y,x,height,width,class,correction``.

    Where further planes of a stack are annotated, ``plane`` comes last; it is empty for a single
    image and a first plane. Rows and columns are pixels of the image file, info bar included; a
    tile that reaches over the border of its image is given as far as it goes.
    """
    stacks = any(image.plane and image.marks for image in annotations.images)
    head = ["image", "y", "x", "height", "width", "class", "correction"]
    rows = []
    for image in annotations.images:
        for place, mark in image.marks.items():
            top, bottom, left, right = _window(place, image.shape)
            row = [image.name, top, left, bottom - top, right - left, mark.class_name]
            row.append(int(mark.correction))
            rows.append([*row, " ".join(map(str, image.plane))] if stacks else row)
    return csv_text([*head, "plane"] if stacks else head, rows)


def write_annotation_labels(path: Path, annotations: Annotations, image: ImageAnnotations) -> None:
    """Write a label TIFF of the image's size: 0 unlabelled, 1 the first class and so on.

    Where tiles overlap the one that was annotated last lies on top. The class names are in the
    TIFF's description.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    import tifffile

    labels = np.zeros(image.shape, dtype=np.uint8 if len(annotations.classes) < 256 else np.uint16)
    numbers = {name: number for number, name in enumerate(annotations.class_names, start=1)}
    for place, mark in image.marks.items():
        top, bottom, left, right = _window(place, image.shape)
        labels[top:bottom, left:right] = numbers[mark.class_name]
    names = {number: name for name, number in numbers.items()}
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary, labels, compression="zlib", metadata=None,
            description=json.dumps({"classes": {0: "unlabelled", **names}}),
        )  # fmt: skip


def annotations_geojson(annotations: Annotations, image: ImageAnnotations) -> dict[str, Any]:
    """An image's annotated tiles as a GeoJSON FeatureCollection that QuPath reads.

    Coordinates are [x, y] in pixels, (0, 0) being the upper left corner of the first pixel. A plane
    of a stack is named as QuPath does it, by z, the last of the stack's axes.
    """
    where = {"plane": {"c": -1, "z": image.plane[-1], "t": 0}} if image.plane else {}
    colours = {info.name: info.rgb for info in annotations.classes}
    features = []
    for place, mark in image.marks.items():
        top, bottom, left, right = _window(place, image.shape)
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring], **where},
                "properties": {
                    "objectType": "annotation",
                    "classification": {
                        "name": mark.class_name,
                        "color": colours[mark.class_name],
                    },
                    "correction": mark.correction,
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _annotations(told: Fields, path: Path) -> Annotations:
    listed = list(told.objects("classes", MOST_CLASSES))
    # Their rules stand apart: a user changes one without the other.
    classes = tuple(replace(info, contains=None) for info in classes_from(listed))
    names = [info.name for info in classes]
    rules = {
        name: item.number("contains", LEAST_SHARE, 1.0)
        for name, item in zip(names, listed, strict=True)
        if "contains" in item.value
    }
    images = []
    for item in told.objects("images"):
        where = (path.parent / item.path("path")).resolve() if item.has("path") else None
        rows, cols = item.wholes("shape", 1, MOST_PX, count=2)
        plane = item.wholes("plane", 0, MOST_PX) if item.has("plane") else ()
        images.append(
            ImageAnnotations(
                name=item.text("name"),
                fingerprint=item.text("fingerprint"),
                shape=(rows, cols),
                path=where,
                marks=_marks(item, rows, cols, names),
                plane=plane if any(plane) else (),
                said_specimen=item.text("specimen") if item.has("specimen") else "",
            )
        )
    has_choice = told.has("looking")
    choice = RecipeChoice.from_fields(told.object("looking")) if has_choice else None
    return Annotations(classes, tuple(images), rules, choice)


def _marks(item: Fields, rows: int, cols: int, names: Sequence[str]) -> dict[TilePlace, Mark]:
    marks = {}
    lowest, highest = (0, 0, 1, 0), (rows - 1, cols - 1, MOST_PX, len(names) - 1)
    for tile in item.items("tiles"):
        whole = isinstance(tile, list) and len(tile) == 5 and tile[4] in (0, 1)
        if not (whole and all(map(is_whole, tile[:4], lowest, highest))):
            told = ", ".join(map(shown, tile)) if isinstance(tile, list) else shown(tile)
            raise Malformed(f"{item.place}tiles holds the impossible tile {told[:80]}")
        y, x, side, number, correction = tile
        marks[y, x, side] = Mark(names[number], bool(correction))
    return marks


def _relative(image_path: Path | None, file: Path) -> str | None:
    if image_path is None:
        return None
    whole = image_path.resolve()
    folder = file.resolve().parent
    return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else str(whole)


def _window(place: TilePlace, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    y, x, side = place
    return y, min(y + side, shape[0]), x, min(x + side, shape[1])
