"""Images and tiles that show the same place weigh as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_training import small, train

from napari_sem_classify.core.finetune.place_weights import (
    place_notes,
    place_weights,
    tiles_of_epoch,
)

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


def with_pairs(data, *pairs):
    return replace(data, pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2))


def annotated(data, at, key="one"):
    """The first images of a set as annotated tiles of 48 px at these places."""
    facts = [
        replace(facts, specimen=(y, y + 48, x, x + 48), key=key)
        for facts, (y, x) in zip(data.images, at, strict=False)
    ]
    blocks = np.zeros(len(facts), dtype=np.int64)
    return replace(data, images=tuple(facts), blocks=blocks, tile_px=48)


def test_copies_of_a_place_weigh_as_one_and_only_those_that_are_learned_from(data):
    alike = with_pairs(data, (0, 1), (0, 2), (1, 2), (3, 4))
    images = np.array([0, 1, 2, 3, 5])
    weight = place_weights(alike, images)
    assert weight.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 1])
    assert tiles_of_epoch(alike, images, small()) == 3
    assert tiles_of_epoch(alike, images, replace(small(), epoch_tiles=50)) == 50
    told = place_notes(alike, images)
    assert told[0].startswith("The 5 images to learn from show about 3 places")
    assert not place_notes(with_pairs(data), images)


def test_annotated_tiles_share_as_much_as_they_overlap(data):
    # Five in a row by half a tile, and one far away: 3 + 1 tiles' worth.
    at = [(0, 24 * k) for k in range(5)] + [(500, 500)]
    weight = place_weights(annotated(data, at), np.arange(6))
    assert weight.tolist() == pytest.approx([1 / 1.5, 0.5, 0.5, 0.5, 1 / 1.5, 1])
    beside = [(0, 48 * k) for k in range(6)]
    assert (place_weights(annotated(data, beside), np.arange(6)) == 1).all()


def test_a_tile_of_an_epoch_is_one_of_its_place_and_a_class_weighs_by_its_places():
    from napari_sem_classify.core.finetune.finetune_data import draw_units

    # Class 0 has 90 images of one place and 10 others; class 1 has 11 of 11 places.
    labels = np.repeat([0, 1], [100, 11])
    weight = np.concatenate([np.full(90, 1 / 90), np.ones(21)])
    times = np.zeros(111)
    for seed in range(200):
        drawn = draw_units(labels, 0.0, np.random.default_rng(seed), weight, 22)
        assert np.bincount(labels[drawn]).tolist() == [11, 11]
        times += np.bincount(drawn, minlength=111)
    times /= 200
    assert times[:90].sum() == pytest.approx(1)
    assert times[90:] == pytest.approx(1)
    assert (times[:90] > 0).sum() > 60


def test_a_training_on_near_duplicates_has_fewer_batches_and_says_why(data, split):
    of_class = split.train[data.labels[split.train] == 0]
    pairs = [(a, b) for a in of_class for b in of_class if a < b]
    done = []
    result = train(with_pairs(data, *pairs), split, on_batch=done.append, batch_size=2)
    places = len(split.train) - len(of_class) + 1
    assert len(done) == -(-places // 2)
    assert any(f"show about {places} places" in note for note in result.notes)
