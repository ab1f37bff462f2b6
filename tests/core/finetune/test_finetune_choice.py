"""Which of the networks that a training passes is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_images import write_classes

from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.finetune.finetune_choice import Choosing, cases_that_choose
from napari_sem_classify.core.finetune.finetune_data import units_of

TRUTH = np.arange(20) % 2


def choosing(truth=TRUTH, turned=True):
    """Cases as they are and, where asked for, each of them turned once."""
    every = np.tile(truth, 1 + turned)
    return Choosing(every, np.ones(len(every)), len(truth), 2)


def sure_of_the_truth(share, truth=TRUTH):
    """Probabilities that give the right class so much."""
    right = np.broadcast_to(np.asarray(share, dtype=np.float32), len(truth))
    found = np.empty((len(truth), 2), dtype=np.float32)
    found[np.arange(len(truth)), truth] = right
    found[np.arange(len(truth)), 1 - truth] = 1 - right
    return found


def test_the_surer_of_two_that_make_no_mistake_is_kept():
    cases = choosing()
    sure, hardly = (cases.evidence(sure_of_the_truth(p), sure_of_the_truth(p)) for p in (0.9, 0.6))
    assert sure.macro_f1 == hardly.macro_f1 == 1.0
    assert cases.better(sure, hardly)
    assert not cases.better(hardly, sure)
    assert cases.better(hardly, None)


def test_what_falls_apart_over_a_turned_knob_loses_though_it_is_better_on_images_as_they_are():
    cases = choosing()
    brittle = cases.evidence(sure_of_the_truth(0.95), sure_of_the_truth(0.3))
    steady = cases.evidence(sure_of_the_truth(0.8), sure_of_the_truth(0.8))
    assert (brittle.macro_f1, brittle.turned_f1) == (1.0, 0.0)
    assert cases.better(steady, brittle)


def test_a_single_sure_mistake_does_not_decide_alone():
    cases = choosing()
    shares = np.full(20, 0.95)
    shares[3] = 0.0
    one_wrong = cases.evidence(sure_of_the_truth(shares), sure_of_the_truth(shares))
    unsure = cases.evidence(sure_of_the_truth(0.4), sure_of_the_truth(0.4))
    assert cases.better(one_wrong, unsure)


def test_a_rare_class_counts_as_much_as_a_common_one():
    truth = np.repeat([0, 1], [18, 2])
    cases = choosing(truth)
    common = cases.evidence(*[sure_of_the_truth(np.where(truth, 0.4, 0.9), truth)] * 2)
    rare = cases.evidence(*[sure_of_the_truth(np.where(truth, 0.9, 0.5), truth)] * 2)
    assert cases.better(rare, common)


def test_what_is_no_number_is_never_kept():
    cases = choosing()
    broken = cases.evidence(sure_of_the_truth(np.nan), sure_of_the_truth(0.5))
    assert not cases.better(broken, None)


def test_cases_are_turned_always_in_the_same_way_and_the_few_in_several_ways(tmp_path):
    import torch

    from napari_sem_classify.core.finetune.finetune_turned import turned_cases

    source = write_classes(tmp_path / "set", {"fine": 4, "coarse": 4}, shape=(48, 48))
    data = make_training_set(read_listing(source), largest_px=32, cache_folder=tmp_path)
    cases = units_of(data, np.arange(8))
    one, other = (turned_cases(data, cases, torch.device("cpu")) for _ in range(2))
    assert np.bincount(one.of).tolist() == [4] * 8
    tiles = [
        torch.cat([grey for grey, _ in each.batches(32, 8)]).numpy()[:, 0] for each in (one, other)
    ]
    assert np.array_equal(*tiles)
    plain = np.stack([data.tiles[cases.first[case]] for case in one.of]) / 255
    assert (np.abs(tiles[0] - plain).mean(axis=(1, 2)) > 0.001).all()
    found = cases_that_choose(data, cases.image, one.of)
    assert found.plain == 8
    assert found.truth[8:].tolist() == data.labels[one.of].tolist()
    assert found.weights.sum() == pytest.approx(1.0)
    # Frames of one place count as one, whatever their number.
    twice = replace(data, pairs=np.array([[0, 1]]))
    weights = cases_that_choose(twice, cases.image, one.of).weights
    assert weights[0] == pytest.approx(weights[2] / 2)
    data.discard()
