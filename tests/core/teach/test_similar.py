"""Tiles like one that is pointed at, and groups of tiles before any class exists."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.teach.axes import find_axes
from napari_sem_classify.core.teach.similar import (
    group_tiles,
    most_similar,
    sample_at,
    tile_at,
    typical_of,
)
from napari_sem_classify.core.tiles.grid import TileGrid


def three_kinds(each=60, features=40, seed=0):
    """Tiles of three kinds that all have much in common, and the kind of each."""
    generator = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(3), (each, each // 2, each // 3))
    middles = generator.normal(0, 1, (3, features))
    return 50 + middles[kinds] + generator.normal(0, 0.2, (len(kinds), features)), kinds


def test_what_all_tiles_share_counts_for_nothing_so_other_kinds_are_unlike():
    features, kinds = three_kinds()
    sample = sample_at(find_axes(features), features, 100)
    alike = sample.similarity(features.astype(np.float16))
    assert alike[100] == pytest.approx(1, abs=1e-3)
    assert alike[kinds == kinds[100]].min() > 0.5 > alike[kinds != kinds[100]].max()


def test_an_image_of_tiles_that_are_all_the_same_is_alike_throughout():
    features = np.ones((9, 12))
    assert sample_at(find_axes(features), features, 4).similarity(features).tolist() == [1] * 9


def test_annotated_tiles_and_tiles_without_data_are_not_suggested():
    values = np.array([0.9, 0.8, np.nan, 0.7, 0.2], np.float32)
    open_ = np.array([False, True, True, True, True])
    assert most_similar(values, open_, 2).tolist() == [1, 3]
    with pytest.raises(AnnotationError, match="holds no data"):
        sample_at(find_axes(np.eye(4)), np.eye(4), -1)


def test_a_place_is_in_the_tile_that_is_drawn_over_it_and_outside_in_none():
    grid = TileGrid(Area(10, 50, 20, 100), 16, 16)
    assert tile_at(grid, 9.6, 20) == (0, 0)
    assert tile_at(grid, 26, 35.4) == (1, 0)
    assert tile_at(grid, 49, 99) == (2, 4)
    assert tile_at(grid, 9.4, 30) is None
    assert tile_at(grid, 30, 100) is None


def test_groups_are_the_kinds_of_tiles_the_largest_first_and_the_same_each_time():
    features, kinds = three_kinds()
    points = find_axes(features).points(features)
    groups = group_tiles(points, 3)
    assert groups.tolist() == kinds.tolist()
    assert np.array_equal(groups, group_tiles(points, 3))
    assert group_tiles(points[:2], 5).max() == 1


def test_the_typical_tiles_of_a_group_are_its_own_and_not_yet_annotated():
    features, kinds = three_kinds()
    points = find_axes(features).points(features)
    open_ = np.ones(len(kinds), bool)
    best = typical_of(points, open_, kinds == 1, 5)
    assert set(kinds[best]) == {1}
    open_[best] = False
    assert not set(typical_of(points, open_, kinds == 1, 5)) & set(best)
    assert len(typical_of(points, kinds == 0, kinds == 1, 5)) == 0
