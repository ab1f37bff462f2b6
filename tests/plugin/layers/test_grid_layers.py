"""Tiles as a layer: small however many, clickable, inside an area that can be moved."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.layers.grid_layers import (
    BY_HAND,
    area_in,
    chequerboard,
    grid_layer_of,
    is_kept,
    polygons_in,
    show_area,
    show_grid,
)

WHOLE = Area(0, 200, 0, 300)


@pytest.fixture
def viewer(viewer_model):
    """No test here looks at a window."""
    return viewer_model


@pytest.fixture
def image_layer(real_viewer):
    return real_viewer.add_image(
        np.ones((200, 300), np.uint8),
        name="coating_12",
        scale=(4, 4),
        translate=(10, 20),
        units=("nm", "nm"),
    )


def test_a_hundred_thousand_tiles_are_one_small_layer(real_viewer, image_layer):
    grid = TileGrid(Area(0, 20_000, 0, 20_480), 64, 64)
    layer = show_grid(real_viewer, image_layer, grid)
    assert grid.n_tiles > 100_000
    assert layer.data.shape == grid.tile_shape


def test_each_pixel_of_the_grid_lies_on_the_centre_of_its_tile(real_viewer, image_layer):
    grid = TileGrid(WHOLE, 64, 32)
    layer = show_grid(real_viewer, image_layer, grid)
    window = grid.window(2, 3)
    centre = ((window.top + window.bottom - 1) / 2, (window.left + window.right - 1) / 2)
    np.testing.assert_allclose(layer.data_to_world((2, 3)), image_layer.data_to_world(centre))


def test_neighbouring_tiles_differ_and_left_out_ones_are_not_kept():
    board = chequerboard(TileGrid(WHOLE, 50, 50))
    assert (board[:, 1:] != board[:, :-1]).all()
    assert is_kept(board).all()
    board[1, 2] = BY_HAND
    assert not is_kept(board)[1, 2]


def test_another_grid_takes_the_place_of_the_first(real_viewer, image_layer):
    show_grid(real_viewer, image_layer, TileGrid(WHOLE, 64, 64))
    image_layer.name = "renamed"
    second = show_grid(real_viewer, image_layer, TileGrid(WHOLE, 32, 32))
    assert grid_layer_of(real_viewer, image_layer) is second
    assert len(real_viewer.layers) == 2


def test_showing_the_grid_leaves_the_selection_alone(real_viewer, image_layer):
    real_viewer.layers.selection.active = image_layer
    show_grid(real_viewer, image_layer, TileGrid(WHOLE, 64, 64))
    assert real_viewer.layers.selection.active is image_layer


def test_the_rectangle_gives_back_its_area(real_viewer, image_layer):
    area = Area(20, 120, 30, 250)
    layer = show_area(real_viewer, image_layer, area)
    assert area_in(layer, WHOLE) == area


def test_a_rectangle_moved_over_the_border_is_cut_off_there(real_viewer, image_layer):
    layer = show_area(real_viewer, image_layer, Area(20, 120, 30, 250))
    layer.data = [layer.data[0] + (150, 0)]
    assert area_in(layer, WHOLE) == Area(170, 200, 30, 250)


def test_a_rectangle_off_the_specimen_is_refused_in_a_sentence(real_viewer, image_layer):
    layer = show_area(real_viewer, image_layer, Area(20, 120, 30, 250))
    layer.data = [layer.data[0] + (1000, 0)]
    with pytest.raises(GridError, match="move the rectangle"):
        area_in(layer, WHOLE)


def test_shapes_of_another_layer_come_in_pixels_of_the_image(real_viewer, image_layer):
    corners = np.array([[10, 10], [10, 60], [50, 60], [50, 10]], float)
    shapes = real_viewer.add_shapes(
        [np.array([image_layer.data_to_world(corner) for corner in corners])],
        shape_type="polygon",
        units=("nm", "nm"),
    )
    (polygon,) = polygons_in(shapes, image_layer)
    np.testing.assert_allclose(polygon, corners)
