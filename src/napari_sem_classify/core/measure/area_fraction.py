"""How much of the specimen each class really covers, from a class map and a reviewed sample of it.

The share of a class in the map is biased by the classifier's errors. Reviewed cells tell how often
each class of the map is which class in truth; weighting that by the map's areas gives an unbiased
share with an interval.

Estimators after Olofsson et al., "Good practices for estimating area and assessing accuracy of land
change", Remote Sens. Environ. 148 (2014) 42-57, equation numbers below are theirs. Two additions:
cells count with their pixels (border cells are smaller), by Kish's effective number of cells; and
the sample is a fair part of the map, hence the finite population correction (Cochran, Sampling
Techniques, 1977, equation 2.20). Intervals are not p ± 1.96 SE, which has no width where no error
was seen, but come from Jeffreys' intervals, see `intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.evaluate.intervals import (
    Floats,
    Interval,
    jeffreys,
    part_of_whole,
    weighted_sum,
)
from napari_sem_classify.core.measure.review import UNSURE, Review


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """What the reviewed cells say, by class of the map (rows) and class in truth (columns).

    Attributes
    ----------
    counts : int64, shape (classes, classes)
        Reviewed cells.
    shares : float64, shape (classes, classes)
        Area-weighted shares of each row, NaN in rows without reviewed cells.
    effective_n : float64, shape (classes,)
        Reviewed cells of each row that count: (Σ area)² / Σ area² (Kish 1965); infinite where all
        cells of the row were reviewed.
    area_px : float64, shape (classes,)
        Pixels of each class in the map.
    unsure : int64, shape (classes,)
        Cells that the reviewer could not tell, by class of the map.
    unit : str
        What was looked at, for texts, see `Review.unit`.
    """

    counts: NDArray[np.int64]
    shares: Floats
    effective_n: Floats
    area_px: Floats
    unsure: NDArray[np.int64]
    unit: str = "cell"

    @property
    def weights(self) -> Floats:
        """Share of each class in the map, W_i."""
        weights: Floats = self.area_px / self.area_px.sum()
        return weights


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its standard error and interval, all 0 to 1; NaN where it is not known."""

    value: float
    standard_error: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2.0


FEW = 5
_UNKNOWN = Share(*4 * (float("nan"),))


@dataclass(frozen=True, slots=True)
class FractionEstimate:
    """Corrected area fractions of all classes.

    Attributes
    ----------
    names : tuple of str
    naive : tuple of float
        Shares of the classes in the map.
    corrected : tuple of Share
        Error-corrected shares.
    users : tuple of Share
        Of what the map calls the class, the share that is (by area).
    producers : tuple of Share
        Of what is the class, the share that the map calls so (by area).
    overall : Share
        Share of the area with the right class.
    if_unsure : tuple of (float, float)
        Corrected share if none, and if all, of the unsure cells were of the class.
    counts : ReviewCounts
    area_um2 : float or None
        The whole area, None without calibration.
    level : float
        Of the intervals, .95 for 95 %.
    notes : tuple of str
        What the user should know, a sentence each.
    """

    names: tuple[str, ...]
    naive: tuple[float, ...]
    corrected: tuple[Share, ...]
    users: tuple[Share, ...]
    producers: tuple[Share, ...]
    overall: Share
    if_unsure: tuple[Interval, ...]
    counts: ReviewCounts
    area_um2: float | None
    level: float
    notes: tuple[str, ...]


