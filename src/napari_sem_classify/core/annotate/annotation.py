"""From what a user drew to a class per tile: label images, polygons and points.

A tile takes a class when that class covers at least a set share of it. Thin things (cracks) never
cover most of a tile, so a class may have a rule of its own: "contains at least so much". Tiles
with labels of which none is enough are mixed: left out and counted, so that a model never learns
from a tile whose class is a matter of taste.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.sem_image import ArrayLike
from napari_sem_classify.core.tiles.grid import TileGrid

MIN_SHARE = 0.6
MAX_LABEL_VALUES = 256
MIN_TILES_PER_CLASS = 2
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class TileLabels:
    """The class of each tile of a grid.

    Attributes
    ----------
    labels : int64, shape ``grid.tile_shape``
        Index into `class_names`, or `UNLABELLED` (-1).
    mixed : bool, same shape
        True where a tile has labels, but not enough of one class: it is left out.
    """

    labels: NDArray[np.int64]
    mixed: NDArray[np.bool_]
    class_names: tuple[str, ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Tiles of each class, shape (classes,)."""
        known = self.labels[self.labels >= 0]
        return np.bincount(known, minlength=len(self.class_names)).astype(np.int64)

    @property
    def n_labelled(self) -> int:
        """Tiles with a class."""
        return int(np.count_nonzero(self.labels >= 0))

    @property
    def n_mixed(self) -> int:
        """Tiles left out because no class has enough of them."""
        return int(np.count_nonzero(self.mixed))


def tiles_from_mask(
    mask: ArrayLike,
    grid: TileGrid,
    classes: Mapping[int, str] | Sequence[tuple[int, str]],
    *,
    min_share: float = MIN_SHARE,
    contains: Mapping[int, float] | None = None,
    name: str = "The label image",
) -> TileLabels:
    """Give each tile the class that covers enough of it; ties are mixed.

    Read in bands one tile high, so that a lazy mask of any size will do.

    Parameters
    ----------
    mask : array-like of bool or integers, shape (rows, cols)
        In pixels of the image; a grid that leaves it is an error.
    classes : mapping or pairs of label value and class name
        Values that are not listed are unlabelled.
    min_share : float
        Share of a tile's pixels that a class has to cover, above 0 up to 1.
    contains : mapping of label value to share, optional
        A tile that contains at least this share of the value takes its class, whatever else
        covers it. Of several such classes the one with the largest share wins.
    name : str
        What the mask is called in messages.

    Raises
    ------
    AnnotationError
        When the mask is not two-dimensional, not of integers, too small for the grid, or holds
        more than `MAX_LABEL_VALUES` values, as numbered objects do.
    """
    names, rules = dict(classes), dict(contains or {})
    _check_shares(min_share, rules)
    _check_mask(mask, grid, name)
    counts = _count(mask, grid, list(names), name)
    shares = counts / np.multiply.outer(*_window_sizes(grid))[..., None]

    own = np.array([rules.get(value, np.nan) for value in names])
    contained = np.where(shares >= own, shares, 0.0)  # never where there is no rule of its own
    filling = np.where(np.isnan(own) & (shares >= min_share), shares, 0.0)
    score = np.where(contained.max(axis=-1, keepdims=True) > 0, contained, filling)
    best = score.max(axis=-1)
    decided = (best > 0) & (np.count_nonzero(score == best[..., None], axis=-1) == 1)
    labels = np.where(decided, score.argmax(axis=-1), UNLABELLED).astype(np.int64)
    return TileLabels(labels, counts.any(axis=-1) & ~decided, tuple(names.values()))


