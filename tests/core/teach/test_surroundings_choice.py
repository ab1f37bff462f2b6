"""What surrounds a tile counts where images that were left out say so, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.edits import with_stroke
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.surroundings import (
    ALONE,
    SMOOTHINGS,
    Surroundings,
    SurroundingsScore,
    surroundings_for,
)
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.around import features_in, offered
from napari_sem_classify.core.teach.head_fit import FitOptions
from napari_sem_classify.core.teach.judged_tiles import seen_of
from napari_sem_classify.core.teach.learn import learn, tile_probabilities
from napari_sem_classify.core.teach.lesson import gather
from napari_sem_classify.core.teach.lesson_fit import fit_lesson
from napari_sem_classify.core.teach.looked import SeenTiles, Sight, with_surroundings
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.core.teach.turned import Copies
from napari_sem_classify.core.tiles.grid import TileGrid

TILE, SIDE, FEATURES = 16, 12, 6
GRID = TileGrid(Area(0, SIDE * TILE, 0, SIDE * TILE), TILE, TILE)
NAMES = ("matrix", "oxide")


def noisy_image(seed, *, patch=4, noise=2.5, level=0.0):
    """Patches of two classes; a tile alone hardly tells them, its neighbours do."""
    generator = np.random.default_rng(seed)
    coarse = generator.permutation(np.arange((SIDE // patch) ** 2) % 2)
    coarse = coarse.reshape(SIDE // patch, -1)
    labels = np.kron(coarse, np.ones((patch, patch), int)).ravel()
    features = generator.normal(level, noise, (SIDE**2, FEATURES))
    features[:, :2] += np.where(labels == 1, 1.5, -1.5)[:, None]
    return labels, features.astype(np.float16)


def lesson_of(images, rules=()):
    """All tiles of images annotated, an image each, as `noisy_image` gives them."""
    annotations, seen = Annotations().with_class(NAMES[0]).with_class(NAMES[1]), {}
    pixels = image_from_array(np.ones((SIDE * TILE,) * 2, np.uint8), "image")
    for number, (labels, features) in enumerate(images):
        key = f"image {number}"
        annotations = annotations.with_image(pixels, key)
        tiles = {
            (tile // SIDE * TILE, tile % SIDE * TILE, TILE): NAMES[label]
            for tile, label in enumerate(labels.tolist())
        }
        annotations = with_stroke(annotations, key, tiles)
        mean = features.mean(axis=0, dtype=np.float32)
        seen[key] = SeenTiles(GRID, np.arange(GRID.n_tiles), features, mean=mean)
    return gather(replace(annotations, rules=dict(rules)), seen, TILE)


WAYS = surroundings_for()


def fitted(lesson, wished=WAYS):
    how = FitOptions(groups=lesson.places.image, places=lesson.places)
    return fit_lesson(lesson, wished, how)


@pytest.fixture(scope="module")
def patches():
    return lesson_of([noisy_image(seed) for seed in range(4)])


def test_neighbours_are_looked_at_where_images_left_out_gain_by_it(patches):
    taught = fitted(patches)
    assert taught.surroundings.context or taught.surroundings.smoothing
    best = max(taught.choice.scores, key=lambda each: each.gain - each.spread)
    assert best.surroundings == taught.surroundings
    assert "by image (4 images, 4 folds)" in taught.choice.reason
    # The score beside the map is that of what was chosen.
    alone = fitted(patches, (ALONE,))
    assert taught.score.scores.macro_f1 > alone.score.scores.macro_f1 + 0.02
    assert taught.head.weight.shape[1] == FEATURES * (1 + taught.surroundings.context)


def test_where_neighbours_say_nothing_the_tile_stays_alone():
    taught = fitted(lesson_of([noisy_image(seed, patch=1, noise=1.0) for seed in range(4)]))
    assert taught.surroundings == ALONE
    assert "Nothing is clearly better than the tile alone" in taught.choice.reason


def test_with_one_or_two_images_the_tile_stays_alone_and_the_reason_is_told():
    taught = fitted(lesson_of([noisy_image(seed) for seed in range(2)]))
    assert taught.surroundings == ALONE
    assert taught.choice.scores == ()
    assert "from three annotated images on" in taught.choice.reason
    assert taught.score is not None


def test_a_gain_has_to_be_worth_having_and_more_than_its_standard_error():
    def of(gain, spread):
        return SurroundingsScore(Surroundings(context=True), 0.8, gain, spread)

    assert of(0.05, 0.04).clearly_better
    assert not of(0.05, 0.06).clearly_better
    assert not of(0.015, 0.001).clearly_better


def test_a_class_that_lies_in_one_image_does_not_keep_the_others_from_judging(patches):
    labels = patches.labels.copy()
    labels[np.flatnonzero(patches.places.image == 3)[::7]] = 2
    third = replace(patches, labels=labels, classes=(*patches.classes, ClassInfo("c", "#000001")))
    taught = fitted(third)
    assert taught.surroundings.context or taught.surroundings.smoothing
    assert "by image (4 images" in taught.choice.reason


def test_no_mean_is_taken_away_where_images_hold_one_class_each():
    images = [noisy_image(seed) for seed in range(4)]
    single = [
        (np.full_like(labels, seed % 2), found) for seed, (labels, found) in enumerate(images)
    ]
    assert {each.alignment for each in offered(lesson_of(images), surroundings_for())} > {0.0}
    assert {each.alignment for each in offered(lesson_of(single), surroundings_for())} == {0.0}


def test_classes_found_by_their_presence_are_never_smoothed_away():
    thin = lesson_of([noisy_image(seed) for seed in range(3)], {"oxide": 0.02})
    assert {each.smoothing for each in offered(thin, surroundings_for())} == {0.0}
    assert offered(thin, (Surroundings(smoothing=SMOOTHINGS[-1]),)) == (ALONE,)


def test_the_image_mean_taken_away_takes_the_level_of_a_specimen_with_it():
    level = lesson_of([noisy_image(seed, level=5.0 * seed) for seed in range(3)])
    found = features_in(level, Surroundings(alignment=1.0))
    means = [found[level.places.image == number].mean() for number in range(3)]
    assert np.abs(means).max() < 0.05


def test_the_map_in_view_has_the_surroundings_and_the_next_first_fit_keeps_them(patches):
    image = image_from_array(np.ones((SIDE * TILE,) * 2, np.uint8), "image")
    seen = patches.seen["image 0"]
    sight, first = Sight("image 0", image, GRID), []
    options = TeachOptions(TILE)
    last = learn(lambda: patches, (sight, seen), options, Job(), first.append)
    assert first[0].taught.surroundings == ALONE
    expected = tile_probabilities(last.taught, seen)
    np.testing.assert_array_equal(last.tile_probabilities, expected)
    again = replace(options, before=last.taught.surroundings)
    learn(lambda: patches, (sight, seen), again, Job(), first.append)
    assert first[1].taught.surroundings == last.taught.surroundings != ALONE


def test_of_a_closed_image_what_surrounds_the_annotated_tiles_goes_on_teaching(patches):
    wide = TileGrid(Area(0, 40 * TILE, 0, 40 * TILE), TILE, TILE)
    tiles, sample = with_surroundings(wide, np.array([45]))
    assert set(np.array([4, 5, 6, 44, 45, 46, 84, 85, 86])) <= set(tiles)
    assert len(sample) == 256
    features = np.zeros((wide.n_tiles, 1), np.float16)
    seen = SeenTiles(wide, np.arange(wide.n_tiles), features, mean=np.ones(1, np.float32))
    kept = seen.only(np.array([45]))
    assert kept.covers(tiles)
    assert kept.mean == 1


def test_of_a_tile_that_looks_otherwise_the_surroundings_stay_as_they_are(patches):
    other = replace(patches, features=patches.features + 1)
    around = Surroundings(context=True)
    moved = features_in(other, around) - features_in(patches, around)
    np.testing.assert_allclose(moved[:, :FEATURES], 1, atol=1e-5)
    inner = np.isin(patches.numbers // SIDE, range(1, SIDE - 1)) & np.isin(
        patches.numbers % SIDE, range(1, SIDE - 1)
    )
    np.testing.assert_allclose(moved[inner, FEATURES:], 0, atol=1e-5)


def test_copies_stay_with_their_tiles_in_the_sample_that_judges(patches):
    some = np.arange(0, len(patches.labels), 5)
    copied = replace(patches, copies=Copies(patches.features[some] + np.float32(100), some))
    seen = seen_of(copied, Surroundings(context=True))
    copies, own = seen.copies
    assert len(copies.of) == len(some)
    np.testing.assert_allclose(own - 100, seen.own[copies.of], atol=0.01)
    assert np.array_equal(seen.labels[copies.of], patches.labels[some])
    assert copies.features.shape == (len(some), 2 * FEATURES)
