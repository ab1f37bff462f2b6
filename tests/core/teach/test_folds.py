"""A split keeps apart what belongs together, or says why there is none."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.teach.folds import Folds, TilePlaces, plan_folds, spatial_blocks

NAMES = ("matrix", "oxide")


def one_image(rows: int, cols: int, tile: int = 64) -> TilePlaces:
    y, x = np.mgrid[:rows, :cols]
    zero = np.zeros(rows * cols, np.int64)
    return TilePlaces(zero, y.ravel() * tile, x.ravel() * tile, tile)


def test_images_are_never_on_both_sides():
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 9, 400)
    labels = generator.integers(0, 2, 400)
    found = plan_folds(labels, NAMES, groups=groups)
    assert isinstance(found, Folds)
    for fold in found.folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
    tested = np.concatenate([fold.test for fold in found.folds])
    assert sorted(tested) == list(range(400))
    assert found.how == "by image (9 images, 5 folds)"


def test_each_fold_holds_some_of_each_class_where_the_images_allow_it():
    groups = np.repeat(np.arange(10), 20)
    labels = np.where(groups % 2 == 0, 0, 1)  # an image shows one class only
    found = plan_folds(labels, NAMES, groups=groups)
    assert isinstance(found, Folds)
    assert all(len(np.unique(labels[fold.test])) == 2 for fold in found.folds)


def test_one_image_is_split_into_blocks_with_space_around_them():
    places = one_image(12, 12)
    labels = (places.x // 64 % 2).astype(np.int64)
    found = plan_folds(labels, NAMES, groups=places.image, places=places)
    assert isinstance(found, Folds)
    assert "spatial blocks" in found.how
    for fold in found.folds:
        dy = np.abs(places.y[fold.train][:, None] - places.y[fold.test][None])
        dx = np.abs(places.x[fold.train][:, None] - places.x[fold.test][None])
        assert np.maximum(dy, dx).min() >= 1.5 * 64


def test_a_block_is_at_least_a_tile_wide():
    places = one_image(8, 8)
    blocks = spatial_blocks(places)
    assert len(np.unique(blocks)) == 16
    for block in np.unique(blocks):
        width = np.ptp(places.x[blocks == block]) + 64
        assert width >= 2 * 64


def test_tiles_of_other_images_are_not_near():
    a = one_image(6, 6)
    places = TilePlaces(
        np.concatenate([a.image, a.image + 1]), np.tile(a.y, 2), np.tile(a.x, 2), 64
    )
    labels = (places.x // 64 % 2).astype(np.int64)
    found = plan_folds(labels, NAMES, groups=places.image, places=places)
    assert isinstance(found, Folds)
    for fold in found.folds:
        same = np.isin(places.image[fold.train], places.image[fold.test])
        assert len(fold.train) > 0
        assert same.any()


@pytest.mark.parametrize(
    ("places", "labels", "words"),
    [
        (one_image(2, 2), [0, 1, 0, 1], "one block is too few"),
        (one_image(2, 4), [0, 1, 0, 1, 0, 1, 0, 1], "2 blocks are too few"),
        (one_image(2, 8), 8 * [0, 1], "16 annotated tiles are too few, it takes at least 20"),
        (one_image(2, 10), [1, 1] + 8 * [0] + [1, 1] + 8 * [0], '"oxide" is annotated in one'),
    ],
)
def test_too_few_places_give_a_sentence_instead_of_a_split(places, labels, words):
    found = plan_folds(np.array(labels), NAMES, groups=places.image, places=places)
    assert isinstance(found, str)
    assert found.startswith("No score can be given: ")
    assert words in found


def test_tiles_without_places_or_groups_give_a_sentence():
    found = plan_folds(np.array([0, 1]), NAMES)
    assert isinstance(found, str)
    assert "without their places" in found
