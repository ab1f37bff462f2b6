"""Outlines are drawn from a map and its image, and say where classes end."""

from __future__ import annotations

import numpy as np
import pytest
from grain_pictures import CLASSES, TILE, grains, overlap, picture, tile_map

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.export.geojson import smoothed, to_geojson
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import read_map
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.outlines.label_file import write_outlines
from napari_sem_classify.core.outlines.options import OutlineOptions
from napari_sem_classify.core.outlines.outline import draw_outlines, outline_labels, with_outlines
from napari_sem_classify.core.tiles.grid import TileGrid


@pytest.fixture(scope="module")
def truth():
    return grains((320, 320))


@pytest.fixture(scope="module")
def drawn(truth):
    return draw_outlines(tile_map(truth), picture(truth))


def test_outlines_follow_grains_that_are_smaller_than_a_tile(truth, drawn):
    squares = np.kron(tile_map(truth).labels() == 2, np.ones((TILE, TILE), bool))
    found = outline_labels(drawn, drawn.grid.area) == 2
    assert overlap(squares, truth) < 0.7
    assert overlap(found, truth) > 0.9
    assert drawn.record["outlines"]["pixels_gain"] > 0.1


def test_any_size_of_blocks_gives_the_same(truth, drawn):
    again = draw_outlines(tile_map(truth), picture(truth), block_squares=72)
    assert np.array_equal(again.probabilities, drawn.probabilities)


def test_cells_left_out_stay_left_out(truth):
    class_map = tile_map(truth)
    class_map.probabilities[:3, :4] = np.nan
    labels = outline_labels(draw_outlines(class_map, picture(truth)), class_map.grid.area)
    assert (labels[: 2 * TILE, : 3 * TILE] == 0).all()
    assert (labels[4 * TILE :] > 0).all()


def test_where_pixels_tell_nothing_the_map_is_smoothed_and_no_more(truth):
    noise = SemImage("noise", np.random.default_rng(2).integers(0, 255, truth.shape, np.uint8),
                     Specimen(Area(0, 320, 0, 320)))  # fmt: skip
    found = draw_outlines(tile_map(truth), noise)
    assert found.record["outlines"]["pixels_gain"] < 0.05
    assert found.labels().shape == (80, 80)


def test_a_step_beyond_half_a_tile_is_refused(truth):
    with pytest.raises(GridError, match="use 1 to 16 px"):
        draw_outlines(tile_map(truth), picture(truth), OutlineOptions(17))


def test_the_file_has_the_size_of_the_image_and_comes_back_as_a_map(truth, drawn, tmp_path):
    image = picture(truth, bar=40)
    write_outlines(drawn, image, tmp_path / "a.outlines.tif")
    saved = read_map(tmp_path / "a.outlines.tif")
    assert saved is not None
    labels = saved.first.labels()
    assert labels.shape == (360, 320)
    assert (labels[320:] == 0).all()
    assert np.array_equal(labels[:320], outline_labels(drawn, drawn.grid.area))
    assert [info.name for info in saved.first.classes] == ["matrix", "grains"]
    fractions = [each.fraction for each in saved.first.fractions()]
    assert fractions[1] == pytest.approx(truth.mean(), abs=0.03)


# --------------------------------------------------------------- thin classes


def cracked(shape: tuple[int, int] = (256, 384)) -> tuple[np.ndarray, np.ndarray]:
    """A dark line through a grey specimen, and where it is."""
    y, x = np.indices(shape)
    crack = np.abs(y - 110 - 12 * np.sin(x / 25)) < 2.0
    noise = np.random.default_rng(4).normal(0, 5, shape)
    return np.clip(np.where(crack, 60, 150) + noise, 0, 255).astype(np.uint8), crack


