"""Corrected area fractions: against the literature, against simulation, and in the corners."""

from __future__ import annotations

import math

import numpy as np
import pytest
from class_maps import NAMES, map_of, patchy_labels

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.evaluate.intervals import jeffreys, part_of_whole
from napari_sem_classify.core.measure.area_fraction import (
    ReviewCounts,
    count_review,
    estimate_fractions,
)
from napari_sem_classify.core.measure.field_statistics import (
    block_bootstrap,
    block_size,
    combined_half_width,
    field_shares,
    field_spread,
)
from napari_sem_classify.core.measure.prediction_powered import estimate_prediction_powered
from napari_sem_classify.core.measure.review import UNSURE, extend_review, start_review
from napari_sem_classify.core.measure.review_plan import more_cells

# Olofsson et al. (2014), tables 8 and 9: rows are map classes (deforestation, forest gain, stable
# forest, stable non-forest), columns the reference; areas in pixels.
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
OLOFSSON_AREA = [200_000, 150_000, 3_200_000, 6_450_000]
LAND = ("deforestation", "forest gain", "stable forest", "stable non-forest")


def count_matrix(matrix, area):
    """Counts from an error matrix (map classes in rows) of equal cells in a very large map."""
    n = matrix.sum(axis=1)
    unsure = np.zeros(len(n), np.int64)
    return ReviewCounts(matrix, matrix / n[:, None], n.astype(float), np.array(area, float), unsure)


def reviewed(class_map, truth, total, seed=0):
    review = start_review([class_map], total, seed=seed)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, int(truth[cell.row, cell.col]))
    return review