def count_review(review: Review) -> ReviewCounts:
    """Count the answers of a review.

    Raises
    ------
    AnnotationError
        When no cell has a class yet.
    """
    n = len(review.classes)
    counts = np.zeros((n, n), np.int64)
    area = np.zeros((n, n))
    squared = np.zeros(n)
    unsure = np.zeros(n, np.int64)
    for cell in review.cells:
        row = cell.map_class - 1
        if cell.answer == UNSURE:
            unsure[row] += 1
        elif isinstance(cell.answer, int):
            counts[row, cell.answer - 1] += 1
            area[row, cell.answer - 1] += cell.area_px
            squared[row] += cell.area_px**2
    if not counts.sum():
        raise AnnotationError(
            f"All reviewed {review.unit}s are unsure, so nothing can be corrected: review more "
            f"{review.unit}s."
            if unsure.sum()
            else f"No {review.unit} was reviewed yet: review some before correcting the area "
            "fractions."
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = np.where(squared > 0, area.sum(axis=1) ** 2 / squared, 0.0)
        shares = area / area.sum(axis=1, keepdims=True)
    effective = _finite(effective, counts.sum(axis=1), np.asarray(review.stratum_cells))
    areas = np.asarray(review.stratum_area_px, np.float64)
    return ReviewCounts(counts, shares, effective, areas, unsure, review.unit)


def estimate_fractions(
    counts: ReviewCounts,
    names: Sequence[str],
    *,
    pixel_size_nm: float | None = None,
    level: float = 0.95,
) -> FractionEstimate:
    """Correct the area fractions of a map for the errors that the review found.

    The corrected share of class j is Σ_i W_i p_ij (equation 9) with standard error
    √(Σ_i W_i² p_ij (1 - p_ij) / (n_i - 1)) (equation 10); overall, user's and producer's accuracy
    are equations 1 to 3 with standard errors from equations 5 to 7. The interval of the share joins
    the Jeffreys interval of each p_ij (Zou et al. 2009), that of the producer's accuracy is a
    ratio's (Newcombe 2016), and that of the user's accuracy is Jeffreys'.

    A class of the map without any reviewed cell counts as the map says, with an interval from
    0 to 1; a note tells so.
    """
    weights, k = counts.weights, len(names)
    present = counts.area_px > 0
    shares = np.where(np.isnan(counts.shares), np.eye(k), counts.shares)
    n = np.where(present, counts.effective_n, np.inf)
    low, high = jeffreys(shares, n[:, None], level)
    variance = _variance(shares, n)

    total = weights @ shares
    total_error = np.sqrt(weights**2 @ variance)
    total_low, total_high = weighted_sum(weights, shares, low, high)
    right = np.diag(shares)
    overall_low, overall_high = weighted_sum(
        weights, right[:, None], np.diag(low)[:, None], np.diag(high)[:, None]
    )
    error = np.sqrt(np.diag(variance))
    users = [share_of(right[j], error[j], low[j, j], high[j, j]) for j in range(k)]
    area, size = float(counts.area_px.sum()), pixel_size_nm
    return FractionEstimate(
        names=tuple(names),
        naive=tuple(float(w) for w in weights),
        corrected=tuple(map(share_of, total, total_error, total_low, total_high)),
        users=tuple(u if counts.counts[j].sum() else _UNKNOWN for j, u in enumerate(users)),
        producers=tuple(_producers(j, weights, shares, low, high, variance) for j in range(k)),
        overall=share_of(
            weights @ right,
            np.sqrt(weights**2 @ np.diag(variance)),
            overall_low[0],
            overall_high[0],
        ),
        if_unsure=_if_unsure(counts, weights, shares),
        counts=counts,
        area_um2=None if size is None else area * (size / 1000.0) ** 2,
        level=level,
        notes=_notes(counts, names),
    )


def share_of(value: Any, error: Any, low: Any, high: Any) -> Share:
    """A share of numpy's numbers."""
    return Share(float(value), float(error), float(low), float(high))


def _finite(effective: Floats, reviewed: NDArray[np.int64], cells: NDArray[np.int64]) -> Floats:
    """Effective numbers after the finite population correction: n (N - 1) / (N - n)."""
    left = cells - reviewed
    with np.errstate(divide="ignore", invalid="ignore"):
        finite = np.where(left > 0, effective * (cells - 1) / left, np.inf)
    return np.where(reviewed > 0, finite, 0.0)


def _variance(shares: Floats, n: Floats) -> Floats:
    """Variance of each share, p (1 - p) / (n - 1); NaN with one cell or none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_case = np.where(n > 1, 1.0 / (n - 1.0), np.nan)
    variance: Floats = shares * (1 - shares) * per_case[:, None]
    return variance


def _producers(
    j: int, weights: Floats, shares: Floats, low: Floats, high: Floats, variance: Floats
) -> Share:
    """Producer's accuracy of class `j`, equations 3 and 7."""
    others = np.arange(len(weights)) != j
    found = weights[j] * shares[j, j]
    missed = float(weights[others] @ shares[others, j])
    whole = found + missed
    if whole <= 0:
        return _UNKNOWN
    column = np.array([j])
    missed_low, missed_high = weighted_sum(
        weights[others], *(values[others][:, column] for values in (shares, low, high))
    )
    limits = part_of_whole(
        found,
        (weights[j] * low[j, j], weights[j] * high[j, j]),
        missed,
        (float(missed_low[0]), float(missed_high[0])),
    )
    value = found / whole
    spread = (1 - value) ** 2 * weights[j] ** 2 * variance[j, j]
    spread += value**2 * float(weights[others] ** 2 @ variance[others, j])
    return Share(float(value), float(np.sqrt(spread)) / whole, *limits)


def _if_unsure(counts: ReviewCounts, weights: Floats, shares: Floats) -> tuple[Interval, ...]:
    """Corrected share with none and all of the unsure cells counted to the class."""
    reviewed, unsure = counts.counts.sum(axis=1), counts.unsure
    known = np.where(reviewed > 0, reviewed / np.maximum(reviewed + unsure, 1), 1.0)
    without = weights @ (shares * known[:, None])
    spare = float(weights @ (1 - known))
    return tuple((float(low), float(low) + spare) for low in without)


def _notes(counts: ReviewCounts, names: Sequence[str]) -> tuple[str, ...]:
    notes, few = [], []
    reviewed, unit = counts.counts.sum(axis=1), counts.unit
    for name, cells, area in zip(names, reviewed, counts.area_px, strict=True):
        if area > 0 and cells == 0:
            notes.append(
                f"No {unit} that the map calls {name} was reviewed: its part is as the map says, "
                "and nothing is known of its errors."
            )
        elif area > 0 and cells < FEW:
            few.append(f"{name} ({int(cells)})")
    if few:
        notes.append(
            f"Fewer than {FEW} {unit}s were reviewed of what the map calls {', '.join(few)}."
        )
    unsure = int(counts.unsure.sum())
    if unsure:
        share = unsure / (unsure + int(reviewed.sum()))
        which = f"1 {unit} is" if unsure == 1 else f"{unsure} {unit}s are"
        notes.append(
            f"{which} unsure ({100 * share:.0f} % of those reviewed) and left out, as if like the "
            "others."
        )
    return tuple(notes)
