"""Where the frames of a mosaic meet: jumps of brightness along whole rows and columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage

STRIPS, STRIP_PX = 16, 32
"""Strips that are read in each direction: enough to see a border that goes all the way."""
PIECE_PX = 8192
SMALLEST_FRAME_PX = 128
MOST_FRAMES = 64
"""In a row or column."""

JUMP = 4.0
"""A border's jump is so many times the usual change from one row to the next."""
SHARE = 0.8
"""Of the borders that have to show one; neighbouring frames may have been equally bright."""


def find_frames(image: SemImage, plane: tuple[int, ...] = ()) -> tuple[int, int] | None:
    """Size of a mosaic's frames, where they are equal and fill the specimen area.

    Only a bounded number of strips is read.

    Returns
    -------
    (int, int) or None
        Rows and columns of a frame; None where no regular borders show.

    Raises
    ------
    ImageError
        When the file cannot be read.
    """
    area = image.area
    found = [_period(_changes(image, plane, axis)) for axis in (0, 1)]
    if found == [None, None]:
        return None
    return found[0] or area.height, found[1] or area.width


def _changes(image: SemImage, plane: tuple[int, ...], axis: int) -> NDArray[np.float64]:
    """Mean size of the change from each row (axis 0) or column to the next, over the strips."""
    area = image.area
    whole, across = (area.height, area.width) if axis == 0 else (area.width, area.height)
    first, side = (area.top, area.left) if axis == 0 else (area.left, area.top)
    width = min(STRIP_PX, across)
    total = np.zeros(whole - 1)
    for start in np.linspace(side, side + across - width, STRIPS).astype(int).tolist():
        means = []
        for begin in range(first, first + whole, PIECE_PX):
            end = min(begin + PIECE_PX, first + whole)
            strip = (start, start + width)
            window = Area(begin, end, *strip) if axis == 0 else Area(*strip, begin, end)
            pixels = image.read(window, plane)
            with np.errstate(invalid="ignore"):
                means.append(pixels.mean(axis=1 - axis, dtype=np.float64))
        total += np.abs(np.nan_to_num(np.diff(np.concatenate(means))))
    return total / STRIPS


def _period(changes: NDArray[np.float64]) -> int | None:
    """The smallest part of the whole at whose multiples the changes jump."""
    whole = len(changes) + 1
    usual = float(np.median(changes))
    if usual <= 0:
        return None
    for count in range(min(MOST_FRAMES, whole // SMALLEST_FRAME_PX), 1, -1):
        if whole % count:
            continue
        at = np.arange(1, count) * (whole // count) - 1
        if np.mean(changes[at] > JUMP * usual) >= SHARE:
            return whole // count
    return None
