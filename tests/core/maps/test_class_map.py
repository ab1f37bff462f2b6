"""Labels, confidence, entropy, fractions and areas of a class map belong together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap, tiles_to_cells
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.tiles.grid import TileGrid

CLASSES = (ClassInfo("a", "#e69f00"), ClassInfo("b", "#56b4e9"), ClassInfo("c", "#009e73"))


def map_of(labels, grid, pixel_size_nm=None, certain=0.8):
    """A map with the given class numbers, 0 for left out."""
    labels = np.asarray(labels)
    other = (1 - certain) / 2
    p = np.full((*labels.shape, 3), other, np.float32)
    for number in (1, 2, 3):
        p[labels == number, number - 1] = certain
    p[labels == 0] = np.nan
    return ClassMap(p, grid, CLASSES, pixel_size_nm)


def test_cells_at_the_border_count_with_the_pixels_they_hold():
    grid = TileGrid(Area(0, 20, 0, 25), 10, 10)
    result = map_of([[1, 1, 2], [1, 1, 2]], grid, pixel_size_nm=100.0)
    a, b, c = result.fractions()
    assert (a.area_px, b.area_px, c.area_px) == (400, 100, 0)
    assert (a.fraction, b.fraction, c.fraction) == (0.8, 0.2, 0.0)
    assert a.area_um2 == pytest.approx(4.0)
    assert (a.cells, b.cells) == (4, 2)


def test_cells_left_out_do_not_count():
    grid = TileGrid(Area(0, 20, 0, 20), 10, 10)
    result = map_of([[0, 1], [0, 2]], grid)
    assert np.array_equal(result.labels(), [[0, 1], [0, 2]])
    assert np.array_equal(result.left_out, [[True, False], [True, False]])
    assert [share.fraction for share in result.fractions()] == [0.5, 0.5, 0.0]
    assert np.isnan(result.confidence()[0, 0])
    assert np.isnan(result.entropy()[0, 0])
    assert result.fractions()[0].area_um2 is None


def test_confidence_and_entropy_of_a_sure_and_an_unsure_cell():
    grid = TileGrid(Area(0, 10, 0, 20), 10, 10)
    p = np.array([[[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]], np.float32)
    result = ClassMap(p, grid, CLASSES)
    assert result.confidence().tolist() == [[1.0, pytest.approx(1 / 3)]]
    np.testing.assert_allclose(result.entropy(), [[0.0, np.log2(3)]], atol=1e-6)


def test_a_map_of_nothing_has_no_fractions():
    grid = TileGrid(Area(0, 10, 0, 10), 10, 10)
    assert all(np.isnan(share.fraction) for share in map_of([[0]], grid).fractions())


def test_probabilities_of_another_shape_are_refused():
    grid = TileGrid(Area(0, 20, 0, 20), 10, 10)
    with pytest.raises(ValueError, match="not"):
        ClassMap(np.zeros((1, 2, 3), np.float32), grid, CLASSES)


def test_without_overlap_cells_are_tiles():
    grid = TileGrid(Area(0, 40, 0, 60), 10, 10)
    tiles = np.random.default_rng(0).dirichlet([1, 1, 1], grid.tile_shape).astype(np.float32)
    tiles[1, 2] = np.nan
    np.testing.assert_allclose(tiles_to_cells(grid, tiles), tiles, atol=1e-6)


def test_a_cell_is_the_mean_of_its_tiles_weighted_by_a_hann_window():
    # Tiles of 20 px every 10 px: each inner cell's centre lies at 1/4 and 3/4 of its two tiles,
    # where the window has the same height, so the cell is their plain mean.
    grid = TileGrid(Area(0, 20, 0, 40), 20, 10)
    tiles = np.zeros((1, 3, 2), np.float32)
    tiles[0, :, 0] = (1.0, 0.0, 0.5)
    tiles[..., 1] = 1 - tiles[..., 0]
    cells = tiles_to_cells(grid, tiles)
    np.testing.assert_allclose(cells[0, :, 0], [1.0, 0.5, 0.25, 0.5], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), st.integers(8, 40), st.data())
def test_cells_sum_to_one_and_are_known_exactly_where_a_tile_holds_their_centre(
    rows, cols, tile, data
):
    grid = TileGrid(Area(3, 3 + rows, 5, 5 + cols), tile, data.draw(st.integers(1, tile)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    tiles = rng.dirichlet([1, 1, 1], grid.tile_shape).astype(np.float32)
    np.testing.assert_allclose(tiles_to_cells(grid, tiles).sum(axis=-1), 1, atol=1e-5)
    known = rng.random(grid.tile_shape) < 0.5
    tiles[~known] = np.nan
    cell_rows = [grid.cell(row, 0) for row in range(grid.shape[0])]
    cell_cols = [grid.cell(0, col) for col in range(grid.shape[1])]
    y = np.array([(cell.top + cell.bottom) / 2 for cell in cell_rows])[:, None]
    x = np.array([(cell.left + cell.right) / 2 for cell in cell_cols])[:, None]
    holds_y = (grid.row_starts() < y) & (y < grid.row_starts() + tile)
    holds_x = (grid.col_starts() < x) & (x < grid.col_starts() + tile)
    spoken_for = holds_y.astype(int) @ known @ holds_x.astype(int).T > 0
    assert np.array_equal(~np.isnan(tiles_to_cells(grid, tiles)[..., 0]), spoken_for)
