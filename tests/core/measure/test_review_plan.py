"""How many cells to review, told before the first one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from class_maps import map_of, patchy_labels

from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
from napari_sem_classify.core.measure.review import extend_review, start_review
from napari_sem_classify.core.measure.review_plan import (
    MOST_TRUSTED,
    ReviewPlan,
    more_cells_for_all,
)

NAMES = ("matrix", "oxide", "crack")


def without_confidence(class_map):
    """The map as a file of classes alone gives it back."""
    return replace(class_map, record={**class_map.record, "confidence_known": False})


def errors(labels, share, seed):
    """The truth behind a map that is wrong in a share of its cells."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(labels.shape) < share
    return np.where(wrong, labels % 3 + 1, labels)


def reviewed(class_map, truth, total):
    review = start_review([class_map], total)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, int(truth[cell.row, cell.col]))
    return review


def test_more_cells_give_a_narrower_interval():
    plan = ReviewPlan([map_of(patchy_labels())])
    widths = [plan.half_width(total) for total in (30, 100, 300, 1000)]
    assert widths == sorted(widths, reverse=True)
    assert plan.half_width(sum(plan.cells)) == pytest.approx(0.0)


def test_the_cells_for_a_precision_are_the_fewest_that_give_it():
    plan = ReviewPlan([map_of(patchy_labels())])
    needed = plan.cells_for(0.03)
    assert plan.half_width(needed) <= 0.03 < plan.half_width(needed - 1)


def test_what_was_expected_is_about_what_comes():
    labels = patchy_labels((60, 80))
    class_map = map_of(labels, confidence=0.8)
    expected = ReviewPlan([class_map]).half_width(200)
    got = []
    for seed in range(20):
        review = reviewed(class_map, errors(labels, 0.2, seed), 200)
        shares = estimate_fractions(count_review(review), NAMES).corrected
        got.append(max(share.half_width for share in shares))
    assert np.median(got) == pytest.approx(expected, rel=0.25)


def test_a_model_that_is_sure_of_all_is_not_trusted_that_much():
    sure, less = (ReviewPlan([map_of(patchy_labels(), confidence=c)]) for c in (0.9999, 0.9))
    assert sure.half_width(100) == pytest.approx(less.half_width(100), rel=1e-3)
    assert MOST_TRUSTED == 0.9


def test_a_map_without_confidence_has_a_plan_too():
    class_map = map_of(patchy_labels(), confidence=0.8)
    bare = ReviewPlan([without_confidence(class_map)]).half_width(100)
    assert bare == pytest.approx(ReviewPlan([class_map]).half_width(100), rel=1e-3)


def test_fewer_cells_than_classes_tell_nothing():
    assert np.isnan(ReviewPlan([map_of(patchy_labels())]).half_width(2))
    assert np.isnan(ReviewPlan([map_of(np.zeros((4, 4), int))]).half_width(10))


def test_one_class_everywhere_needs_few_cells():
    plan = ReviewPlan([map_of(np.ones((20, 20), int))])
    assert 0 < plan.half_width(50) < 0.15


def test_cells_for_all_classes_bring_every_class_to_the_wanted_precision():
    labels = patchy_labels((60, 80))
    class_map, truth = map_of(labels), errors(labels, 0.2, 0)
    review = reviewed(class_map, truth, 60)
    estimate = estimate_fractions(count_review(review), NAMES)
    more = more_cells_for_all(review, estimate, 0.02)
    assert more.reachable
    longer = extend_review(review, [class_map], more.per_class)
    assert len(longer.cells) == 60 + more.total
    for index, cell in enumerate(longer.cells):
        longer = longer.with_answer(index, int(truth[cell.row, cell.col]))
    shares = estimate_fractions(count_review(longer), NAMES).corrected
    assert max(share.half_width for share in shares) < 0.025
