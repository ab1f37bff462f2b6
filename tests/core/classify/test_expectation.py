"""What a run is expected to take counts in what earlier runs left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.classify import engine_choice, expectation
from napari_sem_classify.core.classify.driver import classify_planes
from napari_sem_classify.core.classify.expectation import Expectation, expect
from napari_sem_classify.core.classify.int8_memory import Int8Check, Int8Memory
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.sem_io.array_image import image_from_array
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

OPTIONS = ClassifyOptions(tile_px=16, dtype="float32")


@pytest.fixture
def classifier(own_cache):
    return brightness_classifier(tile_px=16)


@pytest.fixture
def tiles():
    pixels = np.random.default_rng(0).integers(1, 250, (160, 160), np.uint8)
    image = image_from_array(pixels, "field")
    return PlaneTiles(image, TileGrid(image.area, 16, 16))


def test_tiles_that_the_cache_has_take_no_time(classifier, tiles):
    engine = TinyEngine()
    assert expect(tiles, 1, classifier, engine, OPTIONS) == Expectation(100.0, 0, False)
    keep = np.zeros(tiles.grid.tile_shape, bool)
    keep[:4] = True
    some = ChosenTiles(tiles.grid, keep)
    list(classify_planes(tiles.image, classifier, OPTIONS, chosen=some, engine=engine))
    assert expect(tiles, 1, classifier, engine, OPTIONS) == Expectation(60.0, 40, False)
    known = replace(tiles, keep=keep)
    assert expect(known, 1, classifier, engine, OPTIONS) == Expectation(0.0, 40, False)
    uncached = replace(OPTIONS, cache=False)
    assert expect(known, 1, classifier, engine, uncached) == Expectation(40.0, 0, False)


def test_8_bits_are_counted_with_their_gain_and_their_check(classifier, tiles, monkeypatch):
    from napari_sem_classify.core.network.engine import devices, trial

    monkeypatch.setattr(devices, "has_openvino", lambda: True)
    monkeypatch.setattr(trial, "known_gain", lambda *_, **__: 2.0)
    options = replace(OPTIONS, dtype="auto", device="cpu", cache=False)
    engine = TinyEngine()
    monkeypatch.setattr(engine_choice, "COST_TILES", {engine.dtype: 60})
    monkeypatch.setattr(engine_choice, "COST_TILES_KNOWN", {engine.dtype: 20})
    assert expect(tiles, 1, classifier, engine, options) == Expectation(110.0, 0, True)
    fewer = replace(tiles, keep=np.arange(100).reshape(10, 10) < 50)
    assert expect(fewer, 1, classifier, engine, options) == Expectation(50.0, 0, False)
    head = engine_choice.head_sha256(classifier.head)
    check = Int8Check(0.996, 256, 0.1, 0.04, 2, ("field",))
    memory = Int8Memory({"2.0": 1.5}, 64, {head: check})
    for module in (engine_choice, expectation):
        monkeypatch.setattr(module, "recall", lambda _: memory)
    assert expect(fewer, 1, classifier, engine, options) == Expectation(45.0, 0, True)
    refused = Int8Memory({"2.0": 1.5}, 64, {head: replace(check, same_class=0.9)})
    monkeypatch.setattr(engine_choice, "recall", lambda _: refused)
    assert expect(tiles, 1, classifier, engine, options) == Expectation(100.0, 0, False)
