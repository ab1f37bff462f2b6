"""An image, a grid and a model become a class map; a cancelled run leaves nothing behind."""

from __future__ import annotations

import gc
import random
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from tiny_engine import FEATURES, TinyEngine, brightness_classifier

from napari_sem_classify.core.classify.driver import classify_image, classify_planes, classify_tiles
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.common.errors import Cancelled, GridError, ImageError, ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.tiles import sweep
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

CLASSIFIER = brightness_classifier()


def half_bright(rows=160, cols=160, dtype=np.uint8):
    """Dark on the left, bright on the right, with some noise."""
    pixels = np.random.default_rng(0).integers(1, 30, (rows, cols))
    pixels[:, cols // 2 :] += 200
    return pixels.astype(dtype)


def image_of(pixels, **more):
    rows, cols = pixels.shape[-2:]
    return SemImage("test", pixels, Specimen(Area(0, rows, 0, cols)), **more)


def run(pixels, tile=16, stride=16, keep=None, engine=None, **more):
    image = image_of(pixels)
    tiles = PlaneTiles(image, TileGrid(image.area, tile, stride), keep)
    return classify_tiles(tiles, CLASSIFIER, engine or TinyEngine(), **more)


def prefetch_threads():
    return [t for t in threading.enumerate() if t.name.startswith("sem-classify")]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_dark_and_bright_halves_become_two_classes(dtype):
    result = run(half_bright(dtype=dtype))
    expected = np.repeat([[1] * 5 + [2] * 5], 10, axis=0)
    assert np.array_equal(result.labels(), expected)
    assert [share.fraction for share in result.fractions()] == [0.5, 0.5]


def test_the_map_does_not_depend_on_chunks_or_batches():
    pixels = half_bright(150, 210)
    image = image_of(pixels)
    grid = TileGrid(image.area, 32, 12)
    whole = classify_image(image, CLASSIFIER, grid, engine=TinyEngine(64))
    pieces = classify_image(replace(image, chunks=(50, 40)), CLASSIFIER, grid, engine=TinyEngine(7))
    np.testing.assert_allclose(pieces.probabilities, whole.probabilities, atol=1e-5)


def test_tiles_without_data_and_tiles_left_out_have_no_class():
    pixels = half_bright().astype(np.float32)
    pixels[:16, :16] = np.nan
    pixels[:16, 16:32] = 0
    keep = np.ones((10, 10), bool)
    keep[9, 9] = False
    result = run(pixels, keep=keep)
    assert {tuple(cell) for cell in np.argwhere(result.left_out)} == {(0, 0), (0, 1), (9, 9)}
    assert result.record["tiles"] == {"in_grid": 100, "classified": 97, "left_out": 3}


@pytest.mark.parametrize("pixels", [np.full((64, 64), np.nan), np.zeros((64, 64), np.uint8)])
def test_an_image_without_data_is_told_in_a_sentence(pixels):
    with pytest.raises(ImageError, match="test "):
        run(pixels)


def test_an_image_of_which_every_tile_is_left_out_is_told_in_a_sentence():
    with pytest.raises(ImageError, match="no tile left"):
        run(half_bright(), keep=np.zeros((10, 10), bool))


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5), (15, 15)])
def test_an_image_smaller_than_a_tile_is_classified(shape):
    result = run(np.random.default_rng(0).integers(1, 255, shape).astype(np.uint8))
    assert not result.left_out.any()


def test_a_constant_image_is_classified_without_a_warning():
    assert run(np.full((64, 64), 7, np.uint8)).labels().min() > 0


def test_a_model_for_other_features_is_refused():
    other = TinyEngine()
    other.feature_size = FEATURES + 1
    with pytest.raises(ModelError, match=str(FEATURES)):
        run(half_bright(), engine=other)


def test_progress_counts_every_tile_and_the_map_fills_in():
    pixels = half_bright()
    pixels[:32] = 0
    readings, maps = [], []
    run(pixels, job=Job(readings.append), on_update=maps.append, engine=TinyEngine(8))
    assert readings[0].done == 0
    assert readings[-1].done == readings[-1].total == 100
    assert {reading.stage for reading in readings} == {"Classifying tiles"}
    assert [reading.done for reading in readings] == sorted(reading.done for reading in readings)
    assert np.isnan(maps[0][..., 0]).sum() == 92
    assert np.isnan(maps[-1][..., 0]).sum() == 20
    assert len(maps) < len(readings)  # a few a second, not one a batch


