"""Steps of a user, and of files that are opened: annotations in, annotations out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from napari_sem_classify.core.annotate.annotation import UNLABELLED, TileLabels
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import TilePlace, place_of, plane_key
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import TileGrid


def with_stroke(
    annotations: Annotations,
    key: str,
    tiles: Mapping[TilePlace, str | None],
    correction: bool = False,
) -> Annotations:
    """Give tiles of an image or plane a class, or take it away (None)."""
    for name in dict.fromkeys(tiles.values()):
        places = [place for place, said in tiles.items() if said == name]
        if name is None:
            annotations = annotations.without_marks(key, places)
        else:
            annotations = annotations.with_marks(key, places, name, correction)
    return annotations


def with_corrections_of(
    annotations: Annotations, key: str, tiles: Mapping[TilePlace, tuple[str, str] | None]
) -> Annotations:
    """Take up what was painted on a map of an image or plane, as class names and colours.

    None takes a correction back; a class that is not there yet is added.
    """
    known = annotations.of(key).marks
    gone = [at for at, said in tiles.items() if said is None and at in known]
    annotations = annotations.without_marks(key, [at for at in gone if known[at].correction])
    for at, said in tiles.items():
        if said is not None:
            name, colour = said
            annotations = _with_class(annotations, name, colour)
            annotations = annotations.with_marks(key, [at], name, correction=True)
    return annotations


def with_drawn(
    annotations: Annotations,
    key: str,
    grid: TileGrid,
    found: TileLabels,
    before: Mapping[TilePlace, str],
) -> tuple[Annotations, dict[TilePlace, str]]:
    """Annotate tiles as another layer has them, and take back what it said before.

    Tiles that were annotated otherwise since then stay as they are. Also gives what the layer says
    now, for the next call.
    """
    for name in found.class_names:
        if name not in annotations.class_names:
            annotations = annotations.with_class(name)
    now = {
        place_of(grid, row, col): found.class_names[found.labels[row, col]]
        for row, col in np.argwhere(found.labels != UNLABELLED).tolist()
    }
    marks = annotations.of(key).marks
    gone = [
        at
        for at, name in before.items()
        if at not in now and at in marks and marks[at].class_name == name
    ]
    annotations = annotations.without_marks(key, gone)
    for name in dict.fromkeys(found.class_names):
        places = [at for at, said in now.items() if said == name and before.get(at) != name]
        annotations = annotations.with_marks(key, places, name)
    return annotations, now


def with_kept(
    annotations: Annotations, image: SemImage, key: str, kept: Annotations
) -> Annotations:
    """Add what was kept of an image that was taken in; tiles that are there go before."""
    annotations = _with_classes_of(annotations, kept)
    for theirs in kept.images_of(image, key):
        mine = annotations.of(plane_key(key, theirs.plane))
        marks = {**theirs.marks, **mine.marks}
        said = mine.said_specimen or theirs.said_specimen
        annotations = annotations.with_tiles_of(replace(mine, marks=marks, said_specimen=said))
    return annotations


def merge_annotations(several: Iterable[Annotations]) -> Annotations:
    """Put annotations together: classes by name, images by their pixels; the first ones win."""
    merged = Annotations()
    for each in several:
        merged = _with_classes_of(merged, each)
        known = {image.fingerprint for image in merged.images}
        fresh = (image for image in each.images if image.fingerprint not in known)
        merged = replace(merged, images=(*merged.images, *fresh))
    return merged


def _with_classes_of(annotations: Annotations, others: Annotations) -> Annotations:
    for info in others.classes:
        if info.name not in annotations.class_names:
            annotations = _with_class(annotations, info.name, info.colour)
            if info.name in others.rules:
                annotations = annotations.with_rule(info.name, others.rules[info.name])
    return annotations


def _with_class(annotations: Annotations, name: str, colour: str) -> Annotations:
    """A class in its own colour, or in a free one where that is taken."""
    if name in annotations.class_names:
        return annotations
    taken = colour in {info.colour for info in annotations.classes}
    return annotations.with_class(name, None if taken else colour)
