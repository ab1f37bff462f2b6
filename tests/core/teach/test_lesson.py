"""Which annotated tiles are learned from."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.edits import with_stroke
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.lesson import gather
from napari_sem_classify.core.teach.looked import SeenTiles
from napari_sem_classify.core.tiles.grid import TileGrid

FIRST, SECOND = (0, 0, 16), (0, 16, 16)
KEY = "an image"
GRID = TileGrid(Area(0, 64, 0, 96), 16, 16)


@pytest.fixture
def annotations():
    image = image_from_array(np.ones((64, 96), np.uint8), "sample")
    empty = Annotations().with_class("matrix").with_class("oxide")
    return empty.with_image(image, KEY)


def test_only_tiles_of_the_size_in_use_that_hold_data_are_learned_from(annotations):
    index = np.arange(1, GRID.n_tiles)  # the first tile holds no data
    seen = SeenTiles(GRID, index, np.ones((len(index), 4), np.float16))
    tiles = {FIRST: "matrix", SECOND: "oxide", (0, 0, 32): "oxide"}
    annotations = with_stroke(annotations, KEY, tiles)
    lesson = gather(annotations, {KEY: seen}, 16)
    assert lesson.tiles == ((KEY, SECOND),)
    assert lesson.labels.tolist() == [1]
    assert lesson.other_size == 1
    assert gather(annotations, {}, 16).unseen == 2


def test_of_a_closed_image_the_annotated_tiles_go_on_teaching(annotations):
    features = np.arange(GRID.n_tiles, dtype=np.float16)[:, None]
    seen = SeenTiles(GRID, np.arange(GRID.n_tiles), features)
    annotations = with_stroke(annotations, KEY, {SECOND: "oxide", (16, 0, 16): "matrix"})
    few = seen.only(np.array([1, 6]))
    lesson = gather(annotations, {KEY: few}, 16)
    assert lesson.features[:, 0].tolist() == [1.0, 6.0]


def test_tiles_are_learned_from_row_by_row_in_whatever_order_they_were_painted(annotations):
    features = np.arange(GRID.n_tiles, dtype=np.float16)[:, None]
    seen = {KEY: SeenTiles(GRID, np.arange(GRID.n_tiles), features)}
    tiles = {(16, 0, 16): "matrix", SECOND: "oxide", FIRST: "matrix"}
    lesson = gather(with_stroke(annotations, KEY, tiles), seen, 16)
    assert lesson.features[:, 0].tolist() == [0.0, 1.0, 6.0]
    assert lesson.labels.tolist() == [0, 1, 0]
    again = gather(with_stroke(annotations, KEY, dict(sorted(tiles.items()))), seen, 16)
    assert again.teaches_as(lesson)
