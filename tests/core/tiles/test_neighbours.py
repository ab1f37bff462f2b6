"""Neighbours lie one tile away, whatever the stride; for a missing one the tile itself stands."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.neighbours import Neighbours


def test_without_overlap_the_eight_tiles_around_are_the_neighbours():
    beside = Neighbours.on(TileGrid(Area(0, 64, 0, 64), 16, 16))
    assert sorted(beside.of(np.array([5]))[0].tolist()) == [0, 1, 2, 4, 6, 8, 9, 10]
    assert sorted(beside.of(np.array([0]))[0].tolist()) == [-1, -1, -1, -1, -1, 1, 4, 5]


def test_with_overlap_they_are_one_tile_away_and_not_one_stride():
    grid = TileGrid(Area(0, 64, 0, 64), 16, 8)
    beside = Neighbours.on(grid)
    assert beside.rows[:, 2].tolist() == [0, 2, 4]
    assert beside.rows[:, 6].tolist() == [4, 6, -1]


def test_a_last_row_that_hardly_goes_further_is_no_neighbour_of_the_one_before():
    beside = Neighbours.on(TileGrid(Area(0, 52, 0, 62), 16, 16))
    assert beside.rows[2].tolist() == [1, 2, -1, -1]  # rows start at 0, 16, 32 and 36
    assert beside.rows[0].tolist() == [-1, 0, 1, 1]
    assert beside.cols[2].tolist() == [1, 2, 3, -1]  # columns at 0, 16, 32 and 46


def test_the_mean_puts_a_tile_in_the_place_of_neighbours_that_are_missing_or_left_out():
    grid = TileGrid(Area(0, 48, 0, 48), 16, 16)
    values = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    values[1, 1] = np.nan
    found = Neighbours.on(grid).mean(values)[..., 0]
    assert found[0, 0] == (6 * 0 + 1 + 3) / 8
    assert found[0, 1] == (4 * 1 + 0 + 2 + 3 + 5) / 8
    assert np.isnan(found[1, 1])


def test_a_single_tile_is_its_own_neighbourhood():
    beside = Neighbours.on(TileGrid(Area(0, 16, 0, 16), 16, 16))
    assert beside.mean(np.full((1, 1, 2), 3.0, np.float32)).tolist() == [[[3.0, 3.0]]]
