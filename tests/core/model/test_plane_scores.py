"""What surrounds a tile comes to the same as if the head had been given it as features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_sem_classify.core.common.checked import Fields, Malformed
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.model.head import Head, softmax
from napari_sem_classify.core.model.plane_scores import FEWEST_TILES, PlaneScores
from napari_sem_classify.core.model.stage_heads import StageHeads, stage_columns
from napari_sem_classify.core.model.surroundings import Surroundings, surroundings_for
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.neighbours import Neighbours

GRID = TileGrid(Area(0, 96, 0, 128), 16, 16)
FEATURES, CLASSES, TEMPERATURE = 5, 3, 1.7
GENERATOR = np.random.default_rng(0)


def head_for(surroundings):
    wide = FEATURES * (1 + surroundings.context)
    draw = [GENERATOR.normal(size=size).astype(np.float32) for size in (wide, wide, CLASSES)]
    weight = GENERATOR.normal(size=(CLASSES, wide)).astype(np.float32)
    usual = GENERATOR.normal(size=FEATURES).astype(np.float32)
    return Head(draw[0], np.abs(draw[1]) + 0.5, weight, draw[2], usual)


def seen():
    """Features of all tiles but some that hold no data."""
    index = np.setdiff1d(np.arange(GRID.n_tiles), [3, 17, 18])
    return index, GENERATOR.normal(2, 1, (len(index), FEATURES)).astype(np.float16)


def spelled_out(head, surroundings, index, features):
    """Features with surroundings, put together tile by tile."""
    plane = np.full((*GRID.tile_shape, FEATURES), np.nan, np.float32)
    plane.reshape(-1, FEATURES)[index] = features
    mean = np.nanmean(plane, axis=(0, 1))
    beside = Neighbours.on(GRID).mean(plane).reshape(-1, FEATURES)[index]
    level = surroundings.alignment * mean
    parts = [features - level] + [beside - level] * surroundings.context
    logits = head.logits(np.concatenate(parts, axis=1).astype(np.float32)) / TEMPERATURE
    found = np.full((*GRID.tile_shape, CLASSES), np.nan, np.float32)
    found.reshape(-1, CLASSES)[index] = logits
    votes = 8 * surroundings.smoothing * Neighbours.on(GRID).mean(softmax(found))
    return softmax(found + votes)


@pytest.mark.parametrize("surroundings", surroundings_for(), ids=lambda each: each.title)
def test_the_sum_of_parts_is_what_the_head_says_of_spelled_out_features(surroundings):
    head, (index, features) = head_for(surroundings), seen()
    scores = PlaneScores(head, surroundings, TEMPERATURE, GRID)
    for some in np.array_split(GENERATOR.permutation(len(index)), 4):  # in any order
        scores.add(index[some], features[some])
    expected = spelled_out(head, surroundings, index, features)
    np.testing.assert_allclose(scores.probabilities(), expected, atol=2e-5)


def test_blocks_from_several_computers_fit_together_to_the_whole():
    surroundings = Surroundings(context=True, alignment=0.5, smoothing=0.4)
    head, (index, features) = head_for(surroundings), seen()
    whole = PlaneScores(head, surroundings, 1.0, GRID)
    whole.add(index, features)
    parts = [PlaneScores(head, surroundings, 1.0, GRID) for _ in range(2)]
    left = index % GRID.tile_shape[1] < 4
    for part, mine in zip(parts, (left, ~left), strict=True):
        part.add(index[mine], features[mine])
    raw = np.concatenate([parts[0].raw[:, :4], parts[1].raw[:, 4:]], axis=1)
    together = PlaneScores(head, surroundings, 1.0, GRID, raw).probabilities()
    np.testing.assert_array_equal(together, whole.probabilities())


def test_of_an_image_with_few_tiles_the_usual_mean_is_taken_away():
    surroundings = Surroundings(alignment=1.0)
    head, (index, features) = head_for(surroundings), seen()
    few = FEWEST_TILES - 1
    scores = PlaneScores(head, surroundings, 1.0, GRID)
    scores.add(index[:few], features[:few])
    expected = softmax(head.logits(features[:few].astype(np.float32) - head.usual))
    found = scores.probabilities().reshape(-1, CLASSES)[index[:few]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_is_damaged_in_a_card_is_no_surroundings():
    good = {"context": True, "alignment": 0.5, "smoothing": 0.0}
    found = Surroundings.from_fields(Fields.of(good))
    assert found == Surroundings(context=True, alignment=0.5)
    for wrong in ({"context": 1}, {"alignment": 2.0}, {"smoothing": -1.0}, {"smoothing": "nan"}):
        with pytest.raises(Malformed):
            Surroundings.from_fields(Fields.of(good | wrong))
    with pytest.raises(Malformed):
        Surroundings.from_fields(Fields.of({"context": True}))


def test_a_copy_is_added_to_alone():
    scores = PlaneScores(head_for(Surroundings()), Surroundings(), 1.0, GRID)
    mine = scores.copy()
    mine.add(np.array([0]), np.ones((1, FEATURES), np.float32))
    assert mine.known.sum() == 1
    assert not scores.known.any()
    assert replace(Surroundings(), context=True).title == "neighbours"


@pytest.mark.parametrize("context", [False, True])
def test_heads_of_the_stages_agree_as_they_do_on_spelled_out_features(context):
    surroundings = Surroundings(context, 0.5 * context)
    head, (index, features) = head_for(surroundings), seen()
    wide = FEATURES * (1 + context)
    weight = GENERATOR.normal(size=(CLASSES, wide)).astype(np.float32)
    bias = GENERATOR.normal(size=(2, CLASSES)).astype(np.float32)
    centre, scale = np.full(FEATURES, 1.5, np.float32), np.full(FEATURES, 0.5, np.float32)
    stages = StageHeads(weight, bias, (2, 3), centre, scale)
    scores = PlaneScores(head, surroundings, TEMPERATURE, GRID, stages=stages)
    scores.add(index, features)
    found = scores.agreement()

    plane = np.full((*GRID.tile_shape, FEATURES), np.nan, np.float32)
    plane.reshape(-1, FEATURES)[index] = features
    level = surroundings.alignment * np.nanmean(plane, axis=(0, 1))
    parts = [plane - level] + [Neighbours.on(GRID).mean(plane) - level] * context
    whole, said = np.concatenate(parts, axis=-1), []
    for mine, columns in zip(bias, stage_columns((2, 3), 1 + context), strict=True):
        said.append((whole[..., columns] @ weight[:, columns].T + mine).argmax(axis=-1))
    expected = np.where(np.isnan(plane[..., 0]), np.nan, said[0] == said[1])
    np.testing.assert_array_equal(found, expected)
    far = np.sqrt((((plane - centre) / scale) ** 2).mean(axis=-1))
    np.testing.assert_allclose(scores.distance(), far, rtol=1e-4)
    # What they say does not change the map, and goes with it through a file of blocks.
    alone = PlaneScores(head, surroundings, TEMPERATURE, GRID)
    alone.add(index, features)
    np.testing.assert_array_equal(scores.probabilities(), alone.probabilities())
    again = PlaneScores(head, surroundings, TEMPERATURE, GRID, scores.raw, stages)
    np.testing.assert_array_equal(again.agreement(), found)