def test_what_is_shown_while_running_is_not_changed_later():
    maps = []
    run(half_bright(), on_update=maps.append, engine=TinyEngine(8))
    assert np.isnan(maps[0][..., 0]).sum() == 92


def test_cancelling_stops_within_a_batch():
    cancel = Job()
    engine = TinyEngine(8)

    def stop_soon(reading):
        if reading.done >= 16:
            cancel.cancel()

    with pytest.raises(Cancelled):
        run(half_bright(), engine=engine, job=cancel.telling(stop_soon))
    assert engine.calls == 2
    assert not prefetch_threads()


def test_a_run_cancelled_beforehand_does_nothing():
    cancel = Job()
    cancel.cancel()
    engine = TinyEngine()
    with pytest.raises(Cancelled):
        run(half_bright(), engine=engine, job=cancel)
    assert engine.calls == 0


def test_an_error_in_the_network_ends_the_reading_too():
    class Broken(TinyEngine):
        def embed(self, batch, intensity):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run(half_bright(), engine=Broken())
    assert not prefetch_threads()


def test_a_stack_gives_a_map_a_plane():
    stack = np.stack([half_bright(), half_bright()[:, ::-1]])
    image = image_of(stack)
    readings, planes = [], []
    maps = list(
        classify_planes(
            image,
            CLASSIFIER,
            ClassifyOptions(cache=False),
            chosen=ChosenTiles(TileGrid(image.area, 16, 16)),
            engine=TinyEngine(),
            job=Job(readings.append),
            on_update=lambda plane, _: planes.append(plane),
        )
    )
    assert [result.plane for result in maps] == [(0,), (1,)]
    assert np.array_equal(maps[0].labels(), maps[1].labels()[:, ::-1])
    assert readings[-1].done == readings[-1].total == 200
    assert set(planes) == {(0,), (1,)}


def test_the_record_tells_how_to_repeat_the_run():
    record = run(half_bright()).record
    assert record["model"]["name"] == "brightness"
    assert len(record["model"]["head_sha256"]) == 64
    assert record["grid"] == {"area": [0, 160, 0, 160], "tile_px": 16, "stride_px": 16}
    assert record["intensity"]["low"] < record["intensity"]["high"]
    assert record["engine"]["device"] == "CPU"
    assert record["versions"]["numpy"] == np.__version__


def test_features_come_in_the_grids_order_with_nan_for_empty_tiles():
    pixels = half_bright()
    pixels[:16, :16] = 0
    image = image_of(pixels)
    grid = TileGrid(image.area, 16, 16)
    keep = np.zeros((10, 10), bool)
    keep[0, 0] = keep[4, 2] = keep[4, 8] = True
    features = embed_image(
        PlaneTiles(image, grid, keep=keep), TinyEngine(), CLASSIFIER.card.intensity
    )
    assert features.shape == (3, FEATURES)
    assert np.isnan(features[0]).all()
    assert features[1, 0] < 0.2 < 0.8 < features[2, 0]


CARD = replace(CLASSIFIER.card, tile_px=224, pixel_size_nm=12.0)


@pytest.mark.parametrize(
    ("learned", "mine", "tile", "warns", "says"),
    [
        (12.0, 12.1, 224, False, "as this model learned"),
        (
            12.0,
            48.0,
            56,
            True,
            "this model saw 12 nm/px, this image has 48 nm/px: tiles will be 56 px",
        ),
        (12.0, None, 224, True, "this image has no pixel size"),
        (None, 48.0, 224, False, "this model has no pixel size"),
    ],
)
def test_tiles_have_the_models_physical_size(learned, mine, tile, warns, says):
    image = image_of(half_bright(240, 240), pixel_size_nm=mine)
    choice = ClassifyOptions().grid_for(image, replace(CARD, pixel_size_nm=learned))
    assert choice.grid.tile == choice.grid.stride == tile
    assert choice.scale_warning is warns
    assert says in choice.note


