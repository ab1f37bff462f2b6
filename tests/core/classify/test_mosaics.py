"""A mosaic of frames with different exposure gives one map in whatever way it is classified."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify import rerun as rerun_module
from napari_sem_classify.core.classify.driver import classify_image, classify_tiles, map_of_tiles
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.classify.rerun import rerun
from napari_sem_classify.core.cluster import worker
from napari_sem_classify.core.cluster.tile_store import blocks_of
from napari_sem_classify.core.cluster.worker import WorkerModel, classify_block
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.model.plane_scores import scores_on
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.outlines.options import OutlineOptions
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

TILE, FRAME = 16, 144
PLAIN = brightness_classifier(tile_px=TILE)
FRAMES, LOCAL = IntensityRecipe(over="frames"), IntensityRecipe(over="local")


def looking(recipe):
    return replace(PLAIN, card=PLAIN.card.looking(recipe))


MODEL = looking(FRAMES)


def frames():
    """Dark and bright places, the same everywhere in shares, with the exposure of each frame."""
    generator = np.random.default_rng(0)
    soft = gaussian_filter(generator.normal(size=(3 * FRAME, 2 * FRAME)), 9)
    pixels = np.where(soft > 0, 0.8, 0.2) + generator.normal(0, 0.02, soft.shape)
    exposed = np.empty(pixels.shape)
    for number, low in enumerate((0.1, 0.5, 0.45, 0.05, 0.3, 0.6)):
        row, col = FRAME * (number // 2), FRAME * (number % 2)
        place = np.s_[row : row + FRAME, col : col + FRAME]
        exposed[place] = low + 0.35 * pixels[place]
    return np.rint(255 * np.clip(exposed, 0.01, 1)).astype(np.uint8), soft > 0


@pytest.fixture
def path(tmp_path):
    tifffile.imwrite(tmp_path / "mosaic.tif", frames()[0], photometric="minisblack")
    return tmp_path / "mosaic.tif"


def grid_of(image):
    return TileGrid(image.area, TILE, TILE)


def right(class_map):
    truth = frames()[1].reshape(3 * FRAME // TILE, TILE, -1, TILE).mean(axis=(1, 3))
    clear = (truth < 0.1) | (truth > 0.9)
    return float(((class_map.labels() == 2) == (truth > 0.5))[clear].mean())


@pytest.fixture
def expected(path):
    image = open_image(path)
    assert image.area.height == 3 * FRAME
    return classify_image(image, MODEL, grid_of(image), engine=TinyEngine(64))


def test_frames_and_what_is_around_tell_what_one_range_of_the_whole_does_not(path, expected):
    image = open_image(path)
    whole = classify_image(image, PLAIN, grid_of(image), engine=TinyEngine())
    assert right(whole) < 0.8 < 0.95 < right(expected)
    assert expected.record["intensity"]["over"] == "frames"
    assert "over" not in whole.record["intensity"]


def test_chunks_and_the_cache_change_nothing(path, expected, tmp_path):
    image, cache = open_image(path), EmbeddingCache(tmp_path / "cache")
    for known in (False, True):
        tiles = PlaneTiles(replace(image, chunks=(40, 50)), grid_of(image))
        found = classify_tiles(tiles, MODEL, TinyEngine(7), cache=cache)
        assert np.array_equal(found.labels(), expected.labels())
        assert found.record["features_from_cache"] is known
    other = classify_tiles(tiles, looking(LOCAL), TinyEngine(), cache=cache)
    assert not other.record["features_from_cache"]


def test_a_batch_a_cluster_and_a_rerun_give_the_same_map(path, expected, tmp_path, monkeypatch):
    target = BatchTarget(tmp_path / "out")
    options = ClassifyOptions(tile_px=TILE, cache=False, outlines=OutlineOptions(8))
    report = classify_many([path], MODEL, target, options, engine=TinyEngine())
    assert not report.failed
    assert np.array_equal(tifffile.imread(tmp_path / "out/mosaic.map.tif"), expected.labels())
    # The model's own way is another: frames were the wish of that run.
    monkeypatch.setattr(rerun_module, "find_classifier", lambda *_: (PLAIN, []))
    again = rerun(tmp_path / "out/mosaic.summary.json", engine=TinyEngine())
    assert again.same
    assert again.class_map.record["intensity"]["over"] == "frames"

    monkeypatch.setattr(worker, "_loaded", {})
    image = open_image(path)
    grid = grid_of(image)
    plane = PlaneTiles(image, grid).seen_by(FRAMES)
    reach, raw = plane.measure(FRAMES), scores_on(MODEL, grid).raw
    for block in blocks_of(grid, 5):
        known = WorkerModel("mosaic", lambda: (MODEL, TinyEngine()))
        found, engine = classify_block(known, path, 0, grid, reach, block)
        rows, cols = block.grid(grid).tile_shape
        raw[block.top : block.top + rows, block.left : block.left + cols] = found
    together = map_of_tiles(plane, MODEL, scores_on(MODEL, grid, raw), reach, engine, {})
    assert np.array_equal(together.labels(), expected.labels())
