"""A sweep with several batches on their way gives what batches one by one give."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import numpy as np
import pytest
import torch
from late_lanes import LateLanes

from napari_sem_classify.core.classify.driver import classify_planes, classify_tiles
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import Cancelled, DeviceError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange, IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.model.card import ClassInfo, ModelCard
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.network.engine.lanes import HostLanes
from napari_sem_classify.core.network.engine.torch_engine import TorchEngine
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.tiles import sweep
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.tile_source import read_cuts

TILE = 24
RECIPE = IntensityRecipe()
INTENSITY = IntensityRange(0.0, 255.0)


@pytest.fixture
def engine(network, monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", TILE * 150)  # many regions
    made = TorchEngine(network, network_px=32, device=torch.device("cpu"))
    made.batch_size = 8
    return made


def image_of(dtype=np.uint8, shape=(200, 230)):
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 250, shape).astype(dtype)
    if dtype == np.uint16:
        pixels *= 200
    if dtype == np.float32:
        pixels[..., :60, :60] = np.nan
    else:
        pixels[..., :60, :60] = 0
    area = Area(0, shape[-2], 0, shape[-1])
    return SemImage("field", pixels, Specimen(area))


def model_of(engine, surroundings=ALONE, stages=False):
    rng = np.random.default_rng(1)
    size, classes = engine.feature_size, 3
    copies = 1 + surroundings.context

    def numbers(*shape):
        return rng.normal(size=shape).astype(np.float32)

    head = Head(
        numbers(size * copies) * 0.1,
        1 + rng.random(size * copies).astype(np.float32),
        numbers(classes, size * copies) * 0.2,
        numbers(classes),
        usual=numbers(size) * 0.1 if surroundings.alignment else None,
    )
    card = ModelCard(
        name="three",
        classes=tuple(ClassInfo(name, "#000000") for name in "abc"),
        tile_px=TILE,
        network_px=32,
        pixel_size_nm=None,
        backbone_id="resnet50-imagenet",
        backbone_sha256="0" * 64,
        surroundings=surroundings,
    )
    model = TileClassifier(card, head)
    if stages:
        sizes = (size // 4, size // 4, size - 2 * (size // 4))
        more = StageHeads(
            numbers(classes, size * copies),
            numbers(3, classes),
            sizes,
            numbers(size),
            1 + numbers(size) ** 2,
        )
        model = TileClassifier(card, head, stages=more)
    return model


def maps(engine, image, model, **more):
    """Class maps with batches one by one, and with several on their way."""
    found = []
    for lanes in (None, HostLanes(), LateLanes()):
        engine.lanes = lanes
        options = ClassifyOptions(tile_px=TILE, stride_px=16, cache=False)
        found.append(list(classify_planes(image, model, options, engine=engine, **more)))
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_classes_are_the_same_for_every_type_of_pixel(engine, dtype):
    one_by_one, *others = maps(engine, image_of(dtype), model_of(engine))
    assert np.isnan(one_by_one[0].probabilities).any()
    for other in others:
        np.testing.assert_array_equal(other[0].labels(), one_by_one[0].labels())
        np.testing.assert_allclose(
            other[0].probabilities, one_by_one[0].probabilities, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("context", [False, True])
def test_what_surrounds_a_tile_and_the_judgement_are_the_same(engine, context):
    around = Surroundings(context=context, alignment=0.5 if context else 0.0)
    one_by_one, *others = maps(engine, image_of(), model_of(engine, around, stages=True))
    for other in others:
        np.testing.assert_array_equal(other[0].labels(), one_by_one[0].labels())
        np.testing.assert_array_equal(other[0].agreement, one_by_one[0].agreement)


def test_planes_of_a_stack_follow_one_another(engine):
    one_by_one, *others = maps(engine, image_of(shape=(3, 120, 110)), model_of(engine))
    assert len(one_by_one) == 3
    for other in others:
        for mine, theirs in zip(other, one_by_one, strict=True):
            np.testing.assert_array_equal(mine.labels(), theirs.labels())


def test_features_that_are_kept_come_back_as_they_are_kept(engine, tmp_path):
    model, image = model_of(engine), image_of()
    tiles = PlaneTiles(image, TileGrid(image.area, TILE, TILE))
    engine.lanes = LateLanes()
    cache = EmbeddingCache(tmp_path)
    first = classify_tiles(tiles, model, engine, cache=cache)
    again = classify_tiles(tiles, model, engine, cache=cache)
    assert not first.record["features_from_cache"]
    assert again.record["features_from_cache"]
    np.testing.assert_array_equal(first.probabilities, again.probabilities)


def test_batches_are_staged_ahead_and_the_last_one_costs_no_new_plan(engine, monkeypatch):
    image = image_of()
    tiles = PlaneTiles(image, TileGrid(image.area, TILE, TILE))
    expected = embed_image(tiles, engine, RECIPE)
    engine._pads = True  # as on a GPU
    engine.lanes = LateLanes()
    run, seen = engine.features_of, []
    monkeypatch.setattr(
        engine, "features_of", lambda batch: (seen.append(len(batch)), run(batch))[1]
    )
    np.testing.assert_allclose(embed_image(tiles, engine, RECIPE), expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(expected).all(axis=1).sum() % engine.batch_size  # the last one is odd
    assert set(seen) == {engine.batch_size}
    assert engine.lanes.most_waiting > 1


def test_a_cancelled_sweep_ends_within_a_batch_and_the_next_one_is_right(engine):
    image, model = image_of(), model_of(engine)
    tiles = PlaneTiles(image, TileGrid(image.area, TILE, TILE))
    engine.lanes = None
    expected = classify_tiles(tiles, model, engine).labels()
    engine.lanes = LateLanes()
    job = Job()
    run, seen = engine.features_of, []

    def watched(batch):
        seen.append(len(batch))
        if len(seen) == 2:
            job.cancel()
        return run(batch)

    engine.features_of = watched
    with pytest.raises(Cancelled):
        classify_tiles(tiles, model, engine, job=job)
    assert len(seen) < tiles.count / engine.batch_size
    engine.features_of = run
    assert not [each for each in threading.enumerate() if "prefetch" in each.name]
    for _ in range(2):
        np.testing.assert_array_equal(classify_tiles(tiles, model, engine).labels(), expected)


def test_sweeps_that_end_at_once_leave_all_buffers_to_the_next(engine):
    image = image_of()
    grid = TileGrid(image.area, TILE, TILE)
    engine.lanes = LateLanes()
    for _ in range(4):
        batches = read_cuts(image, grid, INTENSITY, engine.batch_size)
        with closing(engine.stream(batches, INTENSITY)) as answers:
            assert len(next(answers).index)
            time.sleep(0.1)  # the next batches are staged meanwhile
    tiles = PlaneTiles(image, grid)
    assert np.isfinite(embed_image(tiles, engine, RECIPE)).all(axis=1).any()


def test_a_device_that_falls_away_is_told_in_one_sentence(engine):
    image, model = image_of(), model_of(engine)
    tiles = PlaneTiles(image, TileGrid(image.area, TILE, TILE))
    expected = classify_tiles(tiles, model, engine).labels()
    engine.lanes = HostLanes()
    run, seen = engine.features_of, []

    def falls_away(batch):
        seen.append(len(batch))
        if len(seen) == 2:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with ...")
        return run(batch)

    engine.features_of = falls_away
    with pytest.raises(DeviceError) as told:
        classify_tiles(tiles, model, engine)
    assert "does not answer any more (CUDA error: unspecified launch failure)" in str(told.value)
    assert "\n" not in str(told.value)
    assert not [each for each in threading.enumerate() if "prefetch" in each.name]
    engine.features_of = run
    np.testing.assert_array_equal(classify_tiles(tiles, model, engine).labels(), expected)


def test_memory_that_lacks_in_the_middle_costs_no_tile_of_a_padded_batch(engine):
    image, model = image_of(), model_of(engine)
    tiles = PlaneTiles(image, TileGrid(image.area, TILE, TILE))
    expected = classify_tiles(tiles, model, engine)
    engine.lanes, engine._pads = HostLanes(), True
    run, seen = engine.features_of, []

    def less_memory(batch):
        seen.append(len(batch))
        if len(seen) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(batch)

    engine.features_of = less_memory
    found = classify_tiles(tiles, model, engine)
    np.testing.assert_array_equal(found.labels(), expected.labels())
    assert seen[:4] == [8, 8, 8, 4]
    assert set(seen[3:]) == {4}


def test_a_device_without_memory_for_a_single_tile_says_so(engine):
    image, model = image_of(), model_of(engine)
    engine.lanes = HostLanes()

    def no_memory(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine.features_of = no_memory
    with pytest.raises(DeviceError, match="not enough free memory for one tile"):
        classify_tiles(PlaneTiles(image, TileGrid(image.area, TILE, TILE)), model, engine)