def with_errors(truth, rate, seed=1):
    """Another map of the same classes, wrong in a share `rate` of the cells."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(truth.shape) < rate
    return np.where(wrong, rng.integers(1, 4, truth.shape), truth)


def test_the_worked_example_of_olofsson_2014_comes_out():
    estimate = estimate_fractions(count_matrix(OLOFSSON, OLOFSSON_AREA), LAND)
    pixels = [share.value * 1e7 for share in estimate.corrected]
    half = [1.96 * share.standard_error * 1e7 for share in estimate.corrected]
    assert pixels[0] == pytest.approx(235_086, abs=1)
    assert half[0] == pytest.approx(68_418, abs=1)
    users = [(round(s.value, 2), round(1.96 * s.standard_error, 2)) for s in estimate.users]
    assert users == [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    producers = [(round(s.value, 2), round(1.96 * s.standard_error, 2)) for s in estimate.producers]
    assert producers == [(0.75, 0.21), (0.85, 0.25), (0.93, 0.03), (0.96, 0.02)]
    assert round(estimate.overall.value, 2) == 0.95
    assert round(1.96 * estimate.overall.standard_error, 2) == 0.02
    assert pixels[0] - half[0] == pytest.approx(166_668, abs=3)


def test_intervals_hold_the_estimate_and_corrected_shares_add_up_to_one():
    estimate = estimate_fractions(count_matrix(OLOFSSON, OLOFSSON_AREA), LAND)
    assert sum(share.value for share in estimate.corrected) == pytest.approx(1)
    for share in (*estimate.corrected, *estimate.users, *estimate.producers, estimate.overall):
        assert 0 <= share.low < share.value < share.high <= 1


def test_the_corrected_share_has_no_bias_where_the_map_has_one():
    truth = patchy_labels(shares=(0.55, 0.35, 0.10))
    seen = truth.copy()
    seen[(truth == 3) & (np.indices(truth.shape).sum(axis=0) % 2 == 0)] = (
        1  # half the cracks missed
    )
    class_map = map_of(seen, cut=(9, 3))
    areas = class_map.grid.cell_areas()
    true = areas[truth == 3].sum() / areas.sum()
    naive = class_map.fractions()[2].fraction
    values = [
        estimate_fractions(count_review(reviewed(class_map, truth, 120, seed)), NAMES)
        .corrected[2]
        .value
        for seed in range(300)
    ]
    assert naive < 0.6 * true
    spread = np.std(values) / math.sqrt(300)
    assert abs(np.mean(values) - true) < 3.5 * spread


def test_about_95_of_100_intervals_hold_the_truth():
    inside = []
    for seed in range(250):
        truth = patchy_labels((30, 36), seed)
        class_map = map_of(with_errors(truth, 0.2, seed), cut=(5, 11))
        areas = class_map.grid.cell_areas()
        review = reviewed(class_map, truth, 200, seed)
        shares = estimate_fractions(count_review(review), NAMES).corrected
        for k, share in enumerate(shares):
            inside.append(share.low <= areas[truth == k + 1].sum() / areas.sum() <= share.high)
    assert 0.93 <= np.mean(inside) <= 0.98


def test_a_review_of_every_cell_gives_the_truth_without_any_interval():
    truth = patchy_labels((9, 11))
    class_map = map_of(with_errors(truth, 0.3), cut=(7, 2))
    areas = class_map.grid.cell_areas()
    estimate = estimate_fractions(count_review(reviewed(class_map, truth, 99)), NAMES)
    for k, share in enumerate(estimate.corrected):
        assert share.value == pytest.approx(areas[truth == k + 1].sum() / areas.sum())
        assert share.half_width == pytest.approx(0, abs=1e-9)


def test_border_cells_count_with_the_pixels_they_hold():
    labels = np.ones((1, 4), int)
    class_map = map_of(labels, cut=(0, 12))  # the last cell has 4 of 16 columns
    truth = np.array([[1, 1, 1, 2]])
    estimate = estimate_fractions(count_review(reviewed(class_map, truth, 4)), NAMES)
    assert estimate.corrected[1].value == pytest.approx(4 / 52)


def test_no_error_seen_is_not_the_same_as_no_error():
    class_map = map_of(patchy_labels())
    review = reviewed(class_map, class_map.labels(), 60)
    estimate = estimate_fractions(count_review(review), NAMES)
    for naive, share in zip(estimate.naive, estimate.corrected, strict=True):
        assert share.value == pytest.approx(naive)
        assert share.standard_error == 0
        assert share.half_width > 0.005
    assert estimate.users[0].high == 1.0
    assert estimate.users[0].low < 0.97


def test_a_class_without_reviewed_cells_is_as_the_map_says_but_quite_unknown():
    class_map = map_of(patchy_labels())
    review = start_review([class_map], 40)
    for index, cell in enumerate(review.cells):
        if cell.map_class != 3:
            review = review.with_answer(index, cell.map_class)
    estimate = estimate_fractions(count_review(review), NAMES)
    share = class_map.fractions()[2].fraction
    assert estimate.corrected[2].value == pytest.approx(share)
    assert estimate.corrected[2].low == pytest.approx(0, abs=1e-9)
    assert math.isnan(estimate.users[2].value)
    assert any("crack" in note and "No cell" in note for note in estimate.notes)


def test_one_reviewed_cell_in_a_class_gives_a_wide_interval_and_a_note():
    class_map = map_of(patchy_labels())
    review = start_review([class_map], 0, per_class=[30, 30, 1])
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, cell.map_class)
    estimate = estimate_fractions(count_review(review), NAMES)
    assert estimate.users[2].low < 0.3
    assert math.isnan(estimate.users[2].standard_error)
    assert any(f"what the map calls {NAMES[2]} (1)." in note for note in estimate.notes)


def test_a_class_that_the_map_never_gives_can_still_be_found_by_the_review():
    truth = patchy_labels()
    seen = np.where(truth == 3, 2, truth)
    estimate = estimate_fractions(count_review(reviewed(map_of(seen), truth, 150)), NAMES)
    assert estimate.naive[2] == 0
    assert estimate.corrected[2].value == pytest.approx(0.1, abs=0.05)
    assert estimate.producers[2].value == 0
    assert math.isnan(estimate.users[2].value)


def test_without_answers_or_with_unsure_ones_only_the_reason_is_told():
    review = start_review([map_of(patchy_labels())], 5)
    with pytest.raises(AnnotationError, match="No cell was reviewed"):
        count_review(review)
    for index in range(5):
        review = review.with_answer(index, UNSURE)
    with pytest.raises(AnnotationError, match="unsure"):
        count_review(review)


def test_unsure_cells_widen_the_possible_range_and_are_noted():
    class_map = map_of(patchy_labels())
    review = reviewed(class_map, class_map.labels(), 100)
    unsure = [index for index, cell in enumerate(review.cells) if cell.map_class == 3][:10]
    for index in unsure:
        review = review.with_answer(index, UNSURE)
    estimate = estimate_fractions(count_review(review), NAMES)
    low, high = estimate.if_unsure[2]
    assert low < estimate.corrected[2].value <= high
    assert any("10 cells are unsure (10 % of those reviewed)" in note for note in estimate.notes)


def test_a_map_of_one_class_everywhere_is_estimated_too():
    class_map = map_of(np.full((20, 20), 2))
    estimate = estimate_fractions(
        count_review(reviewed(class_map, np.full((20, 20), 2), 50)), NAMES
    )
    assert estimate.corrected[1].value == 1
    assert 0.9 < estimate.corrected[1].low < 1
    assert estimate.corrected[0].value == 0
    assert 0 < estimate.corrected[0].high < 0.1


def test_areas_are_in_square_micrometres_only_where_calibrated():
    counts = count_matrix(OLOFSSON, OLOFSSON_AREA)
    assert estimate_fractions(counts, LAND).area_um2 is None
    assert estimate_fractions(counts, LAND, pixel_size_nm=100.0).area_um2 == pytest.approx(1e5)


def test_the_prediction_powered_share_has_no_bias_and_is_no_wider_with_useful_confidence():
    rng = np.random.default_rng(2)
    truth = patchy_labels(shares=(0.5, 0.3, 0.2))
    logits = 2.0 * np.eye(3)[truth - 1] + rng.standard_normal((*truth.shape, 3)) + [0.5, 0, 0]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    class_map = map_of(truth)
    class_map = type(class_map)(p.astype(np.float32), class_map.grid, class_map.classes)
    plain, powered = [], []
    for seed in range(200):
        review = reviewed(class_map, truth, 150, seed)
        plain.append(estimate_fractions(count_review(review), NAMES).corrected[0])
        powered.append(estimate_prediction_powered(review, [class_map])[0])
    true = (truth == 1).mean()
    values = [share.value for share in powered]
    assert abs(np.mean(values) - true) < 4 * np.std(values) / math.sqrt(200)
    assert np.std(values) < 0.95 * np.std([share.value for share in plain])
    assert np.mean([share.half_width for share in powered]) < np.mean(
        [share.half_width for share in plain]
    )
    assert np.mean([share.low <= true <= share.high for share in powered]) > 0.9


def test_with_hard_answers_of_the_model_both_estimates_are_the_same():
    truth = patchy_labels()
    class_map = map_of(with_errors(truth, 0.2), confidence=1.0)
    review = reviewed(class_map, truth, 100)
    plain = estimate_fractions(count_review(review), NAMES).corrected
    for one, other in zip(plain, estimate_prediction_powered(review, [class_map]), strict=True):
        assert one.value == pytest.approx(other.value)
        assert one.half_width == pytest.approx(other.half_width)


def test_the_planned_number_of_cells_brings_the_wanted_precision():
    truth = patchy_labels((100, 100), shares=(0.6, 0.3, 0.1))
    class_map = map_of(with_errors(truth, 0.25))
    review = reviewed(class_map, truth, 100)
    estimate = estimate_fractions(count_review(review), NAMES)
    plan = more_cells(review, estimate, 2, 0.02)
    assert plan.reachable
    assert plan.total > 100
    longer = extend_review(review, [class_map], plan.per_class)
    for index, cell in enumerate(longer.cells):
        longer = longer.with_answer(index, int(truth[cell.row, cell.col]))
    reached = estimate_fractions(count_review(longer), NAMES).corrected[2].half_width
    assert reached == pytest.approx(0.02, rel=0.2)
    assert more_cells(review, estimate, 2, 0.5).total == 0


def test_an_impossible_precision_is_called_so():
    class_map = map_of(patchy_labels((10, 10)))
    review = reviewed(class_map, class_map.labels(), 20).with_answer(0, UNSURE)
    estimate = estimate_fractions(count_review(review), NAMES)
    plan = more_cells(review, estimate, 0, 1e-6)
    assert not plan.reachable
    assert plan.total == 80


def test_the_spread_over_fields_is_that_of_astm_e562():
    # Five fields: Student's t of the standard's table is 2.776.
    shares = [0.10, 0.12, 0.08, 0.11, 0.09]
    spread = field_spread(shares)
    assert spread.mean == pytest.approx(0.10)
    assert spread.half_width == pytest.approx(2.776 * np.std(shares, ddof=1) / 5**0.5, rel=1e-3)
    assert spread.relative_accuracy_percent == pytest.approx(19.63, abs=0.01)
    assert spread.fields_for(10.0) == 10  # (200 / 10 × .0158 / .1)²
    with pytest.raises(AnnotationError, match="two fields"):
        field_spread([0.1])


def test_a_class_that_no_field_holds_has_no_relative_accuracy():
    spread = field_spread([0.0, 0.0, 0.0])
    assert spread.half_width == 0
    assert math.isnan(spread.relative_accuracy_percent)
    assert spread.fields_for(10.0) is None


def test_fields_are_corrected_with_one_review_of_them_all():
    truths = [patchy_labels(seed=s, shares=(0.5 + s / 20, 0.3 - s / 20, 0.2)) for s in range(4)]
    maps = [map_of(np.where(t == 3, 2, t), image_name=f"f{i}") for i, t in enumerate(truths)]
    review = start_review(maps, 400)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, int(truths[cell.image][cell.row, cell.col]))
    estimate = estimate_fractions(count_review(review), NAMES)
    corrected = field_shares(maps, estimate)
    assert corrected.sum(axis=1) == pytest.approx([1, 1, 1, 1])
    assert corrected[:, 2].mean() == pytest.approx(estimate.corrected[2].value)
    assert field_shares(maps)[:, 2] == pytest.approx([0, 0, 0, 0])
    spread = field_spread(corrected[:, 2])
    assert combined_half_width(spread, estimate.corrected[2]) > estimate.corrected[2].half_width


def test_blocks_give_a_wider_spread_than_single_cells_where_neighbours_are_alike():
    class_map = map_of(patchy_labels((60, 60), shares=(0.5, 0.3, 0.2)))
    blocks = block_bootstrap(class_map, seed=1)
    single = block_bootstrap(class_map, block_cells=1, seed=1)
    assert blocks.block_cells > 2
    assert blocks.shares[0].standard_error > 2 * single.shares[0].standard_error
    assert blocks.shares[0].value == pytest.approx(class_map.fractions()[0].fraction)
    assert blocks.shares[0].low < blocks.shares[0].value < blocks.shares[0].high
    assert block_bootstrap(class_map, seed=1) == blocks


def test_blocks_of_a_map_without_structure_are_small():
    labels = np.random.default_rng(0).integers(1, 4, (60, 60))
    assert block_size(labels) <= 2


def test_a_map_of_three_cells_has_no_spread_to_tell():
    with pytest.raises(AnnotationError, match="too small"):
        block_bootstrap(map_of([[1, 2, 3]]))


def test_the_jeffreys_interval_is_that_of_scipy():
    from scipy.stats import beta

    low, high = jeffreys(np.array([0.0, 0.3, 1.0]), np.array([20.0, 20.0, 20.0]))
    assert low == pytest.approx([0, beta.ppf(0.025, 6.5, 14.5), beta.ppf(0.025, 20.5, 0.5)])
    assert high == pytest.approx([beta.ppf(0.975, 0.5, 20.5), beta.ppf(0.975, 6.5, 14.5), 1])
    unknown = jeffreys(np.array([0.5, 0.5]), np.array([0.0, np.inf]))
    assert unknown[0] == pytest.approx([0.0, 0.5])
    assert unknown[1] == pytest.approx([1.0, 0.5])


def test_a_part_of_a_whole_without_uncertainty_has_none():
    assert part_of_whole(3.0, (3.0, 3.0), 1.0, (1.0, 1.0)) == pytest.approx((0.75, 0.75))
    assert part_of_whole(0.0, (0.0, 0.0), 0.0, (0.0, 0.0)) == (0.0, 1.0)
    low, high = part_of_whole(0.3, (0.2, 0.4), 0.0, (0.0, 0.1))
    assert 0.6 < low < 0.8
    assert high == pytest.approx(1.0)
