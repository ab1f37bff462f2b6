"""A model is judged on other specimens by heads of its stages, calibrated by leaving some out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_sem_classify.core.model.transfer import Transfer, agreement_of, judge
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.teach.judged_tiles import Seen
from napari_sem_classify.core.teach.transfer import accuracy_of, teach_judges
from napari_sem_classify.core.teach.turned import Copies

SIZES = (3, 3, 3)
TILES = 120


def specimen(seed, *, strange=0.0, labelled=True, one_of=2):
    """Tiles of two classes which each stage tells apart in its own way; `strange` spoils it.

    One tile of `one_of` is of the second class.
    """
    generator = np.random.default_rng(seed)
    labels = (np.arange(TILES) % one_of == 0).astype(int)
    features = generator.normal(0, 1, (TILES, sum(SIZES)))
    for stage in range(3):
        level = np.where(generator.random(TILES) < strange, 1 - labels, labels)
        features[:, 3 * stage] += 4 * level
    return features.astype(np.float32), labels if labelled else np.full(TILES, -1)


def seen_in(specimens, classes_of=lambda number, labels: labels):
    features, labels = zip(*specimens, strict=True)
    labels = [classes_of(number, each) for number, each in enumerate(labels)]
    number = np.repeat(np.arange(len(specimens)), TILES)
    return Seen(np.concatenate(features), np.concatenate(labels), number, number)


def taught_on(seen):
    told = seen.labels >= 0
    head = fit_head(seen.features[told], seen.labels[told], 2, 1e-2)
    return head, *teach_judges(seen, 2, SIZES, strength=1e-2, temperature=1.0)


def judged(head, stages, transfer, features):
    logits = (features @ stages.stacked().T).reshape(len(features), 3, 2) + stages.bias
    agreed = agreement_of([logits[:, stage].argmax(axis=1) for stage in range(3)])
    return judge(agreed, head.probabilities(features), stages.distance(features), transfer)


@pytest.fixture(scope="module")
def four():
    return taught_on(seen_in([specimen(seed) for seed in range(4)]))


def test_a_specimen_like_those_that_taught_is_expected_to_do_as_promised(four):
    found = judged(*four, specimen(9)[0])
    assert found.verdict == "like"
    assert found.sentence.startswith("Like what it learned: expect ")
    assert found.expected.low <= found.promise <= found.expected.high
    assert (four[2].calibration.images, four[2].calibration.specimens) == (4, 4)


def test_where_stages_fall_apart_less_is_expected_and_tiles_are_asked_for(four):
    found = judged(*four, specimen(9, strange=0.4)[0])
    assert found.verdict == "very unlike"
    assert found.expected.estimate < found.promise - 0.1
    assert found.sentence.endswith("annotate some tiles of this image.")


def test_where_heads_agree_on_what_is_like_nothing_they_learned_no_accuracy_is_told(four):
    features = specimen(9)[0]
    found = judged(*four, features + np.float32(20))
    assert found.agreement > 0.95
    assert (found.verdict, found.expected) == ("very unlike", None)
    assert "no accuracy can be expected" in found.sentence


def test_where_classes_come_in_other_shares_than_on_any_specimen_less_is_expected(four):
    usual = judged(*four, specimen(9)[0])
    other = judged(*four, specimen(9, one_of=40)[0])
    assert other.agreement > usual.agreement - 0.05  # the other signs see little
    assert other.verdict == "very unlike"
    assert other.expected.estimate < usual.expected.estimate - 0.1


def test_where_every_specimen_has_its_own_shares_they_say_nothing():
    taught = taught_on(seen_in([specimen(n, one_of=(2, 40)[n % 2]) for n in range(6)]))
    for one_of in (2, 40):
        assert judged(*taught, specimen(9, one_of=one_of)[0]).verdict == "like"


def test_a_calibration_from_before_knows_no_shares_and_goes_by_the_other_signs(four):
    head, stages, transfer = four
    before = Transfer(replace(transfer.calibration, shares=None, shares_apart=0.0))
    assert judged(head, stages, before, specimen(9, one_of=40)[0]).verdict == "like"


def test_heads_that_learned_from_copies_hold_on_what_was_turned_like_them():
    def turned(features):
        other = features.copy()
        other[:, 1::3] += 5
        return other

    plain = seen_in([specimen(seed) for seed in range(4)])
    some = np.arange(0, 4 * TILES, 3)
    copies = turned(plain.features[some])
    knows = replace(plain, copies=(Copies(copies, some), copies))
    new = turned(specimen(9)[0])
    with_copies, without = judged(*taught_on(knows), new), judged(*taught_on(plain), new)
    assert (without.verdict, with_copies.verdict) == ("very unlike", "like")


def test_on_specimens_that_differ_the_interval_is_wider(four):
    mixed = [specimen(seed, strange=0.15 * (seed % 3)) for seed in range(6)]
    assert taught_on(seen_in(mixed))[2].calibration.spread > four[2].calibration.spread


def test_with_one_specimen_the_agreement_is_told_alone():
    taught = taught_on(seen_in([specimen(0)]))
    assert taught[2].calibration is None
    found = judged(*taught, specimen(9)[0])
    assert (found.verdict, found.expected) == ("unknown", None)
    assert "fewer than three specimens" in found.sentence
    assert "Its parts agree on " in found.sentence


def test_a_class_on_a_single_specimen_stays_in_and_the_others_are_left_out():
    def only_first(number, labels):
        return labels if number == 0 else np.zeros(TILES, int)

    seen = seen_in([specimen(seed) for seed in range(4)], only_first)
    assert taught_on(seen)[2].calibration.specimens == 3


def test_specimens_of_one_class_each_give_no_calibration_but_heads():
    seen = seen_in(
        [specimen(0), specimen(1), specimen(2)], lambda number, _: np.full(TILES, number)
    )
    stages, transfer = teach_judges(seen, 3, SIZES, strength=1e-2, temperature=1.0)
    assert stages.bias.shape == (3, 3)
    assert transfer.calibration is None
    assert "none can be left out without which a class is gone" in transfer.reason


def test_two_tiles_are_too_few_to_judge(four):
    found = judged(*four, specimen(9)[0][:2])
    assert (found.verdict, found.agreement) == ("unknown", None)
    assert found.sentence.startswith("2 tiles: too few")


def test_each_class_counts_by_its_share_of_the_image_however_much_of_it_is_annotated():
    named, right = np.array([0, 0, 1, 1]), np.array([True, True, True, False])
    assert accuracy_of(named, right, np.array([0.9, 0.1])) == pytest.approx(0.95)
    assert accuracy_of(named, right, np.array([0.5, 0.5])) == pytest.approx(0.75)
    assert accuracy_of(named, right, np.array([0.0, 0.0])) == pytest.approx(0.75)


def test_images_with_hardly_any_annotation_do_not_calibrate():
    def few(number, labels):
        return np.where(np.arange(TILES) < 4, labels, -1) if number else labels

    _, _, transfer = taught_on(seen_in([specimen(seed) for seed in range(4)], few))
    assert transfer == Transfer(None, transfer.reason)
    assert "annotated tiles or more" in transfer.reason
