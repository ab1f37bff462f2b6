"""Where an image lies in its file makes no difference to its map."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.classify.driver import classify_image
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.tiles.grid import TileGrid

ENGINE = TinyEngine(batch_size=32)
MODEL = brightness_classifier(tile_px=16)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(9, 90), st.integers(9, 90)),
    tile=st.integers(8, 40),
    overlap=st.integers(1, 4),
    down=st.integers(0, 70),
    right=st.integers(0, 70),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    seed=st.integers(0, 99),
)
def test_the_map_of_a_translated_image_is_the_translated_map(
    shape, tile, overlap, down, right, dtype, seed
):
    random = np.random.default_rng(seed)
    picture = random.integers(1, 255, shape).astype(dtype)
    larger = random.integers(1, 255, (shape[0] + 100, shape[1] + 100)).astype(dtype)
    larger[down : down + shape[0], right : right + shape[1]] = picture
    area = Area(down, down + shape[0], right, right + shape[1])
    stride = max(1, tile // overlap)
    here, there = (
        classify_image(
            SemImage("picture", pixels, Specimen(where)),
            MODEL,
            TileGrid(where, tile, stride),
            engine=ENGINE,
        )
        for pixels, where in ((picture, Area(0, shape[0], 0, shape[1])), (larger, area))
    )
    np.testing.assert_array_equal(here.labels(), there.labels())
    np.testing.assert_allclose(here.probabilities, there.probabilities, atol=1e-5)
    np.testing.assert_allclose(
        there.grid.affine()[:2, 2] - here.grid.affine()[:2, 2], (down, right)
    )
