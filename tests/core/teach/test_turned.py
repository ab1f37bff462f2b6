"""Annotated tiles are learned from as they would look with other settings, too."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_engine import TinyEngine

from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.recipe import STANDARD
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.copies_choice import choose_copies
from napari_sem_classify.core.teach.folds import Fold, Folds, TilePlaces
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head
from napari_sem_classify.core.teach.lesson import Lesson, part_of
from napari_sem_classify.core.teach.looked import Sight
from napari_sem_classify.core.teach.turned import N_COPIES, Copies, look_at_copies, turned
from napari_sem_classify.core.tiles.grid import TileGrid


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(40, 200, (64, 96)).astype(np.uint8)
    return image_from_array(pixels, "field")


def test_a_tile_has_the_same_copies_each_time_and_each_is_turned_otherwise(image):
    tiles = image.data[:64, :64].reshape(2, 32, 64)[:, :, :32]
    seeds = np.array([3, 4])
    copies = [turned(tiles, copy, seeds) for copy in range(N_COPIES)]
    for copy, mine in enumerate(copies):
        assert mine.dtype == np.uint8
        assert np.array_equal(mine, turned(tiles, copy, seeds))
        assert not np.array_equal(mine, tiles)
    assert copies[2].std() < tiles.std() < copies[3].std() * 1.2  # out of focus, noisier


def test_only_the_tiles_that_are_asked_for_are_looked_at(image):
    grid = TileGrid(image.area, 32, 32)
    sight = Sight("key", image, grid, np.array([1, 4]))
    engine = TinyEngine(batch_size=8)
    seen = look_at_copies(sight, STANDARD, engine)
    assert seen.index.tolist() == [1, 4]
    assert seen.features.shape == (2, N_COPIES, engine.feature_size)
    assert np.array_equal(look_at_copies(sight, STANDARD, engine).features, seen.features)


def test_a_copy_is_learned_from_only_where_its_tile_is_and_never_scored():
    whole = Folds((Fold(np.array([0, 2]), np.array([1])),), np.arange(3), "")
    [fold] = whole.with_copies(np.array([0, 0, 1, 2])).folds
    assert fold.train.tolist() == [0, 2, 3, 4, 6]
    assert fold.test.tolist() == [1]


def test_a_head_does_not_hold_on_to_what_another_setting_turns():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    # What tells the classes, and a stronger sign of them that any turn of the knob takes away.
    structure = labels + random.normal(0, 0.3, 120)
    grey = 4 * labels + random.normal(0, 0.3, 120)
    features = np.stack([structure, grey], axis=1).astype(np.float32)
    other = np.stack([structure, random.normal(2, 4, 120)], axis=1).astype(np.float32)
    groups = np.arange(120) % 6
    copies = Copies(np.concatenate([other] * 4), np.tile(np.arange(120), 4))
    alone = teach_head(features, labels, ("a", "b"), FitOptions(groups))
    turned = teach_head(features, labels, ("a", "b"), FitOptions(groups, copies=copies))
    moved = np.stack([structure, np.roll(grey, 60)], axis=1).astype(np.float32)

    def right(taught):
        return (taught.head.probabilities(moved).argmax(axis=1) == labels).mean()

    assert right(alone) < 0.5 < 0.8 < right(turned)
    assert turned.score.scores.n == 120


def lesson_with_copies(spoiled):
    """Six images of two classes with a copy of each tile; a spoiled one says nothing of it."""
    random = np.random.default_rng(1)
    labels = np.arange(240) % 2
    structure, grey = (labels * k + random.normal(0, 0.3, 240) for k in (1, 4))
    features = np.stack([structure, grey], axis=1).astype(np.float32)
    turned = np.stack([structure, random.normal(2, 4, 240)], axis=1).astype(np.float32)
    if spoiled:
        turned = random.normal(0, 300, (240, 2)).astype(np.float32)
    places = TilePlaces(np.arange(240) // 40, np.zeros(240, int), np.arange(240) * 8, 8)
    return Lesson(
        features,
        labels,
        places,
        tuple("abcdef"),
        tuple((key, (0, 0, 8)) for key in "abcdef" for _ in range(40)),
        (ClassInfo("a", "#000000"), ClassInfo("b", "#ffffff")),
        numbers=np.arange(240),
        copies=Copies(turned, np.arange(240)),
    )


@pytest.mark.parametrize("spoiled", [False, True])
def test_copies_are_learned_from_where_tiles_left_out_gain_by_them(spoiled):
    lesson = lesson_with_copies(spoiled)
    told = choose_copies(lesson, FitOptions(lesson.places.image))
    assert told.used is not spoiled
    assert "by image (6 images" in told.reason
    assert spoiled or told.turned_gain > 0.1


def test_where_nothing_can_be_left_out_copies_are_learned_from_and_the_reason_is_told():
    lesson = part_of(lesson_with_copies(False), np.arange(80))
    told = choose_copies(lesson, FitOptions(lesson.places.image))
    assert told.used
    assert "from three annotated images on" in told.reason