def tiles_from_polygons(
    polygons: Sequence[NDArray[Any]],
    values: Sequence[int],
    grid: TileGrid,
    class_names: Sequence[str],
    *,
    min_share: float = MIN_SHARE,
    contains: Mapping[int, float] | None = None,
) -> TileLabels:
    """Give each tile the class of the polygons that cover enough of it.

    Parameters
    ----------
    polygons : sequence of float, shape (corners, 2)
        Rows and columns in image pixel coordinates; where two overlap the later one lies on top.
    values : sequence of int
        Index into `class_names` of each polygon.
    min_share, contains
        As in `tiles_from_mask`; `contains` by index.
    """
    drawn = _DrawnPolygons(
        (grid.area.bottom, grid.area.right),
        [np.asarray(polygon, dtype=np.float64)[:, -2:] for polygon in polygons],
        [int(value) for value in values],
    )
    return tiles_from_mask(
        drawn,
        grid,
        [(index + 1, class_name) for index, class_name in enumerate(class_names)],
        min_share=min_share,
        contains={index + 1: share for index, share in (contains or {}).items()},
    )


def tiles_from_points(
    points: NDArray[Any], values: Sequence[int], grid: TileGrid, class_names: Sequence[str]
) -> TileLabels:
    """Give the class of each point to the tile whose centre is nearest to it.

    A tile with points of several classes is mixed.

    Parameters
    ----------
    points : float, shape (N, 2)
        Rows and columns in image pixel coordinates; those outside the grid's area are left out.
    values : sequence of int, length N
        Index into `class_names` of each point.
    """
    places = np.asarray(points, dtype=np.float64).reshape(-1, np.asarray(points).shape[-1])[:, -2:]
    numbers = np.asarray(values, dtype=np.int64)
    area = grid.area
    lower, upper = np.array([area.top, area.left]) - 0.5, np.array([area.bottom, area.right]) - 0.5
    inside = ((places >= lower) & (places < upper)).all(axis=1)
    heights, widths = _window_sizes(grid)
    row = _nearest(places[inside, 0], grid.row_starts() + (heights - 1) / 2)
    col = _nearest(places[inside, 1], grid.col_starts() + (widths - 1) / 2)
    found = np.zeros((*grid.tile_shape, len(class_names)), dtype=bool)
    found[row, col, numbers[inside]] = True
    n_found = found.sum(axis=-1)
    labels = np.where(n_found == 1, found.argmax(axis=-1), UNLABELLED).astype(np.int64)
    return TileLabels(labels, n_found > 1, tuple(class_names))


def check_teachable(counts: Sequence[int] | NDArray[Any], class_names: Sequence[str]) -> None:
    """Refuse annotations from which no model can be learned, given the tiles of each class.

    Raises
    ------
    AnnotationError
        When no tile, tiles of one class only, or fewer than `MIN_TILES_PER_CLASS` tiles of a class
        are annotated.
    """
    numbers = [int(count) for count in counts]
    if sum(numbers) == 0:
        raise AnnotationError(
            "No tile is annotated with a class: annotate some, choose smaller tiles, or ask for "
            "a smaller share of a tile."
        )
    present = [class_names[index] for index, count in enumerate(numbers) if count]
    if len(present) < 2:
        raise AnnotationError(
            f'Only the class "{present[0]}" is annotated: annotate tiles of a second class too.'
        )
    for class_name, count in zip(class_names, numbers, strict=True):
        if count < MIN_TILES_PER_CLASS:
            have = "no tile" if count == 0 else "one tile only"
            raise AnnotationError(
                f'The class "{class_name}" has {have}: annotate at least {MIN_TILES_PER_CLASS}, or '
                f'let tiles that contain a little of it count ("{class_name}>=2%").'
            )


