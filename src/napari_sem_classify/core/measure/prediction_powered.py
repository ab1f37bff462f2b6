"""A second corrected area fraction, which also uses how sure the model is of each cell.

The stratified estimate (`area_fraction`) knows only the class that the map gives a cell. The
prediction-powered one starts from the mean probability of each class over all cells and corrects
it by the mean error of the probabilities in the reviewed ones. It is unbiased whatever the model,
and narrower where the probabilities follow the truth within a class of the map.

Angelopoulos et al., "Prediction-powered inference", Science 382 (2023) 669, for the mean; power
tuning after Angelopoulos, Duchi & Zrnic (arXiv 2311.01453); for area fractions from maps Lu et al.
(arXiv 2407.13659, version 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sem_classify.core.evaluate.intervals import Floats
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import Share, count_review, estimate_fractions
from napari_sem_classify.core.measure.review import Review, check_review


def estimate_prediction_powered(review: Review, maps: Sequence[ClassMap]) -> tuple[Share, ...]:
    """Correct the area fractions with the help of the map's probabilities.

    With f the probability and y the truth (0 or 1) of a class, the share is
    Σ_i W_i (λ mean f over all cells of stratum i + mean (y - λ f) over its reviewed cells). λ is
    between 0 and 1 and makes the estimated variance smallest.

    The interval is that of the stratified estimate, moved to the new share and narrowed by the
    ratio of the two standard errors, so that it keeps a width where no error was seen. One share a
    class is given.

    Raises
    ------
    AnnotationError
        When no cell has a class yet, or the maps are not those of the review.
    """
    check_review(review, maps)
    counts = count_review(review)
    names = [info.name for info in review.classes]
    stratified = estimate_fractions(counts, names)
    means = _population_means(maps, len(names))
    weights = counts.weights
    strata, truth, probability, area = _reviewed(review, maps)
    k = len(names)
    shares = []
    for j in range(k):
        y, f = (truth == j).astype(np.float64), probability[:, j]
        var_f, cov, var_y = np.zeros(k), np.zeros(k), np.zeros(k)
        mean_y, mean_f = np.zeros(k), np.zeros(k)
        for i in range(k):
            mine = strata == i
            if not mine.any():  # nothing reviewed: as the map says
                mean_y[i], mean_f[i] = float(i == j), means[i, j]
                continue
            a, n = area[mine], max(counts.effective_n[i], 1.0)
            mean_y[i], mean_f[i] = np.average(y[mine], weights=a), np.average(f[mine], weights=a)
            dy, df = y[mine] - mean_y[i], f[mine] - mean_f[i]
            per_case = weights[i] ** 2 / max(n - 1.0, 1.0)
            var_y[i] = per_case * np.average(dy * dy, weights=a)
            var_f[i] = per_case * np.average(df * df, weights=a)
            cov[i] = per_case * np.average(dy * df, weights=a)
        spread_f = var_f.sum()
        lam = float(np.clip(cov.sum() / spread_f, 0.0, 1.0)) if spread_f > 0 else 0.0
        value = float(weights @ (mean_y + lam * (means[:, j] - mean_f)))
        plain = float(var_y.sum())
        variance = max(plain - 2 * lam * float(cov.sum()) + lam**2 * float(spread_f), 0.0)
        narrower = float(np.sqrt(variance / plain)) if plain > 0 else 1.0
        other = stratified.corrected[j]
        value = min(max(value, 0.0), 1.0)
        low = max(0.0, value - narrower * (other.value - other.low))
        high = min(1.0, value + narrower * (other.high - other.value))
        shares.append(Share(value, float(np.sqrt(variance)), low, high))
    return tuple(shares)


def _population_means(maps: Sequence[ClassMap], k: int) -> Floats:
    """Area-weighted mean probabilities by class of the map, shape (strata, classes)."""
    sums, areas = np.zeros((k, k)), np.zeros(k)
    for class_map in maps:
        labels, cell_areas = class_map.labels(), class_map.grid.cell_areas()
        for i in range(k):
            mine = labels == i + 1
            area = cell_areas[mine].astype(np.float64)
            sums[i] += area @ class_map.probabilities[mine].astype(np.float64)
            areas[i] += area.sum()
    return np.asarray(sums / np.maximum(areas, 1.0)[:, None])


def _reviewed(review: Review, maps: Sequence[ClassMap]) -> tuple[Floats, Floats, Floats, Floats]:
    """Strata, true classes (both from 0), probabilities and areas of the reviewed cells."""
    told = [cell for cell in review.cells if isinstance(cell.answer, int)]
    strata = np.array([cell.map_class - 1 for cell in told], np.float64)
    truth = np.array([int(cell.answer or 0) - 1 for cell in told], np.float64)
    probability = np.array(
        [maps[cell.image].probabilities[cell.row, cell.col] for cell in told], np.float64
    )
    return strata, truth, probability, np.array([cell.area_px for cell in told], np.float64)
