"""Scores agree with scikit-learn, and say nothing where there is nothing to say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from napari_sem_classify.core.evaluate.intervals import wilson_interval
from napari_sem_classify.core.evaluate.metrics import (
    Scores,
    bootstrap_intervals,
    confusion_matrix,
    reliability,
    score,
)


@pytest.fixture(params=range(5))
def answers(request):
    generator = np.random.default_rng(request.param)
    truth = generator.choice(4, 300, p=[0.5, 0.3, 0.15, 0.05])
    predicted = np.where(generator.random(300) < 0.7, truth, generator.integers(0, 4, 300))
    return truth, predicted


def test_scores_are_those_of_scikit_learn(answers):
    truth, predicted = answers
    found = score(truth, predicted, 4)
    precision, recall, f1, support = reference.precision_recall_fscore_support(truth, predicted)
    np.testing.assert_array_equal(found.confusion, reference.confusion_matrix(truth, predicted))
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    np.testing.assert_array_equal(found.support, support)
    assert found.accuracy == pytest.approx(reference.accuracy_score(truth, predicted))
    assert found.balanced_accuracy == pytest.approx(
        reference.balanced_accuracy_score(truth, predicted)
    )
    assert found.macro_f1 == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
    assert found.weighted_f1 == pytest.approx(
        reference.f1_score(truth, predicted, average="weighted")
    )
    assert found.macro_precision == pytest.approx(
        reference.precision_score(truth, predicted, average="macro")
    )
    np.testing.assert_allclose(
        found.row_normalised(), reference.confusion_matrix(truth, predicted, normalize="true")
    )


def test_a_class_that_is_never_predicted_has_precision_zero_and_counts_in_the_mean():
    found = score(np.array([0, 0, 1]), np.array([0, 0, 0]), 2)
    assert found.precision.tolist() == [pytest.approx(2 / 3), 0.0]
    assert found.macro_f1 == pytest.approx(0.4)


def test_a_class_without_any_case_does_not_enter_a_mean():
    found = score(np.array([0, 1, 1]), np.array([0, 1, 0]), 3)
    assert np.isnan(found.recall[2])
    assert np.isnan(found.f1[2])
    assert found.macro_f1 == pytest.approx(2 / 3)
    assert found.balanced_accuracy == pytest.approx(0.75)


def test_nothing_scored_is_not_a_number():
    found = Scores(np.zeros((2, 2), np.int64))
    assert np.isnan([found.accuracy, found.macro_f1, found.weighted_f1]).all()
    assert np.isnan(wilson_interval(0, 0)).all()


def test_a_class_number_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="outside 0 to 1"):
        confusion_matrix(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="differ"):
        confusion_matrix(np.array([0, 1]), np.array([0]), 2)


def test_wilson_intervals_are_those_of_scipy():
    from scipy.stats import binomtest

    for successes, total in ((0, 10), (7, 10), (10, 10), (412, 500)):
        expected = binomtest(successes, total).proportion_ci(method="wilson")
        assert wilson_interval(successes, total) == pytest.approx((expected.low, expected.high))


def test_an_interval_holds_the_score_and_is_wider_when_cases_come_in_groups():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 30)
    truth = generator.integers(0, 2, 300)
    hard = np.isin(groups, [2, 5, 7])  # whole images go wrong together
    predicted = np.where(hard & (generator.random(300) < 0.6), 1 - truth, truth)
    single = bootstrap_intervals(truth, predicted, 2)
    grouped = bootstrap_intervals(truth, predicted, 2, groups=groups)
    found = score(truth, predicted, 2)
    for low, high in (single["accuracy"], grouped["accuracy"]):
        assert low < found.accuracy < high
    assert np.diff(grouped["macro_f1"]) > 1.5 * np.diff(single["macro_f1"])
    assert bootstrap_intervals(truth, predicted, 2) == single


def test_calibration_error_is_the_gap_between_confidence_and_being_right():
    probabilities = np.repeat([[0.9, 0.1]], 10, axis=0)
    truth = np.array([0] * 7 + [1] * 3)
    found = reliability(probabilities, truth, bins=10)
    assert found.ece == pytest.approx(0.2)
    assert found.count.tolist() == [0] * 8 + [10, 0]
    assert found.accuracy[8] == pytest.approx(0.7)


def test_a_well_calibrated_model_has_next_to_no_calibration_error():
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1.0, 20_000)
    truth = (generator.random(20_000) > sure).astype(int)
    assert reliability(np.stack([sure, 1 - sure], axis=1), truth).ece < 0.02
