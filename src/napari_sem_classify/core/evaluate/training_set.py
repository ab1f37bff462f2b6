"""The images of a listing as tiles in a memory-mapped file, decoded once.

Every image is cropped to its specimen, stretched once over its own range, cut into square tiles and
kept as uint8 at the largest training size: a texture that is resized twice looks different from
one that is resized once, as it is in use. Without a tile size a tile is as
large as the image's short side: a wide image is then the mean over the few tiles that cover it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.record import file_sha256
from napari_sem_classify.core.common.errors import DatasetError, OutputError, SemClassifyError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset import ImageRecord, Listing, RowCrop
from napari_sem_classify.core.evaluate.duplicates import THUMBNAIL_PX, near_duplicates
from napari_sem_classify.core.image.intensity import (
    IntensityRecipe,
    measure_range,
    stretch_to_uint8,
)
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import MIN_TILE_PX, TileGrid


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image that is in the set."""

    record: ImageRecord
    sha256: str | None
    shape: tuple[int, int]
    pixel_size_nm: float | None
    specimen: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Tiles of images with their classes.

    Attributes
    ----------
    class_names : tuple of str
    images : tuple of ImageFacts
        Those that could be read, without copies.
    labels : int64, shape (images,)
    tiles : uint8, shape (N, side, side)
        Memory-mapped.
    tile_image : int64, shape (N,)
        Image of each tile; the tiles of one image follow one another.
    pairs : int64, shape (pairs, 2)
        Images that show the same place.
    tile_px : int
        Side of a tile in pixels of the images (the median where a tile is a whole image).
    whole_images : bool
        Whether a tile is as large as its image, so that images are what is scored.
    recipe : IntensityRecipe
    crop : RowCrop or None
    left_out : mapping of str to str
        Files that are not in the set, and why.
    notes : tuple of str
    folder : Path
        Holds the tiles; `discard` removes it.
    blocks : int64, shape (images,), or None
        Of annotated tiles, each of which is an "image" here: the place that it belongs to. Tiles of
        one place are not independent, and intervals draw them together.
    places : int64, shape (N, 2), or None
        First row and column of each tile in its image; of annotated tiles their "image" says it.
    """

    class_names: tuple[str, ...]
    images: tuple[ImageFacts, ...]
    labels: NDArray[np.int64]
    tiles: NDArray[np.uint8]
    tile_image: NDArray[np.int64]
    pairs: NDArray[np.int64]
    tile_px: int
    whole_images: bool
    recipe: IntensityRecipe
    crop: RowCrop | None
    left_out: dict[str, str]
    notes: tuple[str, ...]
    folder: Path
    blocks: NDArray[np.int64] | None = None
    places: NDArray[np.int64] | None = None

    @property
    def groups(self) -> list[str]:
        """Specimen of each image, "" where nobody said."""
        return [image.record.group for image in self.images]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each class."""
        return np.bincount(self.labels, minlength=len(self.class_names)).astype(np.int64)

    @property
    def pixel_size_nm(self) -> float | None:
        """Pixel size that all images share within 2 %, else None."""
        sizes = [image.pixel_size_nm for image in self.images]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) or max(known) > 1.02 * min(known):
            return None
        return float(np.median(known))

    def fingerprint(self) -> str:
        """Name of the set's content: the same tiles of the same classes give the same one."""
        digest = hashlib.sha256()
        for image in self.images:
            line = (image.record.label, image.sha256, image.specimen, image.record.group)
            digest.update(repr(line).encode())
        digest.update(repr((self.class_names, self.tiles.shape, self.tile_px)).encode())
        return digest.hexdigest()

    def discard(self) -> None:
        """Remove the stored tiles from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def tile_grid(image: SemImage, tile_px: int | None) -> TileGrid:
    """The tiles of an image for training and scoring; of its short side where `tile_px` is None.

    Raises
    ------
    GridError
        When the image is smaller than the smallest tile.
    """
    side = min(image.area.height, image.area.width) if tile_px is None else tile_px
    return TileGrid(image.area, side, side)


def make_training_set(
    listing: Listing,
    *,
    tile_px: int | None = None,
    crop: RowCrop | None = None,
    largest_px: int = 224,
    recipe: IntensityRecipe | None = None,
    cache_folder: Path | None = None,
    job: Job | None = None,
) -> TrainingSet:
    """Decode the images of a listing once.

    Parameters
    ----------
    listing : Listing
    tile_px : int, optional
        Side of the tiles in image pixels; whole images where None.
    crop : RowCrop, optional
        Rows to use; without it the info bar is cropped by the file's metadata or its pixels.
    largest_px : int
        Largest size that training will ask for.
    recipe : IntensityRecipe, optional
        The standard one where None.
    cache_folder : Path, optional
        Where the tiles are kept for the time of the training; the system's temporary folder where
        None.
    job : Job, optional
        Told and checked once per image.

    Raises
    ------
    DatasetError
        When a class is left without an image that can be read.
    OutputError
        When the tiles do not fit on the disk.
    Cancelled
        When the job was asked to stop.
    """
    if tile_px is not None and tile_px < MIN_TILE_PX:
        raise DatasetError(f"A tile of {tile_px} px is too small: use {MIN_TILE_PX} px or more.")
    side = largest_px if tile_px is None else min(tile_px, largest_px)
    recipe = recipe or IntensityRecipe()
    place = Path(cache_folder or tempfile.gettempdir())
    try:
        folder = Path(tempfile.mkdtemp(prefix="sem-tiles-", dir=place))
    except OSError as error:
        raise _no_room(listing, place, error) from error
    try:
        return _make(listing, tile_px, crop, side, recipe, folder, job)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise _no_room(listing, place, error) from error
        raise


def _no_room(listing: Listing, place: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The tiles of {listing.source} cannot be kept in {place} ({error.strerror or error}): "
        "make room there."
    )


def _make(
    listing: Listing,
    tile_px: int | None,
    crop: RowCrop | None,
    side: int,
    recipe: IntensityRecipe,
    folder: Path,
    job: Job | None,
) -> TrainingSet:
    reporter = Reporter(len(listing.records), "Reading images", job)
    seen: dict[str, int] = {}
    images: list[ImageFacts] = []
    thumbnails: list[NDArray[np.uint8]] = []
    tile_image: list[int] = []
    places: list[NDArray[np.int64]] = []
    sides: list[int] = []
    left_out: dict[str, str] = {}
    two_classes: set[int] = set()
    path = folder / "tiles.bin"
    with path.open("wb") as file:
        for read in _read_ahead(listing.records, tile_px, crop, side, recipe):
            reporter.advance()
            if isinstance(read, _Unreadable):
                left_out[str(read.path)] = read.why
                continue
            facts = read.facts
            if facts.sha256 in seen:
                first = images[seen[facts.sha256]].record
                if first.label != facts.record.label:
                    two_classes.add(seen[facts.sha256])
                left_out[str(facts.record.path)] = f"exact copy of {first.path}"
                continue
            if facts.sha256 is not None:
                seen[facts.sha256] = len(images)
            tile_image += [len(images)] * len(read.tiles)
            places.append(read.places)
            sides.append(read.side)
            images.append(facts)
            thumbnails.append(read.thumbnail)
            file.write(read.tiles.tobytes())
    if two_classes:
        one = images[min(two_classes)].record.path
        raise DatasetError(
            f"{len(two_classes)} images lie in two classes as exact copies (the first is {one}): "
            "keep each in one class only."
        )
    labels = np.array([image.record.label for image in images], dtype=np.int64)
    _check_counts(listing, labels, left_out)
    tiles = np.memmap(path, np.uint8, "r", shape=(len(tile_image), side, side))
    pairs = near_duplicates(np.stack(thumbnails), job=job)
    return TrainingSet(
        class_names=listing.class_names,
        images=tuple(images),
        labels=labels,
        tiles=tiles,
        tile_image=np.array(tile_image, dtype=np.int64),
        pairs=pairs,
        tile_px=int(np.median(sides)) if tile_px is None else tile_px,
        whole_images=tile_px is None,
        recipe=recipe,
        crop=crop,
        left_out=left_out,
        notes=listing.notes + _notes(left_out),
        folder=folder,
        places=np.concatenate(places),
    )


def _notes(left_out: dict[str, str]) -> tuple[str, ...]:
    copies = sum(why.startswith("exact copy") for why in left_out.values())
    notes = []
    if copies:
        notes.append(f"{copies} exact copies of other images were left out.")
    if len(left_out) > copies:
        notes.append(f"{len(left_out) - copies} images could not be read and were left out.")
    return tuple(notes)


def _check_counts(listing: Listing, labels: NDArray[np.int64], left_out: dict[str, str]) -> None:
    counts = np.bincount(labels, minlength=len(listing.class_names))
    for label in np.flatnonzero(counts == 0):
        reasons = [
            left_out.get(str(record.path), "")
            for record in listing.records
            if record.label == label
        ]
        raise DatasetError(
            f"No image of the class {listing.class_names[label]} can be used: {reasons[0]}"
        )


@dataclass(frozen=True, slots=True)
class _Read:
    facts: ImageFacts
    tiles: NDArray[np.uint8]
    places: NDArray[np.int64]
    thumbnail: NDArray[np.uint8]
    side: int


@dataclass(frozen=True, slots=True)
class _Unreadable:
    path: Path
    why: str


def _read_ahead(records: tuple[ImageRecord, ...], *settings: Any) -> Iterator[_Read | _Unreadable]:
    """Images in order, decoded by several threads a few ahead of the caller."""
    workers = min(16, os.cpu_count() or 1)
    ahead: list[Future[_Read | _Unreadable]] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        try:
            for record in records:
                ahead.append(pool.submit(_read, record, *settings))
                if len(ahead) >= 2 * workers:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        finally:
            for waiting in ahead:
                with suppress(Exception):
                    waiting.cancel()


def _read(
    record: ImageRecord,
    tile_px: int | None,
    crop: RowCrop | None,
    side: int,
    recipe: IntensityRecipe,
) -> _Read | _Unreadable:
    from napari_sem_classify.core.sem_io import open_image

    try:
        image = open_image(record.path)
        if crop is not None:
            image = crop.apply(image)
        plane = (0,) * len(image.leading_shape)
        measured = measure_range(image, recipe, plane)
        grid = tile_grid(image, tile_px)
        grey = stretch_to_uint8(image.read(image.area, plane), measured)
    except SemClassifyError as error:
        return _Unreadable(record.path, str(error))
    tiles, places = _cut(grey, image, grid, side)
    if not len(tiles):
        return _Unreadable(record.path, f"{record.path} holds no data: it is black throughout.")
    area = image.area
    facts = ImageFacts(
        record,
        file_sha256(record.path),
        image.shape,
        image.pixel_size_nm,
        (area.top, area.bottom, area.left, area.right),
    )
    return _Read(facts, tiles, places, shrink(grey, THUMBNAIL_PX), grid.tile)


def _cut(
    grey: NDArray[np.uint8], image: SemImage, grid: TileGrid, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Tiles of an image that hold data, shape (n, side, side), and where they lie, shape (n, 2).

    An image smaller than a tile is reflected.
    """
    area = image.area
    missing = [max(0, grid.tile - length) for length in (area.height, area.width)]
    if any(missing):
        grey = np.pad(grey, [(0, length) for length in missing], mode="reflect")
    tiles = np.empty((grid.n_tiles, side, side), dtype=np.uint8)
    places = np.empty((grid.n_tiles, 2), dtype=np.int64)
    for number, window in enumerate(grid.windows()):
        places[number] = window.top, window.left
        top, left = window.top - area.top, window.left - area.left
        tiles[number] = shrink(grey[top : top + grid.tile, left : left + grid.tile], side)
    hold = tiles.any(axis=(1, 2))
    return tiles[hold], places[hold]


def shrink(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Grey picture resized to side × side, antialiased where it shrinks."""
    from PIL import Image

    if grey.shape == (side, side):
        return grey
    picture = Image.fromarray(np.ascontiguousarray(grey))
    resized = picture.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)
