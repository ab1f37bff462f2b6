"""Tiles without data, flat tiles, tiles inside a drawn region, and the area they cover."""

from __future__ import annotations

import numpy as np
from sem_pictures import specimen

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_rules import check_tiles, covered_area, tiles_inside


def test_tiles_of_nothing_but_black_hold_no_data():
    picture = specimen(128, 192)
    picture[:, :64] = 0
    checks = check_tiles(image_from_array(picture, "x"), TileGrid(Area(0, 128, 0, 192), 32, 32))
    assert checks.no_data[:, :2].all()
    assert not checks.no_data[:, 2:].any()


def test_flat_tiles_are_told_from_textured_ones():
    picture = specimen(128, 192)
    picture[64:] = 120
    checks = check_tiles(image_from_array(picture, "x"), TileGrid(Area(0, 128, 0, 192), 32, 32))
    assert checks.flat(0.02)[2:].all()
    assert not checks.flat(0.02)[:2].any()


def test_a_float_image_with_nan_is_checked_alike():
    picture = specimen(96, 96, dtype=np.float32)
    picture[:32, :32] = np.nan
    checks = check_tiles(image_from_array(picture, "x"), TileGrid(Area(0, 96, 0, 96), 32, 32))
    assert checks.no_data[0, 0]
    assert checks.no_data.sum() == 1
    assert np.isnan(checks.contrast[0, 0])


def test_all_tiles_cover_the_whole_area_however_they_overlap():
    for tile, stride in [(64, 64), (64, 32), (50, 33), (400, 400)]:
        grid = TileGrid(Area(3, 203, 5, 155), tile, stride)
        assert covered_area(grid, np.ones(grid.tile_shape, bool)) == 200 * 150


def test_a_pixel_seen_by_several_tiles_counts_once():
    grid = TileGrid(Area(0, 96, 0, 96), 64, 32)
    keep = np.zeros(grid.tile_shape, bool)
    keep[0, :] = True
    assert grid.tile_shape == (2, 2)
    assert covered_area(grid, keep) == 64 * 96
    assert covered_area(grid, ~keep & False) == 0


def test_a_tile_is_inside_a_region_when_its_centre_is():
    grid = TileGrid(Area(0, 100, 0, 100), 20, 20)
    triangle = np.array([[-1.0, -1.0], [-1.0, 101.0], [101.0, -1.0]])
    inside = tiles_inside(grid, [triangle])
    rows, cols = np.indices(inside.shape)
    np.testing.assert_array_equal(inside, rows + cols < 5)


def test_regions_add_up():
    grid = TileGrid(Area(0, 40, 0, 40), 20, 20)
    left = np.array([[0.0, 0.0], [0.0, 15.0], [40.0, 15.0], [40.0, 0.0]])
    right = np.add(left, (0.0, 22.0))
    assert tiles_inside(grid, [left]).sum() == 2
    assert tiles_inside(grid, [left, right]).all()
