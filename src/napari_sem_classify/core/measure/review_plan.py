"""How many cells to review for a wanted precision: before the first answer, and after some."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_sem_classify.core.evaluate.intervals import Floats, z_of
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import FractionEstimate
from napari_sem_classify.core.measure.review import Review, allocate
from napari_sem_classify.core.measure.strata import strata_of

MOST_TRUSTED = 0.9
"""Models are often surer than they are right: before any answer no more is expected of them."""
WITHOUT_CONFIDENCE = 0.8


@dataclass(frozen=True, slots=True)
class MoreCells:
    """Cells to review in addition.

    Attributes
    ----------
    per_class : tuple of int
        By class of the map; `review.extend_review` takes it.
    half_width : float
        What the interval's half-width will be about, 0 to 1.
    reachable : bool
        False where even all cells of the map are not enough (some are unsure).
    """

    per_class: tuple[int, ...]
    half_width: float
    reachable: bool

    @property
    def total(self) -> int:
        """Cells in all."""
        return sum(self.per_class)


def more_cells(
    review: Review, estimate: FractionEstimate, class_index: int, half_width: float
) -> MoreCells:
    """Tell how many more cells bring a class's share to a wanted half-width.

    Olofsson et al. (2014), equation 13, for the area of a class instead of the overall accuracy:
    further cells go where W_i S_i is largest (Neyman), with S_i² = p (1 - p) from the answers so
    far, drawn towards ½ by half a case each way lest a class without an error seems certain.

    The estimate is that of the same review, `class_index` 0 for the first class, `half_width` 0 to
    1: .01 for one percentage point. Zeros where the wanted precision is reached already.
    """
    counts = estimate.counts
    n = counts.counts.sum(axis=1).astype(np.float64)
    cells = np.asarray(review.stratum_cells, np.float64)
    drawn = np.array(
        [sum(c.map_class == k + 1 for c in review.cells) for k in range(len(n))], np.float64
    )
    waiting = drawn - n - counts.unsure
    room = np.maximum(cells - drawn, 0.0)
    p = (counts.counts[:, class_index] + 0.5) / (n + 1.0)
    spread = counts.weights * np.sqrt(p * (1 - p))
    z = z_of(estimate.level)

    def width(total: Floats) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            per = spread**2 / total * (1 - np.minimum(total / np.maximum(cells, 1.0), 1.0))
        return z * float(np.sqrt(np.where(cells > 0, per, 0.0).sum()))

    # Cells drawn but not asked yet will be answered anyway.
    base = n + waiting
    if estimate.corrected[class_index].half_width <= half_width:
        return MoreCells((0,) * len(n), estimate.corrected[class_index].half_width, True)
    if width(base + room) > half_width:
        return MoreCells(tuple(int(r) for r in room), width(base + room), False)

    def enough(more: int) -> bool:
        return width(base + _neyman(base, room, spread, more)) <= half_width

    added = _neyman(base, room, spread, bisect_left(range(int(room.sum())), True, key=enough))
    return MoreCells(tuple(int(a) for a in added), width(base + added), True)


def more_cells_for_all(review: Review, estimate: FractionEstimate, half_width: float) -> MoreCells:
    """Tell how many more cells bring the shares of all classes to a wanted half-width.

    In each class of the map as many as the class that needs most of them there, see `more_cells`.
    """
    each = [more_cells(review, estimate, k, half_width) for k in range(len(estimate.names))]
    return MoreCells(
        tuple(max(needed) for needed in zip(*(one.per_class for one in each), strict=True)),
        max(one.half_width for one in each),
        all(one.reachable for one in each),
    )


class ReviewPlan:
    """What a review of so many cells is expected to give, before any cell was looked at.

    Olofsson et al. (2014), section 5.1.1: the user's accuracies are conjectured, here from the
    map's mean probabilities, of which no class gets more than `MOST_TRUSTED`. The maps, at least
    one, have the same classes; `level` is that of the intervals.
    """

    def __init__(self, maps: Sequence[ClassMap], level: float = 0.95) -> None:
        k = len(maps[0].classes)
        strata = strata_of(maps)
        if all(class_map.confidence_known for class_map in maps):
            sums = np.zeros((k, k))
            for class_map, labels in zip(maps, strata.labels, strict=True):
                for i in range(k):
                    known = class_map.probabilities[labels == i + 1]
                    sums[i] += known.sum(axis=0, dtype=np.float64)
        else:
            sums = np.where(np.eye(k) > 0, WITHOUT_CONFIDENCE, (1 - WITHOUT_CONFIDENCE) / (k - 1))
        shares = sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-12)
        most = np.minimum(np.diag(shares), MOST_TRUSTED)
        others = shares * (1 - np.eye(k))
        spread = others.sum(axis=1, keepdims=True)
        even = (1 - np.eye(k)) / max(k - 1, 1)
        others = np.where(spread > 1e-9, others / np.maximum(spread, 1e-12), even)
        self._expected = np.diag(most) + others * (1 - most)[:, None]
        areas = np.array(strata.areas_px, np.float64)
        self._weights = areas / max(areas.sum(), 1.0)
        self._z = z_of(level)
        self.cells: list[int] = strata.counts

    def half_width(self, total: int) -> float:
        """Expected half-width, 0 to 1, of the class that is known worst."""
        n = np.asarray(allocate(self.cells, total), np.float64)
        cells = np.asarray(self.cells, np.float64)
        there = cells > 0
        if not there.any() or (n[there] == 0).any():
            return float("nan")
        finite = 1 - n[there] / cells[there]
        per = self._weights[there, None] ** 2 * (self._expected * (1 - self._expected))[there]
        variance = (per * (finite / n[there])[:, None]).sum(axis=0)
        return self._z * float(np.sqrt(variance.max()))

    def cells_for(self, half_width: float) -> int:
        """Fewest cells that are expected to bring all classes to a wanted half-width."""
        least = sum(count > 0 for count in self.cells)
        each = range(sum(self.cells))
        return bisect_left(each, True, least, key=lambda n: self.half_width(n) <= half_width)


def _neyman(base: Floats, room: Floats, spread: Floats, more: int) -> Floats:
    """Whole cells to add to each stratum so that all together are nearest to Neyman's shares."""
    added = np.zeros_like(base)
    if more <= 0:
        return added
    # Fill up to a common level of n_i / (W_i S_i), found by bisection.
    safe = np.maximum(spread, 1e-12)
    low, high = 0.0, float(((base + room) / safe).max())
    for _ in range(80):
        level = (low + high) / 2
        if np.clip(level * safe - base, 0.0, room).sum() < more:
            low = level
        else:
            high = level
    exact = np.clip(high * safe - base, 0.0, room)
    added = np.floor(exact)
    for index in np.argsort(added - exact)[: max(0, more - int(added.sum()))]:
        added[index] = min(added[index] + 1, room[index])
    return added
