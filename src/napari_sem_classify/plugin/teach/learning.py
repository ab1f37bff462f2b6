"""What the worker threads of *Teach* do. Nothing here knows a widget, a layer or a viewer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import (
    TilePlace,
    place_of,
    plane_of,
    tile_numbers,
)
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap, tiles_to_cells
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.head import Head, softmax
from napari_sem_classify.core.model.recipe import STANDARD, Recipe
from napari_sem_classify.core.teach.folds import TilePlaces
from napari_sem_classify.core.teach.head_fit import Taught
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.teach.looking import Looked
from napari_sem_classify.plugin.teach.map_layer import TAUGHT

BLOCK = 2048
NO_DATA = "The annotated tiles hold no data: annotate others."


@dataclass(frozen=True, slots=True)
class Lesson:
    """Annotated tiles with their features: all that a fit needs.

    Attributes
    ----------
    features : float32, shape (N, features)
    labels : int64, shape (N,)
    places : TilePlaces
        The numbers of the images are those in `keys`. All planes of a stack are one image, laid
        over each other: a block of the score takes the same place of all of them, as tiles of
        neighbouring planes are near-duplicates.
    keys : tuple of str
        Fingerprints of the images.
    tiles : tuple of (str, TilePlace)
        Key of the image or plane, and place, of each tile.
    classes : tuple of ClassInfo
    other_size : int
        Annotated tiles that are not used: of another size or place than the tiles now.
    unseen : int
        Annotated tiles of images that are not open.
    recipe : Recipe
        How the network saw the tiles.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    places: TilePlaces
    keys: tuple[str, ...]
    tiles: tuple[tuple[str, TilePlace], ...]
    classes: tuple[ClassInfo, ...]
    other_size: int = 0
    unseen: int = 0
    recipe: Recipe = STANDARD

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the label numbers."""
        return tuple(info.name for info in self.classes)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Tiles of each class that are learned from."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def teaches_as(self, other: Lesson) -> bool:
        """Whether a model learned from the other is the same."""
        return (
            (self.tiles, self.classes, self.recipe) == (other.tiles, other.classes, other.recipe)
        ) and np.array_equal(self.labels, other.labels)


@dataclass(frozen=True, slots=True)
class Learned:
    """What a fit gave.

    Attributes
    ----------
    taught : Taught
    temperature : float
    lesson : Lesson
    tile_probabilities : float32, shape (tile rows, tile cols, classes), or None
        Of the image in view.
    class_map : ClassMap or None
        The same as a map, without corrections.
    seconds : float
        Until the first map: what the user waits for; the score comes after it.
    scored : bool
        Whether `taught` went through the cross-validation.
    """

    taught: Taught
    temperature: float
    lesson: Lesson
    tile_probabilities: NDArray[np.float32] | None
    class_map: ClassMap | None
    seconds: float
    scored: bool


@dataclass(frozen=True, slots=True)
class View:
    """The image, or the plane of a stack (else ()), that a map is drawn of."""

    looked: Looked
    image_name: str
    pixel_size_nm: float | None
    plane: tuple[int, ...] = ()


def gather(
    annotations: Annotations,
    looked: Mapping[str, Looked],
    tile_px: int,
    recipe: Recipe = STANDARD,
) -> Lesson:
    """Put the annotated tiles of all images together with their features in one way of looking.

    Tiles without data are left out, as nothing can be seen in them.
    """
    number_of = {name: number for number, name in enumerate(annotations.class_names)}
    keys: list[str] = []
    features, labels, images, ys, xs = [], [], [], [], []
    tiles: list[tuple[str, TilePlace]] = []
    other_size = unseen = 0
    for image in annotations.images:
        seen = looked.get(image.key)
        right = [place for place in image.marks if place[2] == tile_px]
        other_size += len(image.marks) - len(right)
        if seen is None or seen.grid.tile != tile_px or seen.recipe != recipe:
            unseen += len(right)
            continue
        on_grid = tile_numbers(seen.grid, right)
        other_size += len(right) - len(on_grid)
        rows = seen.rows_of(np.array(list(on_grid.values()), dtype=np.int64)).tolist()
        known = [(place, row) for place, row in zip(on_grid, rows, strict=True) if row >= 0]
        if not known:
            continue
        features.append(seen.features[[row for _, row in known]].astype(np.float32))
        if image.fingerprint not in keys:
            keys.append(image.fingerprint)
        for place, _ in known:
            labels.append(number_of[image.marks[place].class_name])
            images.append(keys.index(image.fingerprint))
            ys.append(place[0])
            xs.append(place[1])
            tiles.append((image.key, place))
    stacked = np.concatenate(features) if features else np.zeros((0, 1), dtype=np.float32)
    places = TilePlaces(
        np.array(images, dtype=np.int64),
        np.array(ys, dtype=np.int64),
        np.array(xs, dtype=np.int64),
        tile_px,
        any(plane_of(key) for key, _ in tiles),
    )
    return Lesson(
        stacked,
        np.array(labels, dtype=np.int64),
        places,
        tuple(keys),
        tuple(tiles),
        annotations.classes,
        other_size,
        unseen,
        recipe,
    )


def learn(
    lesson_of: Callable[[], Lesson], view: View | None, strength: float, temperature: float
) -> Callable[[JobContext], Learned]:
    """Task: fit at once with a known strength and publish the map; then score and fit for good.

    `lesson_of` gathers what is to be learned, in the thread.
    """

    def task(context: JobContext) -> Learned:
        from napari_sem_classify.core.teach.head_fit import teach_head

        start = time.perf_counter()
        lesson = lesson_of()
        if len(set(lesson.labels.tolist())) < 2:
            raise AnnotationError(NO_DATA)
        quick = teach_head(lesson.features, lesson.labels, lesson.class_names, strength=strength)
        first = _learned(quick, temperature, lesson, view, start, scored=False)
        context.publish(first)
        context.check()
        taught = teach_head(
            lesson.features,
            lesson.labels,
            lesson.class_names,
            groups=lesson.places.image if len(lesson.keys) > 1 else None,
            places=lesson.places,
            job=context,
        )
        final = _learned(taught, taught.temperature, lesson, view, start, scored=True)
        return replace(final, seconds=first.seconds)

    return task


def suggest(
    looked: Looked,
    reduced: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32] | None,
    n: int,
) -> Callable[[JobContext], tuple[NDArray[np.float32], list[TilePlace]]]:
    """Task: which tiles of an image to annotate next.

    Parameters
    ----------
    reduced : float32, shape (N, components), or None
        From the last call for the same image.
    labels : int64, shape ``grid.tile_shape``
    probabilities : float32, shape (tile rows, tile cols, classes), or None
    """

    def task(_context: JobContext) -> tuple[NDArray[np.float32], list[TilePlace]]:
        from napari_sem_classify.core.teach.suggest import reduce_features, suggest_tiles

        points = reduce_features(looked.features) if reduced is None else reduced
        mine = labels.ravel()[looked.index]
        sure = None
        if probabilities is not None:
            sure = probabilities.reshape(-1, probabilities.shape[-1])[looked.index]
        cols = looked.grid.tile_shape[1]
        chosen = looked.index[suggest_tiles(points, mine, sure, n)]
        places = [place_of(looked.grid, int(tile) // cols, int(tile) % cols) for tile in chosen]
        return points, places

    return task


def _learned(
    taught: Taught,
    temperature: float,
    lesson: Lesson,
    view: View | None,
    start: float,
    *,
    scored: bool,
) -> Learned:
    tiles = class_map = None
    if view is not None:
        tiles = tile_probabilities(taught.head, temperature, view.looked)
        class_map = ClassMap(
            probabilities=tiles_to_cells(view.looked.grid, tiles),
            grid=view.looked.grid,
            classes=lesson.classes,
            pixel_size_nm=view.pixel_size_nm,
            image_name=view.image_name,
            plane=view.plane,
            record={
                "job": "teach",
                "model": {"name": TAUGHT, "kind": "taught"},
                "annotated_tiles": dict(
                    zip(lesson.class_names, lesson.counts.tolist(), strict=True)
                ),
                "tiles": {
                    "in_grid": view.looked.grid.n_tiles,
                    "classified": len(view.looked.index),
                    "left_out": view.looked.grid.n_tiles - len(view.looked.index),
                },
            },
        )
    seconds = time.perf_counter() - start
    return Learned(taught, temperature, lesson, tiles, class_map, seconds, scored)


def tile_probabilities(head: Head, temperature: float, looked: Looked) -> NDArray[np.float32]:
    """Probabilities of all tiles, shape (tile rows, tile cols, classes), NaN without data."""
    n_classes = len(head.bias)
    flat = np.full((looked.grid.n_tiles, n_classes), np.nan, dtype=np.float32)
    for start in range(0, len(looked.index), BLOCK):
        some = slice(start, start + BLOCK)
        logits = head.logits(looked.features[some])
        flat[looked.index[some]] = softmax(logits / np.float32(temperature))
    return flat.reshape(*looked.grid.tile_shape, n_classes)


def common_pixel_size(images: Sequence[SemImage], same: float = 0.02) -> float | None:
    """Pixel size in nm where all images have one and agree within a share `same`."""
    sizes = [image.pixel_size_nm for image in images]
    known = [size for size in sizes if size is not None]
    if not sizes or len(known) < len(sizes) or max(known) > (1 + same) * min(known):
        return None
    return float(np.median(known))
