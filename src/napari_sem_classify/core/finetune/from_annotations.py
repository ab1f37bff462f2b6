"""Annotated tiles as a training set: cut once, at the whole image's range, into the same store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.annotate.place import TilePlace
from napari_sem_classify.core.classify.record import HASHED_BYTES, file_sha256
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset import ImageRecord, one_by_one
from napari_sem_classify.core.evaluate.set_reading import ImageFacts, shrink
from napari_sem_classify.core.evaluate.training_set import TrainingSet, tiles_folder
from napari_sem_classify.core.finetune.annotated_images import AnnotatedImage, AnnotatedImages
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import (
    IntensityRecipe,
    measure_range,
    no_data_mask,
    stretch_to_uint8,
)
from napari_sem_classify.core.image.sem_image import SemImage, hold_plane
from napari_sem_classify.core.teach.folds import TilePlaces, spatial_blocks

MAX_TILES_PER_CLASS = 2000
RUN_PX = 1 << 24
"""Most pixels read at once: neighbouring tiles of a row share a reading."""


def make_annotated_set(
    tiles: AnnotatedImages,
    *,
    largest_px: int = 224,
    max_tiles_per_class: int = MAX_TILES_PER_CLASS,
    seed: int = 0,
    cache_folder: Path | None = None,
    job: Job | None = None,
) -> TrainingSet:
    """Cut the annotated tiles of images into a training set; each tile is a case of its own.

    Grey values are stretched over the range of their whole image, as when it is classified. Of a
    stack the first plane is used, as it is the one that is annotated.

    Parameters
    ----------
    tiles : AnnotatedImages
        From `open_annotated`.
    max_tiles_per_class : int
        Of a class with more tiles a random sample of so many is used, drawn by `seed`.
    largest_px, cache_folder, job : optional
        As for `make_training_set`; the job is told and checked once per tile.

    Returns
    -------
    TrainingSet
        Its `images` are the tiles: `specimen` is a tile's place, `key` the image's fingerprint and
        the record's group its specimen. `blocks` are the places of neighbouring tiles.

    Raises
    ------
    AnnotationError
        When nothing can be learned from the tiles.
    ImageError
        When an image cannot be read.
    OutputError
        When the tiles do not fit on the disk.
    Cancelled
        When the job was asked to stop.
    """
    check_teachable(list(tiles.counts().values()), tiles.class_names)
    side = min(tiles.tile_px, largest_px)
    with tiles_folder("The annotated tiles", cache_folder) as folder:
        return _make(tiles, _sample(tiles, max_tiles_per_class, seed), side, folder, job)


def places_of(data: TrainingSet) -> TilePlaces:
    """Where the tiles of an annotated set lie."""
    keys = [facts.key for facts in data.images]
    return TilePlaces(
        np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64),
        np.array([facts.specimen[0] for facts in data.images], dtype=np.int64),
        np.array([facts.specimen[2] for facts in data.images], dtype=np.int64),
        data.tile_px,
    )


def cut_tiles(
    image: SemImage,
    places: Sequence[TilePlace],
    side: int,
    *,
    each: Callable[[], None] | None = None,
) -> Iterator[tuple[TilePlace, NDArray[np.uint8]]]:
    """Cut tiles of an image, stretched over the whole image's range, a row of tiles at a time.

    Parameters
    ----------
    image : SemImage
    places : sequence of TilePlace
    side : int
        To which tiles are shrunk.
    each : callable, optional
        Called once per tile, before it is cut.

    Yields
    ------
    TilePlace, uint8 of shape (side, side)
        From top to bottom. Tiles without data, and those that leave the specimen area, do not come;
        an image smaller than a tile is reflected.
    """
    plane = (0,) * len(image.leading_shape)
    held = hold_plane(image, plane)
    source, place = (image, plane) if held is None else (held, ())
    measured = measure_range(source, IntensityRecipe(), place)
    for run in _runs([at for at in places if _inside(at, image.area)]):
        around = _around(run, image.area)
        pixels = source.read(around, place)
        for at in run:
            if each is not None:
                each()
            window = _window(at, image.area)
            part = pixels[
                window.top - around.top : window.bottom - around.top,
                window.left - around.left : window.right - around.left,
            ]
            if no_data_mask(part).all():
                continue
            yield at, shrink(_filled(stretch_to_uint8(part, measured), at[2]), side)


def _make(
    tiles: AnnotatedImages,
    chosen: Sequence[set[TilePlace]],
    side: int,
    folder: Path,
    job: Job | None,
) -> TrainingSet:
    number_of = {name: number for number, name in enumerate(tiles.class_names)}
    total = sum(len(places) for places in chosen)
    reporter = Reporter(total, "Cutting tiles", job)
    images: list[ImageFacts] = []
    path = folder / "tiles.bin"
    with path.open("wb") as file:
        for source, places in zip(tiles.images, chosen, strict=True):
            sha256 = _sha256(source.image)
            wanted = sorted(places)
            for at, pixels in cut_tiles(source.image, wanted, side, each=reporter.advance):
                file.write(pixels.tobytes())
                images.append(_facts(source, at, number_of[source.marks[at]], sha256))
    labels = np.array([facts.record.label for facts in images], dtype=np.int64)
    check_teachable(np.bincount(labels, minlength=len(number_of)), tiles.class_names)
    data = TrainingSet(
        class_names=tiles.class_names,
        images=tuple(images),
        labels=labels,
        tiles=np.memmap(path, np.uint8, "r", shape=(len(images), side, side)),
        tile_image=np.arange(len(images), dtype=np.int64),
        pairs=np.empty((0, 2), dtype=np.int64),
        tile_px=tiles.tile_px,
        whole_images=False,
        left_out=dict(tiles.left_out),
        folder=folder,
    )
    return _completed(data, sum(len(each.marks) for each in tiles.images), total)


def _completed(data: TrainingSet, annotated: int, wanted: int) -> TrainingSet:
    notes = []
    if wanted < annotated:
        notes.append(f"{wanted} of {annotated} annotated tiles were drawn to learn from.")
    if len(data.images) < wanted:
        lost = wanted - len(data.images)
        notes.append(f"{lost} annotated tiles hold no data or lie on the info bar: left out.")
    if data.left_out:
        notes.append(f"{len(data.left_out)} annotated images could not be used and are left out.")
        notes += one_by_one(data.left_out.values())
    known = {facts.pixel_size_nm for facts in data.images}
    if data.pixel_size_nm is None and known != {None}:
        notes.append(
            "The images differ in pixel size, so the model has none: its tiles are "
            f"{data.tile_px} px of any image."
        )
    return replace(data, notes=tuple(notes), blocks=spatial_blocks(places_of(data)))


def _facts(source: AnnotatedImage, at: TilePlace, label: int, sha256: str | None) -> ImageFacts:
    image, window = source.image, _window(at, source.image.area)
    record = ImageRecord(image.path or Path(image.name), label, source.specimen)
    area = (window.top, window.bottom, window.left, window.right)
    return ImageFacts(record, sha256, image.shape, image.pixel_size_nm, area, source.key)


def _sha256(image: SemImage) -> str | None:
    """The file's sha256, as an evaluation of the model knows it; None for no file or a huge one."""
    path = image.path
    if path is None or not path.is_file() or path.stat().st_size > HASHED_BYTES:
        return None
    return file_sha256(path)


