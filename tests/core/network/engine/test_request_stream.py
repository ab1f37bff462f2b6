"""A sweep of which OpenVINO has several batches on their way gives what batches one by one give."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from napari_sem_classify.core.common.errors import Cancelled, DeviceError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange, IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.tiles import sweep
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.tile_source import read_cuts

pytest.importorskip("openvino", reason="needs the extra 'cpu'")
from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine

TILE = 24
RECIPE, RANGE = IntensityRecipe(), IntensityRange(0.0, 255.0)


class OneByOne(OpenVinoEngine):
    """The same engine without its stream."""

    stream = None


@pytest.fixture
def engine(network, monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", TILE * 150)  # many regions
    return small(OpenVinoEngine(network, network_px=64))


def small(engine):
    engine.batch_size = 2 * engine.request_tiles + 3  # the last request of a batch is odd
    return engine


def tiles_of(dtype=np.uint8, shape=(420, 430)):
    pixels = np.random.default_rng(5).integers(1, 250, shape).astype(dtype)
    blank = np.nan if dtype == np.float32 else 0
    pixels[: shape[0] // 2, : shape[1] // 2] = blank
    image = SemImage("field", pixels, Specimen(Area(0, shape[0], 0, shape[1])))
    return PlaneTiles(image, TileGrid(image.area, TILE, 16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_features_are_the_same_to_the_last_bit(engine, network, dtype):
    tiles = tiles_of(dtype)
    expected = embed_image(tiles, small(OneByOne(network, network_px=64)), RECIPE)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(embed_image(tiles, engine, RECIPE), expected)


def test_the_next_batch_runs_while_one_is_read_off(engine):
    tiles = tiles_of()
    starts, usual = [], engine.start

    def seen(some, *others):
        starts.append(len(some))
        usual(some, *others)

    engine.start = seen
    batches = read_cuts(tiles.image, tiles.grid, RANGE, engine.batch_size)
    with closing(engine.stream(batches, RANGE)) as answers:
        first = next(answers)
    assert sum(starts) > len(first.index)


def test_a_plane_with_hardly_any_data_ends(engine):
    tiles = tiles_of()
    tiles.image.data[:] = 0
    tiles.image.data[-1, -1] = 9
    features = embed_image(tiles, engine, RECIPE)
    assert np.isfinite(features).all(axis=1).sum() == 1


def test_a_cancelled_sweep_leaves_nothing_running_and_the_next_one_is_right(engine):
    tiles = tiles_of()
    expected = embed_image(tiles, engine, RECIPE)
    job, usual, starts = Job(), engine.start, []

    def seen(*some):
        starts.append(1)
        if len(starts) == 4:
            job.cancel()
        usual(*some)

    engine.start = seen
    with pytest.raises(Cancelled):
        embed_image(tiles, engine, RECIPE, job=job)
    assert len(starts) * engine.request_tiles < np.isfinite(expected[:, 0]).sum()
    assert not [each for each in threading.enumerate() if "prefetch" in each.name]
    engine.start = usual
    np.testing.assert_array_equal(embed_image(tiles, engine, RECIPE), expected)


def test_memory_that_lacks_is_told_in_one_sentence(engine):
    tiles = tiles_of()
    expected = embed_image(tiles, engine, RECIPE)
    usual, starts = engine._start, []

    def lacks(*some):
        starts.append(1)
        if len(starts) == 4:
            raise RuntimeError("[CPU] Can't allocate memory\nmore")
        usual(*some)

    engine._start = lacks
    with pytest.raises(DeviceError, match="not enough free memory"):
        embed_image(tiles, engine, RECIPE)
    engine._start = usual
    np.testing.assert_array_equal(embed_image(tiles, engine, RECIPE), expected)


def test_two_sweeps_at_once_do_not_mix(engine):
    several = [tiles_of(), tiles_of(shape=(200, 210))]
    expected = [embed_image(tiles, engine, RECIPE) for tiles in several]
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda tiles: embed_image(tiles, engine, RECIPE), several)
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
