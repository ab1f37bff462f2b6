"""Annotated tiles of several images, and what the network saw in them: all that a fit needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.annotate.annotation_set import Annotations, Mark
from napari_sem_classify.core.annotate.place import TilePlace, plane_of, tile_numbers
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.recipe import STANDARD, Recipe
from napari_sem_classify.core.teach.folds import TilePlaces
from napari_sem_classify.core.teach.looked import UNKNOWN, EngineLabel, SeenTiles
from napari_sem_classify.core.teach.turned import Copies, SeenCopies


@dataclass(frozen=True, slots=True)
class TeachingSet:
    """Annotations, and their images as far as they are open.

    Attributes
    ----------
    images : {fingerprint: SemImage}
    mixed : {fingerprint: int}
        Of images annotated by a label image: tiles left out because no class has enough of them.
    """

    annotations: Annotations
    images: Mapping[str, SemImage]
    mixed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lesson:
    """Annotated tiles with their features.

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
    specimens : tuple of str
        Which each of the images shows.
    tiles : tuple of (str, TilePlace)
        Key of the image or plane, and place, of each tile.
    other_size : int
        Annotated tiles that are not used: of another size or place than the tiles now.
    unseen : int
        Annotated tiles of images that are not open.
    recipe : Recipe
        How the network saw the tiles.
    numbers : int64, shape (N,)
        Of the tiles, on the grid of their image or plane.
    seen : {key: SeenTiles}
        All that was seen in these images and planes: the surroundings of the tiles.
    presence : bool
        Whether a class is found by its presence in a tile, see `Annotations.rules`.
    copies : Copies or None
        Of tiles as they would look with other settings of the microscope.
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
    engine: EngineLabel = UNKNOWN
    specimens: tuple[str, ...] = ()
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    seen: Mapping[str, SeenTiles] = field(default_factory=dict)
    presence: bool = False
    copies: Copies | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the label numbers."""
        return tuple(info.name for info in self.classes)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Tiles of each class that are learned from."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    @property
    def specimen_numbers(self) -> NDArray[np.int64]:
        """Number of the specimen of each tile."""
        if not self.specimens:
            return self.places.image
        numbers = np.unique(self.specimens, return_inverse=True)[1]
        return numbers.astype(np.int64)[self.places.image]

    def teaches_as(self, other: Lesson) -> bool:
        """Whether a model learned from the other is the same."""
        mine = (self.tiles, self.classes, self.recipe, self.specimens)
        theirs = (other.tiles, other.classes, other.recipe, other.specimens)
        return mine == theirs and np.array_equal(self.labels, other.labels)


def gather(
    annotations: Annotations,
    seen: Mapping[str, SeenTiles],
    tile_px: int,
    recipe: Recipe = STANDARD,
    copies: Mapping[str, SeenCopies] | None = None,
) -> Lesson:
    """Put the annotated tiles of all images together with their features in one way of looking.

    Row by row, in whatever order they were annotated, so that the same tiles give the same head.
    Tiles without data are left out, as nothing can be seen in them.

    Tiles of other sizes, and what was seen in other ways, are not used. `seen` is by the key of the
    image or plane, `copies` likewise, as far as the network saw some.
    """
    number_of = {name: number for number, name in enumerate(annotations.class_names)}
    keys: list[str] = []
    specimens: list[str] = []
    features, images = [], []
    numbers: list[NDArray[np.int64]] = []
    labels: list[int] = []
    tiles: list[tuple[str, TilePlace]] = []
    copied: list[Copies] = []
    other_size = unseen = 0
    engine = UNKNOWN
    for image in annotations.images:
        looked = seen.get(image.key)
        right = [place for place in image.marks if place[2] == tile_px]
        other_size += len(image.marks) - len(right)
        if looked is None or looked.grid.tile != tile_px or looked.recipe != recipe:
            unseen += len(right)
            continue
        on_grid = sorted((tile, place) for place, tile in tile_numbers(looked.grid, right).items())
        other_size += len(right) - len(on_grid)
        rows = looked.rows_of(np.array([tile for tile, _ in on_grid], dtype=np.int64))
        known = [place for (_, place), row in zip(on_grid, rows, strict=True) if row >= 0]
        if not known:
            continue
        numbers.append(looked.index[rows[rows >= 0]])
        if copies and image.key in copies:
            copied.append(copies[image.key].of(looked, numbers[-1], first=len(labels)))
        engine = looked.engine
        features.append(looked.features[rows[rows >= 0]].astype(np.float32))
        if image.fingerprint not in keys:
            keys.append(image.fingerprint)
            specimens.append(image.specimen)
        labels += [number_of[image.marks[place].class_name] for place in known]
        images += [keys.index(image.fingerprint)] * len(known)
        tiles += [(image.key, place) for place in known]
    places = TilePlaces(
        np.array(images, dtype=np.int64),
        np.array([place[0] for _, place in tiles], dtype=np.int64),
        np.array([place[1] for _, place in tiles], dtype=np.int64),
        tile_px,
        any(plane_of(key) for key, _ in tiles),
    )
    return Lesson(
        np.concatenate(features) if features else np.zeros((0, 1), dtype=np.float32),
        np.array(labels, dtype=np.int64),
        places,
        tuple(keys),
        tuple(tiles),
        annotations.told_classes,
        other_size,
        unseen,
        recipe,
        engine,
        tuple(specimens),
        np.concatenate(numbers) if numbers else np.empty(0, np.int64),
        {key: seen[key] for key in dict.fromkeys(key for key, _ in tiles)},
        bool(annotations.rules),
        Copies.joined(copied),
    )


def part_of(lesson: Lesson, rows: NDArray[np.int64]) -> Lesson:
    """The lesson of some of the tiles, with all that was seen around them.

    Parameters
    ----------
    rows : int64, shape (N,)
        In any order, and with copies increasing.
    """
    places, copies = lesson.places, lesson.copies
    if copies is not None:
        kept = np.isin(copies.of, rows)
        copies = Copies(copies.features[kept], np.searchsorted(rows, copies.of[kept]))
    return replace(
        lesson,
        features=lesson.features[rows],
        labels=lesson.labels[rows],
        places=replace(places, image=places.image[rows], y=places.y[rows], x=places.x[rows]),
        tiles=tuple(lesson.tiles[row] for row in rows.tolist()),
        numbers=lesson.numbers[rows],
        copies=copies,
    )


def sample_labels(
    labels: Sequence[NDArray[np.int64]], most: int, seed: int
) -> list[NDArray[np.int64]]:
    """At most `most` random labels of each class over several arrays, the rest `UNLABELLED`."""
    generator = np.random.default_rng(seed)
    flat = np.concatenate([np.empty(0, np.int64), *(each.ravel() for each in labels)])
    for index in np.unique(flat[flat != UNLABELLED]):
        mine = np.flatnonzero(flat == index)
        if len(mine) > most:
            kept = generator.choice(mine, most, replace=False)
            flat[np.setdiff1d(mine, kept)] = UNLABELLED
    ends = np.cumsum([each.size for each in labels])[:-1]
    parts = np.split(flat, ends)
    return [part.reshape(each.shape) for part, each in zip(parts, labels, strict=True)]


def sample_tiles(material: TeachingSet, tile_px: int, most: int | None, seed: int) -> TeachingSet:
    """At most `most` random tiles of each class, over all open images; all of them where None."""
    annotations = material.annotations
    if most is None or max(annotations.counts().values(), default=0) <= most:
        return material
    number_of = {name: number for number, name in enumerate(annotations.class_names)}
    tiles = [
        (image, at)
        for image in annotations.images
        for at in sorted(image.marks)
        if at[2] == tile_px and image.fingerprint in material.images
    ]
    labels = np.array([number_of[image.marks[at].class_name] for image, at in tiles], np.int64)
    [kept] = sample_labels([labels], most, seed)
    marks: dict[str, dict[TilePlace, Mark]] = {image.key: {} for image in annotations.images}
    for number in np.flatnonzero(kept != UNLABELLED).tolist():
        image, at = tiles[number]
        marks[image.key][at] = image.marks[at]
    images = tuple(replace(image, marks=marks[image.key]) for image in annotations.images)
    return replace(material, annotations=replace(annotations, images=images))
