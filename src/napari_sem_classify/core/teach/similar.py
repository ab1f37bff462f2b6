"""Tiles like one that is pointed at, and groups of tiles that look alike: before any class exists.

How alike two tiles are is the cosine between their features along the axes in which the tiles of
the first one's image differ: what all its tiles have in common says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.teach.axes import Axes
from napari_sem_classify.core.teach.suggest import cluster, typicality
from napari_sem_classify.core.tiles.grid import TileGrid

NO_DATA = "This tile holds no data: point at another one."


@dataclass(frozen=True, slots=True)
class Sample:
    """A tile to compare others with.

    Attributes
    ----------
    axes : Axes
        Of the tiles of its image.
    point : float32, shape (components,)
        Its place along them.
    """

    axes: Axes
    point: NDArray[np.float32]

    def similarity(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """How alike tiles are, -1 to 1, from their features (N, features) of any image."""
        return similarity(self.axes.points(features), self.point)


def similarity(points: NDArray[np.float32], point: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine between each of some places (N, components) and one, -1 to 1."""
    length, own = np.linalg.norm(points, axis=1), float(np.linalg.norm(point))
    if own == 0.0:  # the middle itself: alike is what lies there too
        return np.asarray(length == 0.0, dtype=np.float32)
    cosine = points @ (point / np.float32(own))
    found = np.divide(cosine, length, out=np.zeros_like(cosine), where=length > 0)
    return np.asarray(np.clip(found, -1.0, 1.0), dtype=np.float32)


def most_similar(
    values: NDArray[np.float32], open_: NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """At most `n` tiles with the highest `values` (N,) of those that are open, the best first."""
    free = np.flatnonzero(open_ & ~np.isnan(values))
    order = np.argsort(-values[free], kind="stable")[:n]
    return np.asarray(free[order], dtype=np.int64)


def tile_at(grid: TileGrid, y: float, x: float) -> tuple[int, int] | None:
    """Row and column of the tile drawn over a place, in image pixels; None outside the specimen.

    For tiles side by side.
    """
    row = round(y) - grid.area.top
    col = round(x) - grid.area.left
    if not (0 <= row < grid.area.height and 0 <= col < grid.area.width):
        return None
    return row // grid.stride, col // grid.stride


def sample_at(axes: Axes, features: NDArray[Any], row: int) -> Sample:
    """The tile in a row of `features` (N, features) as a sample.

    Raises
    ------
    AnnotationError
        When the tile has no features (a row below 0).
    """
    if row < 0:
        raise AnnotationError(NO_DATA)
    return Sample(axes, axes.points(features[row : row + 1])[0])


def group_tiles(points: NDArray[np.float32], n_groups: int, seed: int = 0) -> NDArray[np.int64]:
    """Put tiles that look alike into groups.

    The same tiles give the same groups.

    Parameters
    ----------
    points : float32, shape (N, components)
        From `Axes.points`.

    Returns
    -------
    int64, shape (N,)
        Number of each tile's group, from 0, the largest group first.
    """
    found = cluster(points, min(n_groups, len(points)), seed)
    sizes = np.bincount(found)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[found]


def typical_of(
    points: NDArray[np.float32], open_: NDArray[np.bool_], members: NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """At most `n` tiles of a group that show best what it is, the most typical first.

    Parameters
    ----------
    open_, members : bool, shape (N,)
        Which tiles may be chosen, and which are in the group.
    """
    free = np.flatnonzero(open_ & members)
    if not len(free):
        return free.astype(np.int64)
    order = np.argsort(-typicality(points[members], points[free]), kind="stable")[:n]
    return np.asarray(free[order], dtype=np.int64)
