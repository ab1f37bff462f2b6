"""What the user drew herself: pixels that she painted on outlines, as evidence for the rest.

Her pixels stay as she painted them, and what looks like them nearby follows. Of two classes or more
they teach the classifier of pixels beside the tiles. They do not say how much the map counts: she
paints where it is wrong, which tells nothing of where it is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.outlines.lattice import Lattice
from napari_sem_classify.core.outlines.pixel_fit import Pixels

if TYPE_CHECKING:
    from napari_sem_classify.core.outlines.evidence import Scene

MOST_TAUGHT = 4096
"""Squares that teach, evenly over those of each class."""


def in_squares(labels: NDArray[Any], lattice: Lattice) -> NDArray[np.uint16]:
    """Class number of each square of the lattice that she painted whole; 0 for the others.

    Parameters
    ----------
    labels : integer, shape (rows, cols)
        Of the area, px by px: 0 where she said nothing, 1 the first class.
    """
    px = lattice.px
    beyond = [(0, -length % px) for length in labels.shape]
    if any(more for _, more in beyond):
        labels = np.pad(labels, beyond, mode="edge")
    rows, cols = lattice.shape
    squares = labels.reshape(rows, px, cols, px)
    low, high = squares.min(axis=(1, 3)), squares.max(axis=(1, 3))
    return np.where(low == high, low, 0).astype(np.uint16)


def her_pixels(scene: Scene, reporter: Reporter) -> Pixels | None:
    """Looks and classes of the squares that she painted.

    None where she painted fewer than two classes: one alone tells it from no other, and would only
    be thought more frequent everywhere.
    """
    hers = scene.hers
    if hers is None:
        return None
    chosen = np.zeros(hers.shape, np.bool_)
    numbers = np.unique(hers[hers > 0])
    if len(numbers) < 2:
        return None
    for number in numbers:
        mine = np.flatnonzero(hers == number)
        most = min(len(mine), MOST_TAUGHT // len(numbers))
        chosen.flat[mine[np.linspace(0, len(mine) - 1, most).astype(np.int64)]] = True
    parts = []
    for block in scene.lattice.blocks():
        inside = chosen[block.top : block.bottom, block.left : block.right]
        if not inside.any():
            continue
        at = np.nonzero(inside)
        rows, cols = at[0] + block.top, at[1] + block.left
        small = Area(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
        seen = scene.looks(small)[rows - small.top, cols - small.left]
        parts.append((seen, hers[rows, cols].astype(np.int64) - 1))
        reporter.check()
    return Pixels(*(np.concatenate(each) for each in zip(*parts, strict=True)))