def _sample(tiles: AnnotatedImages, most: int, seed: int) -> list[set[TilePlace]]:
    """Which tiles of each image to use: all, or a random sample of a class that has too many."""
    if most < 2:
        raise AnnotationError("At least 2 tiles of a class are needed to learn it.")
    generator = np.random.default_rng(seed)
    by_class: dict[str, list[tuple[int, TilePlace]]] = {name: [] for name in tiles.class_names}
    for number, source in enumerate(tiles.images):
        for at in sorted(source.marks):
            by_class[source.marks[at]].append((number, at))
    chosen: list[set[TilePlace]] = [set() for _ in tiles.images]
    for mine in by_class.values():
        used: Any = range(len(mine))
        if len(mine) > most:
            used = generator.choice(len(mine), most, replace=False)
        for index in used:
            number, at = mine[index]
            chosen[number].add(at)
    return chosen


def _runs(places: Sequence[TilePlace]) -> Iterator[list[TilePlace]]:
    """Tiles of one row that are read together."""
    run: list[TilePlace] = []
    for at in sorted(places):
        if run:
            width = at[1] + at[2] - run[0][1]
            if at[0] != run[0][0] or width * at[2] > RUN_PX:
                yield run
                run = []
        run.append(at)
    if run:
        yield run


def _inside(at: TilePlace, area: Area) -> bool:
    """Whether a tile lies on the specimen, or the specimen is smaller than a tile."""
    y, x, side = at
    rows = area.top <= y and (y + side <= area.bottom or (y == area.top and side > area.height))
    cols = area.left <= x and (x + side <= area.right or (x == area.left and side > area.width))
    return rows and cols


def _window(at: TilePlace, area: Area) -> Area:
    y, x, side = at
    return Area(y, min(y + side, area.bottom), x, min(x + side, area.right))


def _around(run: Sequence[TilePlace], area: Area) -> Area:
    first, last = _window(run[0], area), _window(run[-1], area)
    return Area(first.top, first.bottom, first.left, last.right)


def _filled(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A tile of an image smaller than a tile, reflected to the whole side."""
    missing = [(0, side - length) for length in grey.shape]
    return np.pad(grey, missing, mode="reflect") if any(n for _, n in missing) else grey
