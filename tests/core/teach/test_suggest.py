"""Suggestions go where a label teaches most; doubtful annotations are found."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.teach.axes import reduce_features
from napari_sem_classify.core.teach.suggest import (
    suggest_tiles,
    suspicious_tiles,
    typical_tiles,
    uncertain_tiles,
)


def three_kinds(per_kind=(300, 150, 50), size=200, seed=0):
    generator = np.random.default_rng(seed)
    kind = np.repeat([0, 1, 2], per_kind)
    centres = 3 * generator.normal(size=(3, size))
    return (centres[kind] + generator.normal(size=(len(kind), size))).astype(np.float32), kind


def test_the_first_suggestions_show_each_kind_of_tile_once():
    features, kind = three_kinds()
    none = np.full(len(kind), -1)
    chosen = typical_tiles(reduce_features(features), none, 3)
    assert sorted(kind[chosen]) == [0, 1, 2]


def test_kinds_that_have_a_label_wait():
    features, kind = three_kinds()
    labels = np.full(len(kind), -1)
    labels[[0, 310]] = 0, 1
    chosen = typical_tiles(reduce_features(features), labels, 1)
    assert kind[chosen].tolist() == [2]


def test_a_typical_tile_lies_in_the_middle_of_its_kind():
    generator = np.random.default_rng(0)
    points = np.concatenate([generator.normal(size=(200, 2)), [[6.0, 6.0]]]).astype(np.float32)
    chosen = typical_tiles(points, np.full(201, -1), 1)
    assert np.linalg.norm(points[chosen[0]]) < 1.0


def test_later_suggestions_lie_between_the_classes_and_in_different_places():
    generator = np.random.default_rng(0)
    points = generator.uniform(-1, 1, (1000, 2)).astype(np.float32)
    p = 1 / (1 + np.exp(-8 * points[:, 0]))
    labels = np.full(1000, -1)
    labels[:40] = points[:40, 0] > 0
    chosen = suggest_tiles(points, labels, np.stack([1 - p, p], axis=1), 5)
    assert np.abs(points[chosen, 0]).max() < 0.2
    assert np.ptp(points[chosen, 1]) > 1.0


def test_few_labels_ask_for_typical_tiles_even_when_there_is_a_model():
    features, kind = three_kinds()
    reduced = reduce_features(features)
    labels = np.full(len(kind), -1)
    labels[[0, 1, 310]] = 0, 0, 1
    probabilities = np.full((len(kind), 2), 0.5)
    np.testing.assert_array_equal(
        suggest_tiles(reduced, labels, probabilities, 4), typical_tiles(reduced, labels, 4)
    )


@pytest.mark.parametrize("n", [1, 7, 40, 500])
def test_only_open_tiles_are_suggested_and_none_twice(n):
    features, kind = three_kinds((30, 20, 10))
    reduced = reduce_features(features)
    labels = np.where(np.arange(60) % 2 == 0, kind, -1)
    probabilities = np.full((60, 3), 1 / 3)
    probabilities[1] = np.nan  # a tile without data
    for chosen in (
        typical_tiles(reduced, labels, n),
        uncertain_tiles(reduced, labels, probabilities, n),
    ):
        assert len(chosen) == len(set(chosen.tolist())) <= n
        assert (labels[chosen] == -1).all()
    assert 1 not in uncertain_tiles(reduced, labels, probabilities, n)


def test_nothing_is_left_to_suggest_when_all_is_annotated():
    features, kind = three_kinds((5, 5, 5))
    assert len(suggest_tiles(reduce_features(features), kind, None, 5)) == 0


def test_the_same_question_has_the_same_answer():
    features, kind = three_kinds()
    labels = np.full(len(kind), -1)
    first, second = (typical_tiles(reduce_features(features), labels, 6, 1) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_reduced_features_keep_distances_and_drop_what_does_not_vary():
    features, _ = three_kinds((40, 40, 40), size=30)
    features[:, 4] = 5.0
    reduced = reduce_features(features)
    assert reduced.shape[1] <= 30
    spread = features.std(0)
    z = features / np.where(spread > 0, spread, 1)
    expected = np.linalg.norm(z[0] - z[100])
    assert np.linalg.norm(reduced[0] - reduced[100]) == pytest.approx(expected, rel=0.02)


def test_annotations_that_the_model_contradicts_confidently_are_listed_first_the_surest():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.99, 0.01], [0.05, 0.95], [0.55, 0.45], [0.99, 0.01]])
    assert suspicious_tiles(labels, probabilities).tolist() == [3, 1]