def crack_map(crack: np.ndarray) -> ClassMap:
    grid = TileGrid(Area(0, crack.shape[0], 0, crack.shape[1]), TILE, TILE)
    rows, cols = grid.shape
    has = crack.reshape(rows, TILE, cols, TILE).mean(axis=(1, 3)) >= 0.02
    likely = np.where(has, 0.9, 0.05)
    rest = (1 - likely) / 2
    classes = (*CLASSES, ClassInfo("crack", "#2ca02c", contains=0.02))
    values = np.stack([1.5 * rest, 0.5 * rest, likely], axis=-1).astype(np.float32)
    return ClassMap(values, grid, classes, 20.0, "cracked", record={"job": "classify"})


def test_of_a_tile_with_a_crack_only_the_line_is_crack():
    pixels, crack = cracked()
    image = SemImage("cracked", pixels, Specimen(Area(0, 256, 0, 384)), pixel_size_nm=20.0)
    class_map = crack_map(crack)
    drawn = draw_outlines(class_map, image)
    tiles = class_map.fractions()[2].fraction
    area = drawn.fractions()[2]
    assert tiles > 5 * crack.mean()
    assert area.fraction == pytest.approx(crack.mean(), rel=0.4)
    assert area.area_um2 is not None  # drawn, it is an area
    again = draw_outlines(class_map, image, block_squares=72)
    assert np.array_equal(again.probabilities, drawn.probabilities)
    told = drawn.record["outlines"]["thin"]["crack"]
    assert told["dark"] and told["length_px"] == pytest.approx(384, rel=0.4)


def test_beside_a_crack_the_areas_are_those_of_the_neighbours():
    """Dark pixels of a crack are not taken for a dark phase."""
    pixels, crack = cracked()
    pixels[192:] = np.clip(pixels[192:].astype(int) - 85, 0, 255)
    image = SemImage("cracked", pixels, Specimen(Area(0, 256, 0, 384)), pixel_size_nm=20.0)
    class_map = crack_map(crack)
    has = class_map.labels() == 3
    class_map.probabilities[6:, :, :2] = class_map.probabilities[6:, :, 1::-1]  # dark grains
    class_map.probabilities[has] = [0.05, 0.05, 0.9]  # of which the crack tells nothing
    labels = outline_labels(draw_outlines(class_map, image), class_map.grid.area)
    in_tiles = np.kron(has, np.ones((TILE, TILE), bool))
    assert (labels[in_tiles] == 2).mean() < 0.01
    assert (labels[200:] == 2).mean() > 0.95


def test_a_thin_class_that_cannot_be_told_is_not_drawn_and_says_so():
    pixels = np.random.default_rng(5).integers(100, 140, (256, 384), np.uint8)
    image = SemImage("noise", pixels, Specimen(Area(0, 256, 0, 384)), pixel_size_nm=20.0)
    found = with_outlines(crack_map(cracked()[1]), image, OutlineOptions())
    told = found.record["outlines"]
    assert told["classes"][2]["fraction"] is None
    assert any("crack" in each for each in told["doubts"])


def test_polygons_of_outlines_are_smooth_and_keep_their_area(truth, drawn, tmp_path):
    write_outlines(drawn, picture(truth), tmp_path / "a.outlines.tif")
    saved = read_map(tmp_path / "a.outlines.tif")
    assert saved is not None
    features = to_geojson(saved.first)["features"]
    grain = max(
        (f for f in features if f["properties"]["classification"]["name"] == "grains"),
        key=lambda f: f["properties"]["measurements"]["Area px^2"],
    )
    diamond = smoothed([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]])
    assert sorted(diamond[1:]) == [[0.0, 0.5], [0.5, 0.0], [0.5, 1.0], [1.0, 0.5]]
    ring = np.array(grain["geometry"]["coordinates"][0])
    assert (ring[0] == ring[-1]).all()
    sides = np.diff(ring, axis=0)
    assert (np.abs(sides).min(axis=1) > 0).sum() > 4  # sides that are neither upright nor level
    x, y = ring.T
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    holes = grain["geometry"]["coordinates"][1:]
    if not holes:
        assert area == pytest.approx(grain["properties"]["measurements"]["Area px^2"], rel=0.05)
