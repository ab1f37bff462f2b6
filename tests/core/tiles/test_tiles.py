"""Tiles cover the specimen and nothing else, and cells lie where their tiles are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import tiles_to_cells
from napari_sem_classify.core.tiles.grid import MIN_TILE_PX, TileGrid, stride_for_overlap


@st.composite
def areas(draw, largest=120):
    top, left = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return Area(top, top + height, left, left + width)


@st.composite
def grids(draw, largest=120):
    tile = draw(st.integers(MIN_TILE_PX, 50))
    return TileGrid(draw(areas(largest)), tile, draw(st.integers(1, tile)))


@given(grid=grids())
def test_every_specimen_pixel_is_covered_and_no_window_leaves_the_area(grid):
    area = grid.area
    seen = np.zeros((area.bottom + 5, area.right + 5), dtype=int)
    for window in grid.windows():
        assert area.top <= window.top < window.bottom <= area.bottom
        assert area.left <= window.left < window.right <= area.right
        assert window.height == min(grid.tile, area.height)
        assert window.width == min(grid.tile, area.width)
        seen[window.top : window.bottom, window.left : window.right] += 1
    inside = seen[area.top : area.bottom, area.left : area.right]
    assert inside.min() >= 1
    assert seen.sum() == inside.sum()


@given(grid=grids())
def test_cells_divide_the_area(grid):
    area = grid.area
    seen = np.zeros((area.bottom + 5, area.right + 5), dtype=int)
    rows, cols = grid.shape
    for row in range(rows):
        for col in range(cols):
            cell = grid.cell(row, col)
            seen[cell.top : cell.bottom, cell.left : cell.right] += 1
            assert grid.cell_areas()[row, col] == cell.height * cell.width
    assert (seen[area.top : area.bottom, area.left : area.right] == 1).all()
    assert seen.sum() == area.height * area.width == grid.cell_areas().sum()


@given(grid=grids(), data=st.data())
def test_the_affine_puts_each_cell_where_it_is_in_the_image(grid, data):
    rows, cols = grid.shape
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    y, x, one = grid.affine() @ (row, col, 1)
    top = grid.area.top + row * grid.stride
    left = grid.area.left + col * grid.stride
    assert one == 1
    assert y == pytest.approx(top + (grid.stride - 1) / 2)
    assert x == pytest.approx(left + (grid.stride - 1) / 2)
    # The corner of the cell's pixel in the layer is the corner of the cell's first image pixel.
    corner_y, corner_x, _ = grid.affine() @ (row - 0.5, col - 0.5, 1)
    assert (corner_y, corner_x) == pytest.approx((top - 0.5, left - 0.5))


@given(grid=grids())
def test_without_overlap_the_affine_puts_each_cell_on_its_tile(grid):
    grid = TileGrid(grid.area, grid.tile, grid.tile)
    assume(grid.area.height >= grid.tile and grid.area.width >= grid.tile)
    rows, cols = grid.area.height // grid.tile, grid.area.width // grid.tile
    for row in range(rows):
        for col in range(cols):
            assert grid.window(row, col) == grid.cell(row, col)
            window = grid.window(row, col)
            centre = grid.affine() @ (row, col, 1)
            assert centre[0] == pytest.approx((window.top + window.bottom - 1) / 2)
            assert centre[1] == pytest.approx((window.left + window.right - 1) / 2)


@given(grid=grids(60), down=st.integers(0, 99), right=st.integers(0, 99), seed=st.integers(0, 99))
def test_the_map_of_a_translated_image_is_the_translated_map(grid, down, right, seed):
    area = grid.area
    moved = replace(
        grid,
        area=Area(area.top + down, area.bottom + down, area.left + right, area.right + right),
    )
    assert (moved.shape, moved.tile_shape) == (grid.shape, grid.tile_shape)
    assert [w.as_list() for w in moved.windows()] == [
        [w.top + down, w.bottom + down, w.left + right, w.right + right] for w in grid.windows()
    ]
    probabilities = np.random.default_rng(seed).random((*grid.tile_shape, 3))
    np.testing.assert_allclose(
        tiles_to_cells(moved, probabilities), tiles_to_cells(grid, probabilities), rtol=1e-5
    )
    np.testing.assert_allclose(moved.affine()[:2, 2] - grid.affine()[:2, 2], [down, right])


def plain_tiles_to_cells(grid, probabilities):
    """The same average, written as it is defined: a loop over cells and over tiles."""
    rows, cols = grid.shape
    cells = np.full((rows, cols, probabilities.shape[-1]), np.nan)
    for row in range(rows):
        for col in range(cols):
            cell = grid.cell(row, col)
            y, x = (cell.top + cell.bottom) / 2, (cell.left + cell.right) / 2
            total, weights = np.zeros(probabilities.shape[-1]), 0.0
            for i, top in enumerate(grid.row_starts()):
                for j, left in enumerate(grid.col_starts()):
                    if not (top < y < top + grid.tile and left < x < left + grid.tile):
                        continue
                    if np.isnan(probabilities[i, j, 0]):
                        continue
                    hann = np.sin(np.pi * (y - top) / grid.tile) ** 2
                    hann *= np.sin(np.pi * (x - left) / grid.tile) ** 2
                    total += hann * probabilities[i, j]
                    weights += hann
            if weights > 0:
                cells[row, col] = total / weights
    return cells


@given(grid=grids(50), seed=st.integers(0, 999), left_out=st.sampled_from([0.0, 0.3, 1.0]))
def test_tiles_become_cells_as_in_a_plain_double_loop(grid, seed, left_out):
    assume(np.prod(grid.shape) * grid.n_tiles < 10_000)
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(3), size=grid.tile_shape)
    probabilities[random.random(grid.tile_shape) < left_out] = np.nan
    found = tiles_to_cells(grid, probabilities)
    assert found.shape == (*grid.shape, 3)
    np.testing.assert_allclose(found, plain_tiles_to_cells(grid, probabilities), atol=1e-5)


@given(grid=grids())
def test_every_cell_has_a_tile_that_speaks_for_it(grid):
    cells = tiles_to_cells(grid, np.ones((*grid.tile_shape, 1)))
    assert cells.shape == (*grid.shape, 1)
    np.testing.assert_allclose(cells, 1.0)


@given(grid=grids())
def test_a_tile_left_out_never_lends_its_neighbours_its_class(grid):
    probabilities = np.zeros((*grid.tile_shape, 2))
    probabilities[..., 0] = 1.0
    probabilities[0, 0] = np.nan
    cells = tiles_to_cells(grid, probabilities)
    known = ~np.isnan(cells[..., 0])
    np.testing.assert_allclose(cells[known], np.broadcast_to([1.0, 0.0], cells[known].shape))


@given(
    area=areas(),
    tile_um=st.floats(0.05, 5.0),
    pixel_nm=st.floats(1.0, 100.0),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
)
def test_a_grid_in_micrometres_has_tiles_of_that_length(area, tile_um, pixel_nm, overlap):
    assume(tile_um * 1000 / pixel_nm >= MIN_TILE_PX)
    grid = TileGrid.from_um(area, tile_um, pixel_nm, overlap)
    assert abs(grid.tile * pixel_nm - tile_um * 1000) <= pixel_nm / 2 + 1e-9
    assert grid.stride == stride_for_overlap(grid.tile, overlap)


def test_impossible_grids_say_what_to_do():
    area = Area(0, 100, 0, 100)
    for make, words in [
        (lambda: TileGrid(area, 4, 4), "too small"),
        (lambda: TileGrid(area, 32, 40), "does not fit"),
        (lambda: TileGrid(area, 32, 0), "does not fit"),
        (lambda: TileGrid.from_um(area, 1.0, None), "no pixel size"),
        (lambda: stride_for_overlap(32, 1.0), "out of range"),
        (lambda: Area(10, 10, 0, 5), "is empty"),
    ]:
        with pytest.raises(GridError, match=words) as raised:
            make()
        assert "\n" not in str(raised.value)
