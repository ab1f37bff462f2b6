"""Tiles named by where they lie in a region of the image, before anybody copies them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cut:
    """Tiles that lie in one region.

    Attributes
    ----------
    pixels : uint8 or uint16, shape (rows, columns)
        The region; cuts of the same region share the same array, which nobody changes.
    rows, cols : int64, shape (N,)
        First row and column of each tile in it.
    """

    pixels: NDArray[Any]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
