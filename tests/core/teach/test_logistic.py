"""The fit is the textbook one, whether there are few tiles or many."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.model.head import softmax
from napari_sem_classify.core.teach.logistic import (
    ABSENT_BIAS,
    fit_temperature,
    log_loss,
    make_basis,
    solve,
)


def tiles(n: int, size: int, n_classes: int = 3, seed: int = 0):
    generator = np.random.default_rng(seed)
    shares = np.array([0.6, 0.3, 0.1][:n_classes])
    labels = generator.choice(n_classes, n, p=shares / shares.sum())
    centres = generator.normal(size=(n_classes, size))
    features = centres[labels] + 2 * generator.normal(size=(n, size)) + 5
    return features.astype(np.float32), labels


@pytest.mark.parametrize(("n", "size"), [(60, 400), (500, 40)])
def test_the_fit_is_that_of_scikit_learn(n, size):
    from sklearn.linear_model import LogisticRegression

    features, labels = tiles(n, size)
    basis = make_basis(features)
    head = basis.to_head(solve(basis.coordinates, labels, 3, 0.01))
    standardised = (features - head.mean) / head.scale
    reference = LogisticRegression(C=0.01, class_weight="balanced", tol=1e-8, max_iter=5000)
    expected = reference.fit(standardised, labels).predict_proba(standardised)
    np.testing.assert_allclose(head.probabilities(features), expected, atol=5e-3)
    np.testing.assert_allclose(head.weight, reference.coef_, atol=5e-3)


def test_few_tiles_and_long_features_lose_nothing_by_the_shorter_way():
    features, labels = tiles(60, 400)
    basis = make_basis(features)
    assert basis.coordinates.shape == (60, 60)
    solution = solve(basis.coordinates, labels, 3, 0.1)
    head = basis.to_head(solution)
    np.testing.assert_allclose(head.logits(features), solution.logits(basis.coordinates), atol=1e-3)


def test_the_same_tiles_give_the_same_head():
    features, labels = tiles(50, 200)
    heads = [
        basis.to_head(solve(basis.coordinates, labels, 3, 0.01))
        for basis in (make_basis(features), make_basis(features))
    ]
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)
    np.testing.assert_array_equal(heads[0].bias, heads[1].bias)


def test_a_warm_start_ends_where_a_cold_one_does():
    features, labels = tiles(80, 300)
    basis = make_basis(features)
    near = solve(basis.coordinates, labels, 3, 0.003)
    cold = solve(basis.coordinates, labels, 3, 0.01)
    warm = solve(basis.coordinates, labels, 3, 0.01, start=near)
    np.testing.assert_allclose(
        warm.logits(basis.coordinates), cold.logits(basis.coordinates), atol=2e-2
    )


def test_a_class_without_tiles_never_wins():
    features, labels = tiles(60, 30, n_classes=2)
    basis = make_basis(features)
    solution = solve(basis.coordinates, labels, 3, 0.01)
    assert solution.bias[2] == ABSENT_BIAS
    probabilities = basis.to_head(solution).probabilities(features)
    assert probabilities[:, 2].max() < 1e-6


def test_a_constant_feature_and_twin_tiles_do_no_harm():
    features, labels = tiles(40, 200)
    features[:, 3] = 7.0
    features[1] = features[0]
    labels[1] = labels[0]
    basis = make_basis(features)
    head = basis.to_head(solve(basis.coordinates, labels, 3, 0.01))
    assert np.isfinite(head.weight).all()
    features[:, 3] = 9.0  # it never varied, so it must not decide
    assert np.isfinite(head.probabilities(features)).all()


def test_the_temperature_undoes_overconfidence():
    generator = np.random.default_rng(1)
    honest = 2 * generator.normal(size=(4000, 3))
    p = softmax(honest)
    truth = np.array([generator.choice(3, p=row / row.sum()) for row in p.astype(np.float64)])
    temperature = fit_temperature(3 * honest, truth)
    assert temperature == pytest.approx(3.0, rel=0.1)
    assert log_loss(3 * honest / temperature, truth) < log_loss(3 * honest, truth)
