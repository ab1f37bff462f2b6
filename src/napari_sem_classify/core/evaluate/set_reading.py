"""Images read for a training set: cropped, stretched and cut into tiles, a few ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.record import file_sha256
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.evaluate.dataset import ImageRecord, RowCrop
from napari_sem_classify.core.evaluate.duplicates import THUMBNAIL_PX
from napari_sem_classify.core.evaluate.tile_ranges import TileRanges
from napari_sem_classify.core.image import intensity
from napari_sem_classify.core.image.evened import evened_plane
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import TileGrid


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image that is in the set; `key` is an annotated image's fingerprint."""

    record: ImageRecord
    sha256: str | None
    shape: tuple[int, int]
    pixel_size_nm: float | None
    specimen: tuple[int, int, int, int]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How every image is cut: see `make_training_set`; tiles are shrunk to `side`."""

    tile_px: int | None
    crop: RowCrop | None
    side: int
    ranges: TileRanges = field(default_factory=TileRanges)
    recipe: IntensityRecipe = IntensityRecipe()


@dataclass(frozen=True, slots=True)
class ReadImage:
    """An image with its tiles, where they lie, a thumbnail, and the side of a tile in the image."""

    facts: ImageFacts
    tiles: NDArray[np.uint8]
    places: NDArray[np.int64]
    thumbnail: NDArray[np.uint8]
    side: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that cannot be used, and why."""

    path: Path
    why: str


def tile_grid(image: SemImage, tile_px: int | None) -> TileGrid:
    """The tiles of an image for training and scoring; of its short side where `tile_px` is None.

    Raises
    ------
    GridError
        When the image is smaller than the smallest tile.
    """
    side = min(image.area.height, image.area.width) if tile_px is None else tile_px
    return TileGrid(image.area, side, side)


def read_ahead(records: tuple[ImageRecord, ...], cut: Cutting) -> Iterator[ReadImage | Unreadable]:
    """Images in order, decoded by several threads a few ahead of the caller."""
    workers = min(16, os.cpu_count() or 1)
    ahead: list[Future[ReadImage | Unreadable]] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        try:
            for record in records:
                ahead.append(pool.submit(_read, record, cut))
                if len(ahead) >= 2 * workers:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)


def open_cropped(path: Path, crop: RowCrop | None) -> SemImage:
    """Open an image, with the rows to use as its specimen area where some are given."""
    from napari_sem_classify.core.sem_io import open_image

    image = open_image(path)
    return image if crop is None else crop.apply(image)


def grey_picture(image: SemImage, recipe: IntensityRecipe = IntensityRecipe()) -> NDArray[np.uint8]:
    """The specimen area of an image, of a stack its first plane, stretched as a recipe says."""
    shown, plane = evened_plane(image, recipe, (0,) * len(image.leading_shape))
    measured = intensity.measure_range(shown, recipe, plane)
    return intensity.stretch_to_uint8(shown.read(image.area, plane), measured)


def _read(record: ImageRecord, cut: Cutting) -> ReadImage | Unreadable:
    try:
        image = cut.ranges.apply(open_cropped(record.path, cut.crop))
        grid = tile_grid(image, cut.tile_px)
        grey = grey_picture(image, cut.recipe)
    except SemClassifyError as error:
        return Unreadable(record.path, str(error))
    tiles, places = _cut(grey, image, grid, cut.side)
    if not len(tiles):
        return Unreadable(record.path, f"{record.path} holds no data: it is black throughout.")
    specimen = (image.area.top, image.area.bottom, image.area.left, image.area.right)
    sha256 = file_sha256(record.path)
    facts = ImageFacts(record, sha256, image.shape, image.pixel_size_nm, specimen)
    return ReadImage(facts, tiles, places, shrink(grey, THUMBNAIL_PX), grid.tile)


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
