"""How much of a dark or bright line each square of the lattice is.

A line is narrow, which is what a closing by a small disk fills ("black top-hat"), and long, which
is what a closing by the disk fills and one by a short straight piece along it does not. Pores and
the edges of phases are one of the two. The strength is the root of both depths' product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NARROW = (1, 2)
"""Radii of the disks, in squares: lines up to some five squares wide."""
PIECE = 9
"""Length of the straight pieces, in squares."""
DIRECTIONS = 12
_BLUR, _REACH = 0.5, 2
HALO = 2 * (PIECE // 2) + _REACH + 1
"""Squares around a block that its strengths depend on."""


def line_strength(grey: NDArray[np.float32], *, dark: bool) -> NDArray[np.float32]:
    """Strength of lines, 0 for none, in grey values.

    Parameters
    ----------
    grey : float32, shape (rows, cols)
        0 to 1, see `Lattice.read`.
    dark : bool
        Whether lines are darker than what surrounds them.
    """
    from scipy.ndimage import gaussian_filter, grey_closing

    smooth = gaussian_filter(grey if dark else -grey, _BLUR, mode="reflect", radius=_REACH)
    disks = [grey_closing(smooth, footprint=_disk(radius), mode="reflect") for radius in NARROW]
    narrow = np.max(disks, axis=0) - smooth
    pieces = [
        grey_closing(smooth, footprint=_piece(angle), mode="reflect")
        for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    ]
    long = np.maximum(disks[-1] - np.min(pieces, axis=0), 0)
    return np.asarray(np.sqrt(narrow * long), dtype=np.float32)


def _disk(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y * y + x * x <= radius * radius)


def _piece(angle: float) -> NDArray[np.bool_]:
    half = PIECE // 2
    found = np.zeros((PIECE, PIECE), np.bool_)
    along = np.linspace(-half, half, 4 * PIECE)
    found[
        np.rint(half + along * np.sin(angle)).astype(int),
        np.rint(half + along * np.cos(angle)).astype(int),
    ] = True
    return found
