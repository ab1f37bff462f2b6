"""A model that looks around its tiles gives the same classes in whatever way it is used."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import tifffile
from tiny_engine import FEATURES, TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.driver import (
    classify_image,
    classify_planes,
    classify_tiles,
    map_of_tiles,
)
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.cluster import worker
from napari_sem_classify.core.cluster.tile_store import TileStore, blocks_of
from napari_sem_classify.core.cluster.worker import WorkerModel, classify_block
from napari_sem_classify.core.model.head import Head
from napari_sem_classify.core.model.plane_scores import raw_numbers, scores_on
from napari_sem_classify.core.model.surroundings import Surroundings
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.sem_io import image_from_array, open_image
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

AROUND = Surroundings(context=True, alignment=0.5, smoothing=0.2)
TILE, STRIDE = 16, 8


def looking_around():
    """Dark and bright beside what is around, on the scale of the image's own brightness."""
    alone = brightness_classifier()
    weight = np.zeros((2, 2 * FEATURES), np.float32)
    weight[:, 0], weight[:, FEATURES] = (-9, 9), (4, -4)
    mean = np.full(2 * FEATURES, 0.2, np.float32)
    usual = np.full(FEATURES, 0.4, np.float32)
    head = Head(mean, np.ones_like(mean), weight, np.zeros(2, np.float32), usual)
    return replace(alone, card=replace(alone.card, surroundings=AROUND), head=head)


MODEL = looking_around()


@pytest.fixture
def path(tmp_path):
    """An image with soft blobs, and a corner without data."""
    coarse = np.random.default_rng(3).normal(128, 60, (14, 17))
    pixels = np.kron(coarse, np.ones((11, 11)))[:150, :181]
    pixels = np.clip(pixels, 1, 255).astype(np.uint8)
    pixels[:40, :40] = 0
    tifffile.imwrite(tmp_path / "blobs.tif", pixels)
    return tmp_path / "blobs.tif"


def grid_of(image):
    return TileGrid(image.area, TILE, STRIDE)


@pytest.fixture
def expected(path):
    image = open_image(path)
    found = classify_image(image, MODEL, grid_of(image), engine=TinyEngine(64))
    assert min(each.fraction for each in found.fractions()) > 0.2
    return found


def test_chunks_batches_and_the_cache_change_nothing(path, expected, tmp_path):
    image = replace(open_image(path), chunks=(40, 50))
    tiles, cache = PlaneTiles(image, grid_of(image)), EmbeddingCache(tmp_path / "cache")
    for _ in range(2):  # the second time from the cache, in float16
        found = classify_tiles(tiles, MODEL, TinyEngine(7), cache=cache)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=0.02)
        assert (found.labels() == expected.labels()).mean() > 0.999
    assert found.record["features_from_cache"]
    assert found.record["model"]["surroundings"] == asdict(AROUND)


def test_a_batch_gives_the_map_of_a_single_image(path, expected, tmp_path):
    target = BatchTarget(tmp_path / "out")
    options = ClassifyOptions(tile_px=TILE, stride_px=STRIDE, cache=False)
    report = classify_many([path], MODEL, target, options, engine=TinyEngine())
    assert not report.failed
    assert np.array_equal(tifffile.imread(tmp_path / "out/blobs.map.tif"), expected.labels())


def test_blocks_of_a_cluster_see_over_their_borders(path, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_loaded", {})
    image = open_image(path)
    grid, plane = grid_of(image), PlaneTiles(image, grid_of(image))
    reach = plane.measure(MODEL.card.intensity)
    shape = (*grid.tile_shape, raw_numbers(2, AROUND))
    store = TileStore(tmp_path, "blobs", shape, 5, {})
    for block in blocks_of(grid, 5):
        model = WorkerModel("around", lambda: (MODEL, TinyEngine()))
        found, engine = classify_block(model, path, 0, grid, reach, block)
        store.write(block, found)
    scores = scores_on(MODEL, grid, store.read(()))
    together = map_of_tiles(plane, MODEL, scores, reach, engine, {})
    np.testing.assert_allclose(together.probabilities, expected.probabilities, atol=1e-5)
    assert np.array_equal(together.labels(), expected.labels())
    import zarr

    kept, about = tmp_path / "blobs.probabilities.zarr", {"classes": ["dark", "bright"]}
    store.finish(kept, [((), scores.probabilities())], about)
    values = zarr.open_array(str(kept), mode="r")[:]
    np.testing.assert_array_equal(values, scores.probabilities())
    store.forget()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_planes_of_a_stack_have_surroundings_of_their_own(path):
    one = open_image(path).read(open_image(path).area)
    stack = image_from_array(np.stack([one, 255 - one // 2]), "stack")
    options = ClassifyOptions(tile_px=TILE, stride_px=STRIDE, cache=False)
    both = list(classify_planes(stack, MODEL, options, engine=TinyEngine()))
    for pixels, found in zip(stack.data, both, strict=True):
        single = image_from_array(pixels, "single")
        alone = classify_image(single, MODEL, grid_of(single), engine=TinyEngine())
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-5)


def test_tiles_that_are_left_out_say_nothing_to_the_others(path):
    pixels = open_image(path).read(open_image(path).area)
    image = image_from_array(pixels, "one")
    grid = TileGrid(image.area, TILE, TILE)
    keep = np.ones(grid.tile_shape, bool)
    keep[4:6, 4:6] = False
    other = pixels.copy()
    other[64:96, 64:96] = 255 - other[64:96, 64:96]
    maps = [
        classify_tiles(PlaneTiles(each, grid, keep), MODEL, TinyEngine())
        for each in (image, image_from_array(other, "other"))
    ]
    np.testing.assert_allclose(maps[0].probabilities, maps[1].probabilities, atol=0.03)
    whole = classify_tiles(PlaneTiles(image, grid), MODEL, TinyEngine())
    beside = np.s_[3, 4:6]
    assert np.abs(whole.probabilities[beside] - maps[0].probabilities[beside]).max() > 1e-4


def test_a_preview_while_it_runs_ends_at_the_map(path):
    image = open_image(path)
    seen = []
    tiles = PlaneTiles(image, TileGrid(image.area, TILE, TILE))
    found = classify_tiles(tiles, MODEL, TinyEngine(), on_update=seen.append)
    rows, cols = seen[-1].shape[:2]
    assert np.array_equal(np.isnan(seen[-1][..., 0]), found.left_out[:rows, :cols])
