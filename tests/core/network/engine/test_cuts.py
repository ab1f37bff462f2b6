"""Tiles that the device cuts out of regions are the tiles that are cut before they travel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.network.engine.lanes import HostLanes
from napari_sem_classify.core.network.engine.torch_engine import TorchEngine
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.tiles import sweep
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

RECIPE = IntensityRecipe()


@pytest.fixture
def engine(network):
    made = TorchEngine(network, network_px=64, device=torch.device("cpu"))
    made.batch_size = 7  # batches that end in the middle of a region and go on in the next
    return made


def image_of(dtype, shape=(230, 310)):
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 250, shape).astype(dtype)
    if pixels.dtype == np.uint16:
        pixels *= 200  # beyond what a signed type of 16 bits holds
    pixels[:70, :70] = 0  # a mosaic's border
    return SemImage("field", pixels, Specimen(Area(0, shape[0], 0, shape[1])))


def both(engine, image, grid, keep=None):
    """Features with tiles cut here and with tiles cut by the device."""
    found = []
    for lanes in (None, HostLanes()):
        engine.lanes = lanes
        found.append(embed_image(PlaneTiles(image, grid, keep=keep), engine, RECIPE))
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("stride", [48, 24, 12], ids=["no overlap", "50 %", "75 %"])
def test_features_are_the_same_up_to_the_border(engine, monkeypatch, dtype, stride):
    monkeypatch.setattr(sweep, "REGION_BYTES", 48 * 100)  # several regions
    image = image_of(dtype)
    here, there = both(engine, image, TileGrid(image.area, 48, stride))
    assert np.isnan(here[0]).all()  # no data
    assert np.isfinite(here[-1]).all()
    np.testing.assert_array_equal(here, there)


def test_an_image_smaller_than_a_tile_and_chosen_tiles_are_the_same(engine):
    small = image_of(np.uint8, (100, 90))
    np.testing.assert_array_equal(*both(engine, small, TileGrid(small.area, 128, 128)))
    image = image_of(np.uint8)
    grid = TileGrid(image.area, 48, 24)
    keep = np.random.default_rng(0).random(grid.tile_shape) < 0.3
    np.testing.assert_array_equal(*both(engine, image, grid, keep))


def test_each_region_travels_once_whatever_the_overlap(engine, monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 48 * 100)
    made, copies = [], []

    class Counting(HostLanes):
        def pinned(self, size):
            made.append(size)
            return super().pinned(size)

    image = image_of(np.uint8, (480, 480))
    engine.lanes = Counting()
    copyto = np.copyto
    monkeypatch.setattr(np, "copyto", lambda to, it: (copies.append(it.size), copyto(to, it)))
    grid = TileGrid(image.area, 48, 12)
    features = embed_image(PlaneTiles(image, grid), engine, RECIPE)
    assert len(features) * 48 * 48 > 13 * image.data.size  # what the tiles would be one by one
    assert sum(copies) < 3 * image.data.size
    # A second image of the same size needs no new memory.
    assert made
    made.clear()
    embed_image(PlaneTiles(image, grid), engine, RECIPE)
    assert not made


def test_a_device_without_memory_for_the_batch_gets_less(engine, monkeypatch):
    image = image_of(np.uint8)
    grid = TileGrid(image.area, 48, 24)
    expected, _ = both(engine, image, grid)
    run = engine.features_of
    calls = []

    def little_memory(prepared):
        calls.append(len(prepared))
        if len(prepared) > 2 and len(calls) > 2:  # in the middle of the sweep
            raise torch.OutOfMemoryError("out of memory")
        return run(prepared)

    monkeypatch.setattr(engine, "features_of", little_memory)
    engine.lanes = HostLanes()
    got = embed_image(PlaneTiles(image, grid), engine, RECIPE)
    assert engine.batch_size <= 2
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
