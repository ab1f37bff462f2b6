"""The resolutions of a multiscale image: what lies where on each of them.

A pixel of a coarser level stands for the block of finest pixels it was made from, so blocks share
their borders and, with integers for pixel centres, ``finest = f * coarse + (f - 1) / 2``. Factors
are the quotients of the shapes, as viewers use them.
"""

from __future__ import annotations

import math

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import Specimen


def level_factors(full: tuple[int, int], level: tuple[int, int]) -> tuple[float, float]:
    """Finest pixels per pixel of a level, along rows and columns, from the two shapes."""
    return full[0] / level[0], full[1] / level[1]


def specimen_at_level(
    specimen: Specimen, full: tuple[int, int], level: tuple[int, int]
) -> Specimen:
    """The specimen area in pixels of a coarser level: those that lie wholly in it.

    Where the area is narrower than a pixel of the level, that pixel is taken. `specimen` is in
    pixels of the finest level; `full` and `level` are rows and columns of that and the one wanted.
    """
    if full == level:
        return specimen
    area = specimen.area
    rows, cols = level_factors(full, level)
    top, bottom = _inside(area.top, area.bottom, rows, level[0])
    left, right = _inside(area.left, area.right, cols, level[1])
    return Specimen(Area(top, bottom, left, right), specimen.source, specimen.reason)


def _inside(start: int, stop: int, factor: float, length: int) -> tuple[int, int]:
    # A hair of tolerance: the factor of an odd length is no whole number.
    first = min(math.ceil(start / factor - 1e-6), length - 1)
    last = min(math.floor(stop / factor + 1e-6), length)
    return first, max(last, first + 1)
