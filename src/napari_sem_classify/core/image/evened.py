"""Mosaics whose frames differ in exposure, brought to one range before anything else sees them.

Either frame by frame, each over its own range, or locally: over the brightness of overlapping
blocks, between which it goes over smoothly. What comes out is an image like any other, read region
by region, whose black and white are known.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.frames import find_frames
from napari_sem_classify.core.image.intensity import (
    EVENED,
    IntensityRecipe,
    measure_range,
    no_data_mask,
    range_of,
)
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.image.tile_note import SOURCE_RANGE

LOCAL_PX = 512
"""Side of the blocks in px; neighbours share half of it."""

THIN, FEWEST_PX = 4, 64
"""Every so many rows and columns tell enough of a block; with so few pixels it tells nothing."""

BAND_ROWS = 256
_AT_ONCE_PX = 1 << 20

Numbers = NDArray[np.float64]


def evened_plane(
    image: SemImage, recipe: IntensityRecipe, plane: tuple[int, ...] = ()
) -> tuple[SemImage, tuple[int, ...]]:
    """A plane of an image as a recipe evens it out; the ranges are found at the first look.

    Returns
    -------
    SemImage
        A single plane, uint8 where the image is, else uint16; 0 where there is no data. The image
        itself where the recipe leaves it whole, or where a tile tells the range of its image.
    plane
        Where the plane lies in it.
    """
    if recipe.over == "image" or image.source_range is not None:
        return image, plane
    data = _Evened(image, recipe, plane)
    told = {name: recipe.to_dict().get(name) for name in ("over", "frame_px")}
    metadata = {**image.metadata, SOURCE_RANGE: [1.0, float(data.white)], EVENED: told}
    rows, cols = image.shape
    # In bands where it is not stored in chunks, so that a small one is read once and held.
    chunks = image.chunks or (min(rows, BAND_ROWS), cols)
    return replace(image, data=data, colour="grey", metadata=metadata, chunks=chunks), ()


class _Evened:
    """Pixels of one plane, each stretched over the range of its place; found once, lazily."""

    ndim = 2

    def __init__(self, image: SemImage, recipe: IntensityRecipe, plane: tuple[int, ...]) -> None:
        self._image, self._recipe, self._plane = image, recipe, plane
        self.shape = image.shape
        self.dtype = np.dtype(np.uint8 if image.dtype == np.uint8 else np.uint16)
        self.white = 255 if self.dtype == np.uint8 else 65535
        self._lock = threading.Lock()
        self._found: _Ranges | None = None

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        (top, bottom, _), (left, right, _) = (
            span.indices(length) for span, length in zip(key, self.shape, strict=True)
        )
        ranges = self._ranges()
        pixels = self._image.read(Area(top, bottom, left, right), self._plane)
        made = np.empty(pixels.shape, self.dtype)
        cols, step = np.arange(left, right), max(1, _AT_ONCE_PX // max(1, right - left))
        for start in range(0, len(pixels), step):
            some = pixels[start : start + step]
            low, high = ranges.at(np.arange(len(some)) + top + start, cols)
            with np.errstate(over="ignore", invalid="ignore"):
                scaled = np.nan_to_num((some - low) / (high - low), posinf=1.0, neginf=0.0)
            grey = np.rint(np.clip(scaled, 0.0, 1.0) * (self.white - 1) + 1).astype(self.dtype)
            grey[no_data_mask(some)] = 0
            made[start : start + step] = grey
        return made

    def _ranges(self) -> _Ranges:
        with self._lock:  # tiles are read ahead by threads
            if self._found is None:
                measure = _by_frame if self._recipe.over == "frames" else _by_block
                self._found = measure(self._image, self._recipe, self._plane)
            return self._found


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Black and white of places; between places where `smooth`, else from one to the next.

    `rows` and `cols` are where places have their middle, else where they begin.
    """

    rows: Numbers
    cols: Numbers
    low: Numbers
    high: Numbers
    smooth: bool

    def at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """Black and white of pixels, both float64 of shape (rows, columns)."""
        down, across = (
            _weights(places, at, self.smooth)
            for places, at in ((self.rows, rows), (self.cols, cols))
        )
        low, high = (_mixed(each, down, across) for each in (self.low, self.high))
        return low, high