def test_the_users_wish_goes_first_and_is_compared_with_the_model():
    image = image_of(half_bright(), pixel_size_nm=24.0)
    in_px = ClassifyOptions(tile_px=64, overlap=0.5).grid_for(image, CARD)
    assert (in_px.grid.tile, in_px.grid.stride, in_px.scale_warning) == (64, 32, True)
    assert "1.54 µm" in in_px.note
    assert "2.69 µm" in in_px.note
    in_um = ClassifyOptions(tile_um=2.688, stride_px=100).grid_for(image, CARD)
    assert (in_um.grid.tile, in_um.grid.stride, in_um.scale_warning) == (112, 100, False)


def test_tiles_larger_than_the_image_are_told():
    choice = ClassifyOptions(tile_px=64).grid_for(image_of(half_bright(40, 100)), CLASSIFIER.card)
    assert choice.scale_warning
    assert "larger than the image" in choice.note
    assert choice.grid.n_tiles == 2


def test_wishes_that_cannot_be_met_are_told():
    image = image_of(half_bright(), pixel_size_nm=900.0)
    with pytest.raises(GridError, match="both in px and in µm"):
        ClassifyOptions(tile_px=64, tile_um=1.0).grid_for(image, CARD)
    with pytest.raises(GridError, match="only 3 px"):
        ClassifyOptions().grid_for(image, CARD)
    with pytest.raises(GridError, match="no pixel size"):
        ClassifyOptions(tile_um=1.0).grid_for(replace(image, pixel_size_nm=None), CARD)


def test_two_hundred_runs_cancelled_at_random_leave_nothing_half_done(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 30_000)
    rng = random.Random(0)
    image = replace(image_of(half_bright(480, 480)), chunks=(64, 64))
    grid = TileGrid(image.area, 16, 16)
    engine = TinyEngine(64)
    cache = EmbeddingCache(tmp_path / "cache")
    start = time.perf_counter()
    expected = classify_tiles(PlaneTiles(image, grid), CLASSIFIER, engine, cache=cache)
    longest = time.perf_counter() - start
    whole = cache.size()
    cancelled = 0
    held_early = 0
    for number in range(200):
        cache.clear()
        cancel = Job()
        timer = threading.Timer(rng.uniform(0, longest), cancel.cancel)
        timer.start()
        try:
            classify_tiles(PlaneTiles(image, grid), CLASSIFIER, engine, cache=cache, job=cancel)
        except Cancelled:
            cancelled += 1
            assert cache.size() <= whole
        finally:
            timer.cancel()
            timer.join()
        assert not prefetch_threads()
        assert [p.name for p in cache.folder.iterdir() if p.name.startswith(".")] == []
        if number % 40 == 0:  # what comes later goes on from there
            went_on = classify_tiles(PlaneTiles(image, grid), CLASSIFIER, engine, cache=cache)
            assert went_on.record["map_sha256"] == expected.record["map_sha256"]
            assert cache.size() == whole
        if number == 60:
            gc.collect()
            held_early = psutil.Process().memory_info().rss
    gc.collect()
    grown_mb = (psutil.Process().memory_info().rss - held_early) / 1e6
    assert cancelled > 10
    assert grown_mb < 20


def test_flat_tiles_are_left_out_only_when_asked():
    pixels = np.random.default_rng(2).integers(0, 256, (64, 64), dtype=np.uint8)
    pixels[:16, :32] = 120  # two flat tiles
    image = image_of(pixels)
    classifier = brightness_classifier(tile_px=16)
    grid = TileGrid(image.area, 16, 16)
    (everything,) = classify_planes(
        image,
        classifier,
        ClassifyOptions(cache=False),
        chosen=ChosenTiles(grid),
        engine=TinyEngine(),
    )
    (rest,) = classify_planes(
        image,
        classifier,
        ClassifyOptions(skip_flat=True, cache=False),
        chosen=ChosenTiles(grid),
        engine=TinyEngine(),
    )
    assert not everything.left_out.any()
    assert np.argwhere(rest.left_out).tolist() == [[0, 0], [0, 1]]
    assert rest.record["skipped_flat"]["tiles"] == 2
    assert "skipped_flat" not in everything.record
