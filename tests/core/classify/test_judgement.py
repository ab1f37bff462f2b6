"""A model is judged on an image before a run from a part of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tiny_engine import FEATURES, TinyEngine, brightness_classifier

from napari_sem_classify.core.classify.judgement import SAMPLE_TILES, judge_sample
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.transfer import Calibration, Transfer
from napari_sem_classify.core.tiles import sample, sweep
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

SIDE, TILE, CHUNK = 2048, 32, 128


class Stored:
    """Pixels that know which chunks were read whole, as they are for tiles."""

    shape, dtype, ndim = (SIDE, SIDE), np.dtype(np.uint8), 2

    def __init__(self):
        self.pixels = np.random.default_rng(0).integers(1, 255, self.shape).astype(np.uint8)
        self.read = set()

    def __getitem__(self, key):
        rows, cols = key[-2:]
        for y in range(-(-rows.start // CHUNK), rows.stop // CHUNK):
            self.read |= {(y, x) for x in range(-(-cols.start // CHUNK), cols.stop // CHUNK)}
        return self.pixels[key]


def judging():
    """Dark and bright, judged by two heads on parts of the features."""
    classifier = brightness_classifier(tile_px=TILE)
    parts = np.zeros((2, FEATURES), np.float32), np.zeros((2, 2), np.float32)
    around = np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32)
    stages = StageHeads(*parts, (1, FEATURES - 1), *around)
    known = Transfer(Calibration(0.97, 0.0, 0.02, 5, 5, 1.0, 100.0))
    return replace(classifier, card=replace(classifier.card, transfer=known), stages=stages)


def test_of_a_large_image_a_small_part_is_read(monkeypatch):
    monkeypatch.setattr(sample, "HELD_BYTES", SIDE)  # this image counts as large
    monkeypatch.setattr(sweep, "REGION_BYTES", CHUNK**2)
    stored, area = Stored(), Area(0, SIDE, 0, SIDE)
    image = SemImage("large", stored, Specimen(area), chunks=(CHUNK, CHUNK))
    image = image.with_source_range(0, 255)  # nothing is read to find it
    found = judge_sample(PlaneTiles(image, TileGrid(area, TILE, TILE)), judging(), TinyEngine())
    assert SAMPLE_TILES <= found.tiles < SAMPLE_TILES + 4
    assert len(stored.read) < 0.15 * (SIDE // CHUNK) ** 2