_Weights = tuple[NDArray[np.int64], NDArray[np.int64], Numbers]


def _weights(places: Numbers, at: NDArray[np.int64], smooth: bool) -> _Weights:
    """Number of the place before each pixel and of the next, and how far it is on the way."""
    before = np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 1)
    after = np.minimum(before + 1, len(places) - 1)
    gap = places[after] - places[before]
    if not smooth or not gap.any():
        return before, before, np.zeros(len(at))
    return before, after, np.clip((at - places[before]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)


def _mixed(values: Numbers, down: _Weights, across: _Weights) -> Numbers:
    before, after, share = across
    along = values[:, before] * (1 - share) + values[:, after] * share
    before, after, share = down
    mixed: Numbers = along[before] * (1 - share)[:, None] + along[after] * share[:, None]
    return mixed


def _by_frame(image: SemImage, recipe: IntensityRecipe, plane: tuple[int, ...]) -> _Ranges:
    """The range of each frame, as `measure_range` finds that of an image of its own."""
    area = image.area
    size = recipe.frame_px or find_frames(image, plane) or (area.height, area.width)
    tops = range(area.top, area.bottom, size[0])
    lefts = range(area.left, area.right, size[1])
    whole = replace(recipe, over="image", frame_px=None)
    found = np.empty((2, len(tops), len(lefts)))
    for row, top in enumerate(tops):
        for col, left in enumerate(lefts):
            bottom, right = min(top + size[0], area.bottom), min(left + size[1], area.right)
            frame = Area(top, bottom, left, right)
            try:
                measured = measure_range(image.with_area(frame), whole, plane)
                found[:, row, col] = measured.low, measured.high
            except ImageError:  # without a finite value: what cannot be read is told by its tiles
                found[:, row, col] = 0.0, 1.0
    starts = np.array(tops, np.float64), np.array(lefts, np.float64)
    return _Ranges(*starts, found[0], found[1], smooth=False)


def _by_block(image: SemImage, recipe: IntensityRecipe, plane: tuple[int, ...]) -> _Ranges:
    """The range around places half a block apart, from a thinned look at bands of the image."""
    area, step = image.area, LOCAL_PX // 2
    n_rows, n_cols = (-(-length // step) for length in (area.height, area.width))
    found = np.full((2, n_rows + 1, n_cols + 1), np.nan)
    side = step // THIN
    above: NDArray[Any] | None = None
    for row in range(n_rows + 1):
        top = area.top + row * step
        here = None
        if row < n_rows:
            band = Area(top, min(top + step, area.bottom), area.left, area.right)
            here = image.read(band, plane)[::THIN, ::THIN]
        both = np.concatenate([each for each in (above, here) if each is not None])
        for col in range(n_cols + 1):
            block = both[:, max(0, (col - 1) * side) : (col + 1) * side]
            if np.count_nonzero(~no_data_mask(block)) >= FEWEST_PX:
                measured = range_of(block.ravel(), recipe)
                if measured is not None:
                    found[:, row, col] = measured.low, measured.high
        above = here
    rows = np.arange(n_rows + 1, dtype=np.float64) * step + area.top
    cols = np.arange(n_cols + 1, dtype=np.float64) * step + area.left
    low, high = _filled(found)
    return _Ranges(rows, cols, low, high, smooth=True)


def _filled(found: Numbers) -> Numbers:
    """Places without data get the range of the nearest that has some."""
    from scipy.ndimage import distance_transform_edt

    without = np.isnan(found[0])
    if without.all():
        return np.stack([np.zeros(without.shape), np.ones(without.shape)])
    nearest = distance_transform_edt(without, return_distances=False, return_indices=True)
    filled: Numbers = found[:, nearest[0], nearest[1]]
    return filled
