"""When a trained network takes the place of what it started from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_images import write_classes

from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.metrics import counts_of_groups, score
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.finetune.finetune_choice import Choosing, _macro_f1, cases_that_choose


def half_and_half(n, places):
    truth = np.arange(n) % 2
    return Choosing(truth, np.asarray(places), 2)


def with_mistakes(choosing, cases):
    said = choosing.truth.copy()
    said[list(cases)] = 1 - said[list(cases)]
    return said


def test_many_fewer_mistakes_are_clearly_better():
    choosing = half_and_half(100, range(100))
    fewer, more = (with_mistakes(choosing, range(n)) for n in (5, 30))
    assert choosing.clearly_better(fewer, more)
    assert not choosing.clearly_better(more, fewer)


def test_nothing_is_clearly_better_than_itself():
    choosing = half_and_half(10, range(10))
    said = with_mistakes(choosing, range(3))
    assert not choosing.clearly_better(said, said)


def test_one_mistake_less_among_others_is_luck():
    choosing = half_and_half(40, range(40))
    one, other = with_mistakes(choosing, range(7)), with_mistakes(choosing, range(6, 14))
    assert not choosing.clearly_better(one, other)


def test_a_gain_in_one_place_of_four_is_luck_however_many_tiles_it_has():
    places = np.repeat(np.arange(4), 25)
    one = np.flatnonzero(places == 0)
    choosing = half_and_half(100, places)
    right, wrong = choosing.truth, with_mistakes(choosing, one)
    assert not choosing.clearly_better(right, wrong)
    assert replace(choosing, places=np.arange(100)).clearly_better(right, wrong)


def test_two_places_have_to_agree():
    places = np.repeat([0, 1], 20)
    choosing = half_and_half(40, places)
    both = with_mistakes(choosing, [*range(5), *range(20, 25)])
    assert choosing.clearly_better(choosing.truth, both)
    assert not choosing.clearly_better(choosing.truth, with_mistakes(choosing, range(10)))


def test_the_macro_f1_of_the_draws_is_that_of_the_scores():
    generator = np.random.default_rng(0)
    truth, said = generator.integers(4, size=(2, 60))
    counts = counts_of_groups(truth, said, 5, generator.integers(9, size=60))
    found = _macro_f1(counts, np.ones((1, len(counts))))[0]  # one class is in no case
    assert found == pytest.approx(score(truth, said, 5).macro_f1)


def test_specimens_and_blocks_are_places_and_a_class_from_one_place_is_taken_case_by_case(tmp_path):
    source = write_classes(tmp_path / "set", {"fine": 4, "coarse": 4}, shape=(48, 48))
    data = make_training_set(read_listing(source), largest_px=32, cache_folder=tmp_path)
    every = np.arange(8)
    assert len(set(cases_that_choose(data, every).places)) == 8  # nobody named a specimen
    shared = replace(data, blocks=every // 2)
    assert len(set(cases_that_choose(shared, every).places)) == 4
    confounded = replace(data, blocks=data.labels)
    assert len(set(cases_that_choose(confounded, every).places)) == 8
    data.discard()
