"""Tiles teach the same whether a brush, a label image or a file of annotations named them."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_engine import TinyEngine

from napari_sem_classify.core.annotate.annotation import UNLABELLED, tiles_from_mask
from napari_sem_classify.core.annotate.annotation_file import load_annotations, save_annotations
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.edits import with_stroke
from napari_sem_classify.core.annotate.place import fingerprint, place_of
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.teach.lesson import TeachingSet
from napari_sem_classify.core.teach.teach import teach, teach_from_masks
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.core.tiles.grid import TileGrid

TILE, SIDE = 16, 192
CLASSES = [(1, "matrix"), (2, "oxide")]
OPTIONS = TeachOptions(TILE, recipes=(Recipe(network_px=32),))


def blotched(seed):
    """An image whose classes overlap in brightness, and a mask with gaps and mixed tiles."""
    generator = np.random.default_rng(seed)
    mask = generator.integers(0, 3, (SIDE // 24, SIDE // 24))
    mask = np.kron(mask, np.ones((24, 24), dtype=np.uint8)).astype(np.uint8)
    pixels = np.choose(mask, [120, 100, 140]) + generator.normal(0, 40, mask.shape)
    image = SemImage(
        f"blotched {seed}", pixels.clip(0, 255).astype(np.uint8), Specimen(Area(0, SIDE, 0, SIDE))
    )
    return image, mask


def painted(pairs):
    """The same tiles painted one by one, in any order, some of them as corrections."""
    generator = np.random.default_rng(0)
    annotations = Annotations()
    for _, name in CLASSES:
        annotations = annotations.with_class(name)
    images = {}
    for image, mask in pairs:
        grid = TileGrid(image.area, TILE, TILE)
        labels = tiles_from_mask(mask, grid, CLASSES).labels
        key = fingerprint(image)
        images[key] = image
        annotations = annotations.with_image(image, key)
        for row, col in generator.permutation(np.argwhere(labels != UNLABELLED)).tolist():
            tile = {place_of(grid, row, col): CLASSES[labels[row, col]][1]}
            annotations = with_stroke(annotations, key, tile, correction=bool(row % 2))
    return TeachingSet(annotations, images)


def tiny(_recipe):
    return TinyEngine()


def assert_same_model(one, other):
    for part in ("mean", "scale", "weight", "bias"):
        np.testing.assert_array_equal(getattr(one.head, part), getattr(other.head, part))
    assert one.card.temperature == other.card.temperature
    assert one.card.scores == other.card.scores
    assert "accuracy" in one.card.scores


@pytest.mark.parametrize("count", [1, 3], ids=["scored by blocks", "scored by image"])
def test_painted_tiles_and_a_mask_that_says_the_same_give_the_same_head_and_score(count):
    pairs = [blotched(seed) for seed in range(count)]
    by_mask = teach_from_masks(pairs, CLASSES, OPTIONS, engine_of=tiny)
    assert_same_model(teach(painted(pairs), OPTIONS, engine_of=tiny), by_mask)


def test_a_sample_of_many_tiles_is_the_same_too():
    pairs = [blotched(seed) for seed in range(3)]
    options = TeachOptions(TILE, recipes=OPTIONS.recipes, max_tiles_per_class=30, seed=4)
    by_mask = teach_from_masks(pairs, CLASSES, options, engine_of=tiny)
    by_brush = teach(painted(pairs), options, engine_of=tiny)
    assert_same_model(by_brush, by_mask)
    tiles = [row["tiles"] for row in by_brush.card.record["images"]]
    assert tiles == [row["tiles"] for row in by_mask.card.record["images"]]


def test_annotations_teach_the_same_after_they_were_saved(tmp_path):
    material = painted([blotched(seed) for seed in range(2)])
    save_annotations(tmp_path / "a.annotations.json", material.annotations)
    loaded = load_annotations(tmp_path / "a.annotations.json")
    again = TeachingSet(loaded, material.images)
    assert_same_model(
        teach(material, OPTIONS, engine_of=tiny), teach(again, OPTIONS, engine_of=tiny)
    )
