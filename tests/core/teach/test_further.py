"""A model is taught further on tiles of another specimen, without the images that taught it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tiny_engine import brightness_classifier

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.annotate.annotation_set import Annotations, ImageAnnotations, Mark
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.transfer import NO_JUDGEMENT, Expected, Judgement
from napari_sem_classify.core.teach.further import _rows_before, further_head
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.teach.learn_further import new_tiles
from napari_sem_classify.core.teach.rise import Rise
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


def test_tiles_of_images_that_taught_it_and_of_classes_it_lacks_are_not_new_to_a_model():
    card = replace(
        brightness_classifier().card, record={"images": [{"name": "a", "fingerprint": "a" * 64}]}
    )
    marks = {(0, 0, 16): Mark("dark"), (0, 16, 16): Mark("pore")}
    images = [ImageAnnotations(name, name * 64, (64, 64), marks=marks) for name in "ab"]
    said = Annotations((ClassInfo("pore", "#000000"), ClassInfo("dark", "#ff0000")), tuple(images))
    found = new_tiles(card, said)
    assert [(info.name, info.colour) for info in found.classes] == [
        ("dark", "#ff0000"),
        ("bright", "#f0e442"),
    ]
    assert [(image.name, list(image.marks)) for image in found.images] == [("b", [(0, 0, 16)])]


def test_what_tiles_bring_is_told_with_its_interval_or_by_what_was_right():
    def judgement(estimate):
        expected = Expected(estimate, estimate - 0.1, estimate + 0.1)
        return Judgement("unlike", "", expected=expected, promise=0.9)

    assert Rise(judgement(0.71), judgement(0.78), 6, 2).sentence == (
        "Unlike what it learned: expect 71 % → 78 % right after 6 tiles (68–88 %)."
    )
    assert Rise(NO_JUDGEMENT, None, 1, 0).sentence.endswith(
        "Of 1 tile of this image that you answered, it had 0 right before."
    )


def test_a_model_of_other_images_is_asked_at_once_which_tiles_of_a_new_one_it_doubts():
    generator = np.random.default_rng(0)
    reduced = generator.normal(0, 1, (200, 8)).astype(np.float32)
    sure = generator.dirichlet(np.ones(3), 200)
    none = np.full(200, UNLABELLED)
    doubtful = uncertain_tiles(reduced, none, sure, 10)
    assert suggest_tiles(reduced, none, sure, learned=24).tolist() == doubtful.tolist()
    assert suggest_tiles(reduced, none, sure, learned=23).tolist() != doubtful.tolist()