def label_values(mask: ArrayLike, name: str = "The label image") -> NDArray[np.int64]:
    """Give the different values in a mask, increasing; raises as `tiles_from_mask` does."""
    _check_dtype(mask, name)
    seen: set[int] = set()
    for top in range(0, mask.shape[0], 512):
        seen.update(np.unique(np.asarray(mask[top : top + 512])).tolist())
        _check_values(seen, name)
    return np.array(sorted(seen), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _DrawnPolygons:
    """Polygons as a lazy mask: 0 where there is none, the class index + 1 inside."""

    shape: tuple[int, ...]
    polygons: list[NDArray[np.float64]]
    values: list[int]

    @property
    def dtype(self) -> Any:
        return np.dtype(np.int32)

    @property
    def ndim(self) -> int:
        return 2

    def __getitem__(self, key: Any) -> NDArray[np.int32]:
        from skimage.draw import polygon

        rows = range(*key.indices(self.shape[0]))
        band = np.zeros((len(rows), self.shape[1]), dtype=np.int32)
        for corners, value in zip(self.polygons, self.values, strict=True):
            if corners[:, 0].max() >= rows.start and corners[:, 0].min() < rows.stop:
                inside: Any = polygon(  # type: ignore[no-untyped-call]
                    corners[:, 0] - rows.start, corners[:, 1], band.shape
                )
                band[inside] = value + 1
        return band


def _check_shares(min_share: float, rules: Mapping[int, float]) -> None:
    for share in (min_share, *rules.values()):
        if not 0.0 < share <= 1.0:
            raise AnnotationError(
                f"A tile cannot be covered to a share of {share:.0%}: use above 0 % up to 100 %."
            )


def _check_mask(mask: ArrayLike, grid: TileGrid, name: str) -> None:
    _check_dtype(mask, name)
    rows, cols = (int(length) for length in mask.shape)
    if rows < grid.area.bottom or cols < grid.area.right:
        raise AnnotationError(
            f"{name} has {rows} × {cols} px, and the tiles reach to {grid.area.bottom} × "
            f"{grid.area.right} px: use labels of the image's own size."
        )


def _check_dtype(mask: ArrayLike, name: str) -> None:
    if mask.ndim != 2:
        raise AnnotationError(
            f"{name} has {mask.ndim} dimensions: use a grey image with one label value a pixel."
        )
    dtype = np.dtype(mask.dtype)
    if dtype.kind not in "biu":
        raise AnnotationError(
            f"{name} holds decimal numbers ({dtype}), not label values: save it with whole numbers."
        )


def _check_values(seen: set[int], name: str) -> None:
    if len(seen) > MAX_LABEL_VALUES:
        raise AnnotationError(
            f"{name} holds more than {MAX_LABEL_VALUES} label values: it seems to number objects; "
            "use a label image with one value a class."
        )


def _count(
    mask: ArrayLike, grid: TileGrid, values: Sequence[int], name: str
) -> NDArray[np.float64]:
    """Pixels of each value in each tile, shape (rows, cols, values)."""
    rows, cols = grid.tile_shape
    left = grid.col_starts()
    right = np.minimum(left + grid.tile, grid.area.right)
    counts = np.zeros((rows, cols, len(values)))
    seen: set[int] = set()
    may_number_objects = np.dtype(mask.dtype).itemsize > 1
    for row, top in enumerate(grid.row_starts()):
        band = np.asarray(mask[int(top) : int(min(top + grid.tile, grid.area.bottom))])
        if may_number_objects:
            seen.update(np.unique(band).tolist())
            _check_values(seen, name)
        for index, value in enumerate(values):
            column = np.count_nonzero(band == value, axis=0)
            running = np.concatenate([[0], np.cumsum(column)])
            counts[row, :, index] = running[right] - running[left]
    return counts


def _window_sizes(grid: TileGrid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, cols = grid.row_starts(), grid.col_starts()
    return (
        np.minimum(rows + grid.tile, grid.area.bottom) - rows,
        np.minimum(cols + grid.tile, grid.area.right) - cols,
    )


def _nearest(values: NDArray[np.float64], centres: NDArray[Any]) -> NDArray[np.int64]:
    edges = (centres[1:] + centres[:-1]) / 2
    return np.searchsorted(edges, values).astype(np.int64)
