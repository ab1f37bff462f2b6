"""How each square of the lattice looks: grey value, contrast, edges and ridges at four scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.outlines.lattice import Lattice

SCALES = (1 / 64, 1 / 32, 1 / 16, 1 / 8)
"""Widths of the Gaussian filters, in tiles."""
WIDE = 1 / 2
"""Of the filter that gives the local background."""
LOOKS = 5 * len(SCALES) + 1
_TRUNCATE = 3.0


def halo_of(lattice: Lattice) -> int:
    """Squares around a block that its looks depend on."""
    return int(np.ceil(_TRUNCATE * WIDE * lattice.tile / lattice.px)) + 3


def looks(
    grey: NDArray[np.float32], square: NDArray[np.float32], lattice: Lattice
) -> NDArray[np.float32]:
    """Looks of squares, from their mean grey value and mean squared grey value.

    Of each scale: brightness over the local background, slope, the two curvatures (a dark line has
    a large first one, a bright line a low second one) and the spread of grey values.

    Returns
    -------
    float32, shape (rows, cols, LOOKS)
    """
    unit = lattice.tile / lattice.px
    found = np.empty((*grey.shape, LOOKS), dtype=np.float32)
    background = _smoothed(grey, WIDE * unit)
    for number, scale in enumerate(SCALES):
        width = scale * unit
        smooth = _smoothed(grey, width)
        y, x = _slopes(smooth)
        yy, yx = _slopes(y)
        _, xx = _slopes(x)
        half = (yy + xx) / 2
        apart = np.sqrt(((yy - xx) / 2) ** 2 + yx**2)
        spread = np.sqrt(np.maximum(_smoothed(square, width) - smooth * smooth, 0))
        at = 5 * number
        found[..., at] = smooth - background
        found[..., at + 1] = width * np.hypot(y, x)
        found[..., at + 2] = width * width * (half + apart)
        found[..., at + 3] = width * width * (half - apart)
        found[..., at + 4] = spread
    found[..., -1] = background
    return found


def _smoothed(values: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(values, width, mode="reflect", truncate=_TRUNCATE)
    return np.asarray(smooth, dtype=np.float32)


def _slopes(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Central differences along rows and columns, 0 beyond the border."""
    padded = np.pad(values, 1, mode="edge")
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * np.float32(0.5)
    right = (padded[1:-1, 2:] - padded[1:-1, :-2]) * np.float32(0.5)
    return down, right
