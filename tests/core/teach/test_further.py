"""A model is taught further on tiles of another specimen, without the images that taught it."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.teach.further import _rows_before, further_head
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.teach.suggest import suggest_tiles, uncertain_tiles

CLASSES, FEATURES = 3, 200


def specimen(shift, seed, n=300):
    """Tiles of three classes; with a shift those of the first look more like the second."""
    generator = np.random.default_rng(seed)
    middles = np.random.default_rng(1).normal(0, 0.35, (CLASSES, FEATURES))
    moved = middles[1] - middles[0]
    labels = generator.integers(0, CLASSES, n)
    features = middles[labels] + shift * moved + generator.normal(0, 1, (n, FEATURES))
    return features.astype(np.float32), labels


def right(head, features, labels):
    return (head.logits(features).argmax(axis=1) == labels).mean()


def test_a_few_tiles_mend_a_head_on_the_next_specimen_and_it_forgets_little_of_the_first():
    features, labels = specimen(0, 3)
    theirs, true = specimen(0.6, 4)
    head = fit_head(features, labels, CLASSES)
    before = right(head, theirs, true)
    mended = further_head(head, theirs[:20], true[:20])
    assert right(mended, theirs[20:], true[20:]) > before + 0.05
    assert right(mended, *specimen(0, 5)) > right(head, *specimen(0, 5)) - 0.05


def test_tiles_of_one_class_are_enough_and_no_class_is_lost():
    features, labels = specimen(0, 3)
    head = fit_head(features, labels, CLASSES)
    mended = further_head(head, features[labels == 1][:4], np.ones(4, int))
    assert right(mended, features, labels) > 0.9
    assert np.abs(mended.weight - head.weight).max() < np.abs(head.weight).max()


def test_what_the_head_is_sure_of_changes_it_hardly():
    features, labels = specimen(0, 3)
    head = fit_head(features, labels, CLASSES, strength=1e-2)
    mended = further_head(head, features[:10], labels[:10])
    assert np.abs(mended.weight - head.weight).max() < 0.05 * np.abs(head.weight).max()
    assert mended.mean is head.mean


def test_of_cards_from_before_and_from_strangers_only_whole_rows_are_taken_over():
    old = {"name": "a", "tiles": {"oxide": 3}}
    spoilt = [
        None,
        "a",
        {"name": "b"},
        {"name": 3, "tiles": {}},
        {"name": "c", "tiles": {"o": "x"}},
    ]
    assert _rows_before({"images": [old, *spoilt]}) == [{**old, "specimen": "a"}]
    assert _rows_before({"images": 3}) == _rows_before({}) == []


def test_a_model_of_other_images_is_asked_at_once_which_tiles_of_a_new_one_it_doubts():
    generator = np.random.default_rng(0)
    reduced = generator.normal(0, 1, (200, 8)).astype(np.float32)
    sure = generator.dirichlet(np.ones(3), 200)
    none = np.full(200, UNLABELLED)
    doubtful = uncertain_tiles(reduced, none, sure, 10)
    assert suggest_tiles(reduced, none, sure, learned=24).tolist() == doubtful.tolist()
    assert suggest_tiles(reduced, none, sure, learned=23).tolist() != doubtful.tolist()
