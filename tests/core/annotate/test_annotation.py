"""What a user drew becomes a class per tile, or one clear sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sem_classify.core.annotate.annotation import (
    check_teachable,
    label_values,
    tiles_from_mask,
    tiles_from_points,
    tiles_from_polygons,
)
from napari_sem_classify.core.annotate.class_spec import parse_classes, parse_contains
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.tiles.grid import TileGrid

CLASSES = {0: "matrix", 1: "oxide", 2: "crack"}


def grid_over(mask: np.ndarray, tile: int = 10, stride: int | None = None) -> TileGrid:
    return TileGrid(Area(0, mask.shape[0], 0, mask.shape[1]), tile, stride or tile)


def test_a_tile_takes_the_class_that_covers_sixty_percent_of_it():
    mask = np.zeros((10, 30), np.uint8)
    mask[:6, 0:10] = 1  # 60 % oxide
    mask[:5, 10:20] = 1  # half and half
    found = tiles_from_mask(mask, grid_over(mask), CLASSES)
    assert found.labels.tolist() == [[1, -1, 0]]
    assert found.mixed.tolist() == [[False, True, False]]
    assert found.n_mixed == 1
    assert found.counts.tolist() == [1, 1, 0]


def test_a_tie_at_half_a_tile_is_mixed():
    mask = np.zeros((10, 10), np.uint8)
    mask[:5] = 1
    found = tiles_from_mask(mask, grid_over(mask), CLASSES, min_share=0.5)
    assert found.labels.tolist() == [[-1]]
    assert found.n_mixed == 1


def test_a_thin_class_is_found_by_what_a_tile_contains():
    mask = np.zeros((10, 30), np.uint8)
    mask[0, 0:2] = 2  # 2 % of the first tile
    mask[0, 10] = 2  # 1 % of the second
    found = tiles_from_mask(mask, grid_over(mask), CLASSES, contains={2: 0.02})
    assert found.labels.tolist() == [[2, 0, 0]]


def test_values_that_are_not_listed_are_unlabelled_and_not_mixed():
    mask = np.full((10, 20), 9, np.int32)
    mask[:, 10:] = 1
    found = tiles_from_mask(mask, grid_over(mask), {0: "matrix", 1: "oxide"})
    assert found.labels.tolist() == [[-1, 1]]
    assert found.n_mixed == 0


def test_a_tile_is_measured_on_the_pixels_it_has_where_the_image_is_smaller_than_a_tile():
    mask = np.ones((6, 25), np.uint8)
    found = tiles_from_mask(mask, grid_over(mask), CLASSES)
    assert found.labels.tolist() == [[1, 1, 1]]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    tile=st.integers(8, 17),
    share=st.floats(0.3, 1.0),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_each_tile_gets_the_class_that_counting_its_pixels_gives(
    height, width, tile, share, seed, data
):
    mask = np.random.default_rng(seed).choice(3, (height, width), p=[0.6, 0.3, 0.1])
    grid = grid_over(mask, tile, data.draw(st.integers(1, tile)))
    found = tiles_from_mask(mask, grid, CLASSES, min_share=share, contains={2: 0.12})
    for (row, col), label in np.ndenumerate(found.labels):
        w = grid.window(row, col)
        pixels = mask[w.top : w.bottom, w.left : w.right]
        shares = np.bincount(pixels.ravel(), minlength=3) / pixels.size
        enough = [index for index in (0, 1) if shares[index] >= share]
        if shares[2] >= 0.12:
            expected = 2
        elif len(enough) == 1 or (len(enough) == 2 and shares[0] != shares[1]):
            expected = int(np.argmax(shares[:2]))
        else:
            expected = -1
        assert label == expected
        assert found.mixed[row, col] == (expected == -1)


def test_points_mark_the_nearest_tile_and_two_classes_in_one_tile_are_mixed():
    grid = TileGrid(Area(0, 20, 0, 30), 10, 10)
    points = np.array([[2.0, 3.0], [4.0, 12.0], [5.0, 18.0], [19.4, 29.4], [50.0, 3.0]])
    found = tiles_from_points(points, [0, 1, 0, 1, 1], grid, ("matrix", "oxide"))
    assert found.labels.tolist() == [[0, -1, -1], [-1, -1, 1]]
    assert found.mixed.tolist() == [[False, True, False], [False, False, False]]


def test_a_polygon_marks_the_tiles_that_it_covers():
    grid = TileGrid(Area(0, 20, 0, 30), 10, 10)
    box = np.array([[-1, -1], [-1, 20], [20, 20], [20, -1]])
    small = np.array([[0, 0], [0, 9], [9, 9], [9, 0]])
    found = tiles_from_polygons([box, small], [0, 1], grid, ("matrix", "oxide"))
    assert found.labels.tolist() == [[1, 0, -1], [0, 0, -1]]


def test_classes_are_read_from_text():
    assert parse_classes("0=matrix, 1 = oxide layer") == [(0, "matrix"), (1, "oxide layer")]
    text = "0=background,2=crack>=2%"
    assert parse_classes(text) == [(0, "background"), (2, "crack")]
    assert parse_contains(text) == {2: 0.02}
    assert parse_contains("0=a,1=b") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0=matrix", "fewer than two"),
        ("0=matrix,0=oxide", "twice"),
        ("0=matrix,1=matrix", "twice"),
        ("matrix,oxide", "no class"),
        ("0=matrix,1=", "no class"),
        ("", "no class"),
        ("0=a,1=b>=0%", "impossible share"),
        ("0=a,1=b>=200%", "impossible share"),
        ("0=a,1=b>=1.2.3%", "impossible share"),
    ],
)
def test_classes_that_cannot_be_read_are_refused(text, words):
    with pytest.raises(AnnotationError, match=words):
        parse_contains(text)
        parse_classes(text)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((20, 20), np.float32), "decimal numbers"),
        (np.zeros((20, 20, 3), np.uint8), "3 dimensions"),
        (np.zeros((10, 20), np.uint8), "10 × 20 px"),
        (np.arange(400, dtype=np.int32).reshape(20, 20), "number objects"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_in_one_sentence(mask, words):
    grid = TileGrid(Area(0, 20, 0, 20), 10, 10)
    with pytest.raises(AnnotationError, match=words) as caught:
        tiles_from_mask(mask, grid, CLASSES, name="labels.tif")
    assert str(caught.value).startswith("labels.tif")
    assert "\n" not in str(caught.value)


def test_seventy_thousand_label_values_are_refused():
    mask = np.arange(70_000, dtype=np.int32).reshape(280, 250)
    with pytest.raises(AnnotationError, match="number objects"):
        label_values(mask)
    with pytest.raises(AnnotationError, match="number objects"):
        tiles_from_mask(mask, grid_over(mask), CLASSES)


def test_the_values_of_a_mask_are_listed():
    assert label_values(np.array([[3, 0], [7, 3]], np.uint16)).tolist() == [0, 3, 7]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([0, 0], "No tile is annotated"),
        ([5, 0], 'Only the class "matrix"'),
        ([5, 1], '"oxide" has one tile only'),
        ([5, 3, 0], '"crack" has no tile'),
    ],
)
def test_annotations_that_teach_nothing_are_refused(counts, words):
    with pytest.raises(AnnotationError, match=words):
        check_teachable(counts, ["matrix", "oxide", "crack"][: len(counts)])


def test_two_tiles_of_two_classes_can_be_learned_from():
    check_teachable([2, 2], ["matrix", "oxide"])
