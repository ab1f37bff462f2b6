"""How much an area fraction varies over the specimen: within one image, and from field to field.

A class map says how much of *this image* a class covers. What the specimen holds is known only as
well as the fields stand for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.evaluate.intervals import Floats
from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap
from napari_sem_classify.core.measure.area_fraction import FractionEstimate, Share, share_of

LEVEL = 0.95
DRAWS = 1000
MOST_LOOKED_AT = 512


@dataclass(frozen=True, slots=True)
class FieldSpread:
    """Mean share of a class over several fields, after ASTM E562.

    Attributes
    ----------
    fields : int
    mean, standard_deviation : float
        Of the shares, 0 to 1.
    half_width : float
        t s / √n, the 95 % confidence interval of the standard.
    relative_accuracy_percent : float
        %RA, 100 half_width / mean; NaN for a mean of 0.
    """

    fields: int
    mean: float
    standard_deviation: float
    half_width: float
    relative_accuracy_percent: float

    def fields_for(self, relative_accuracy_percent: float) -> int | None:
        """Fields that a wanted %RA needs, (200 s / (%RA mean))² (E562); None for a mean of 0."""
        if not self.mean > 0:
            return None
        wanted = 200.0 / relative_accuracy_percent * self.standard_deviation / self.mean
        return max(2, int(np.ceil(wanted**2)))


@dataclass(frozen=True, slots=True)
class BlockSpread:
    """Spread of the shares within one image, from resampling its blocks.

    Attributes
    ----------
    block_cells : int
        Side of a block in cells.
    blocks : int
        Blocks in the image.
    shares : tuple of Share
        One a class; the value is the map's.
    """

    block_cells: int
    blocks: int
    shares: tuple[Share, ...]


def field_spread(shares: Sequence[float]) -> FieldSpread:
    """Mean, interval and relative accuracy of one class's shares in several fields.

    ASTM E562 (volume fraction by systematic manual point count), section on calculation: the mean
    over n fields, their standard deviation with n - 1, the interval t s / √n with Student's t of
    n - 1 degrees of freedom, and %RA. The standard counts points; here every cell is a point.

    Raises
    ------
    AnnotationError
        With fewer than two fields.
    """
    from scipy.special import stdtrit

    values = np.asarray(shares, np.float64)
    n = len(values)
    if n < 2:
        raise AnnotationError(
            "The spread from field to field needs two fields or more: classify more images."
        )
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2.0)) * deviation / float(np.sqrt(n))
    relative = 100.0 * half / mean if mean > 0 else float("nan")
    return FieldSpread(n, mean, deviation, half, relative)


def field_shares(maps: Sequence[ClassMap], estimate: FractionEstimate | None = None) -> Floats:
    """Shares of each class in each field, shape (fields, classes).

    With an `estimate` from one review of all fields they are corrected: what the map calls class i
    is class j with the share p_ij found in the review, in every field alike.
    """
    naive = np.array([[row.fraction for row in class_map.fractions()] for class_map in maps])
    if estimate is None:
        return naive
    known = estimate.counts.shares
    return np.asarray(naive @ np.where(np.isnan(known), np.eye(len(known)), known))


def field_spreads(maps: Sequence[ClassMap]) -> list[FieldSpread] | None:
    """The spread of each class over the fields; None of one field and of different classes."""
    classes = {tuple(info.name for info in class_map.classes) for class_map in maps}
    if len(maps) < 2 or len(classes) > 1:
        return None
    return [field_spread(column) for column in field_shares(maps).T]


def pooled_fractions(maps: Sequence[ClassMap]) -> list[ClassFraction]:
    """Cells, area and area fraction of each class in all the maps together.

    The maps, at least one, have the same classes. µm² are None unless all are calibrated.
    """
    each = [class_map.fractions() for class_map in maps]
    total = sum(row.area_px for rows in each for row in rows)
    pooled = []
    for same in zip(*each, strict=True):
        area = sum(row.area_px for row in same)
        um2 = [row.area_um2 for row in same if row.area_um2 is not None]
        whole_um2 = sum(um2) if len(um2) == len(same) else None
        contains = next((row.contains for row in same if row.contains is not None), None)
        cells, share = sum(row.cells for row in same), area / total if total else float("nan")
        first = same[0]
        pooled.append(
            ClassFraction(first.name, first.colour, cells, area, share, whole_um2, contains)
        )
    return pooled


def combined_half_width(spread: FieldSpread, review: Share) -> float:
    """Half-width for the specimen: fields and review errors, independent, added in quadrature."""
    return float(np.hypot(spread.half_width, review.half_width))


def block_bootstrap(
    class_map: ClassMap, *, block_cells: int | None = None, seed: int = 0
) -> BlockSpread:
    """Spread of the shares if another place of the same specimen had been imaged.

    The map is cut into square blocks and as many are drawn with replacement, since neighbouring
    cells are alike and drawing cells singly would promise too much (Lahiri, Resampling Methods for
    Dependent Data, 2003, chapter 12). Percentile interval. It tells nothing of structures larger
    than the image. `block_cells` is the side of a block, that of `block_size` if not given.

    Raises
    ------
    AnnotationError
        When the map is too small for four blocks.
    """
    labels = class_map.labels()
    # Of outlines every so many pixels tell how far classes are alike: all would take hours.
    step = max(1, -(-max(labels.shape) // MOST_LOOKED_AT))
    size = step * block_size(labels[::step, ::step]) if block_cells is None else block_cells
    k = len(class_map.classes)
    by_block = _block_areas(labels, class_map.grid.cell_areas(), size, k)
    n = len(by_block)
    if n < 4:
        raise AnnotationError(
            f"The map of {class_map.image_name or 'this image'} is too small to tell its spread: "
            "use a larger image, smaller tiles, or several fields."
        )
    generator = np.random.default_rng(seed)
    # One draw at a time: all at once would take gigabytes for a map of many small blocks.
    drawn = np.array([by_block[generator.integers(n, size=n)].sum(axis=0) for _ in range(DRAWS)])
    shares = drawn / drawn.sum(axis=1, keepdims=True)
    tail = 50.0 * (1.0 - LEVEL)
    low, high = np.percentile(shares, [tail, 100.0 - tail], axis=0)
    value = by_block.sum(axis=0) / by_block.sum()
    error = [column.std(ddof=1) for column in shares.T]
    return BlockSpread(size, n, tuple(map(share_of, value, error, low, high)))


def block_size(labels: NDArray[np.uint16]) -> int:
    """Side of blocks in cells: twice the lag at which classes are no longer alike (below .1).

    At most a fourth of the shorter side, so that there are 16 blocks to draw from.
    """
    most = max(1, min(labels.shape) // 4)
    present = [k for k in np.unique(labels) if k > 0]
    fields = np.stack([(labels == k).astype(np.float64) for k in present])
    fields -= fields.mean(axis=(1, 2), keepdims=True)
    spread = float((fields**2).mean())
    if spread <= 0 or min(labels.shape) < 4:
        return 1
    for lag in range(1, most + 1):
        down = (fields[:, lag:] * fields[:, :-lag]).mean()
        across = (fields[:, :, lag:] * fields[:, :, :-lag]).mean()
        if (down + across) / 2 < 0.1 * spread:
            return int(min(most, 2 * lag))
    return int(most)


def _block_areas(labels: NDArray[np.uint16], areas: NDArray[np.int64], size: int, k: int) -> Floats:
    """Pixels of each class in each block that holds any, shape (blocks, classes)."""
    rows, cols = labels.shape
    across = max(1, cols // size)
    # The last block of a row or column takes what does not fill one of its own.
    row_block = np.minimum(np.arange(rows) // size, max(1, rows // size) - 1)
    col_block = np.minimum(np.arange(cols) // size, across - 1)
    block = row_block[:, None] * across + col_block[None, :]
    told, blocks = labels > 0, int(block.max()) + 1
    number = block[told] * k + labels[told].astype(np.intp) - 1
    sums = np.bincount(number, areas[told], minlength=blocks * k).reshape(blocks, k)
    return np.asarray(sums[sums.sum(axis=1) > 0])
