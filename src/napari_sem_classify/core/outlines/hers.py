"""What the user drew herself: pixels that she painted on outlines, as evidence for the rest.

Her pixels stay as she painted them, and what looks like them nearby follows. They teach no
classifier and do not say how much the map counts: she paints where outlines are wrong, which tells
nothing of where they are right (docs/outlines.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.outlines.lattice import Lattice


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


def as_painted(probabilities: NDArray[np.float32], hers: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Probabilities of squares, those that the user painted being what she said."""
    said = (hers > 0) & ~np.isnan(probabilities[..., 0])
    probabilities[said] = np.eye(probabilities.shape[-1], dtype=np.float32)[hers[said] - 1]
    return probabilities
