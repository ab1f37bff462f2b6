"""Another way of looking at tiles is taken only where the annotations clearly ask for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_engine import TinyEngine

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.classify.driver import classify_image
from napari_sem_classify.core.common.checked import Fields
from napari_sem_classify.core.common.errors import Cancelled
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.model.recipe import STANDARD, Recipe, RecipeChoice
from napari_sem_classify.core.teach.folds import TilePlaces, plan_folds
from napari_sem_classify.core.teach.lesson import TeachingSet, sample_tiles
from napari_sem_classify.core.teach.recipes import choose_recipe, compare_recipes, recipes_for
from napari_sem_classify.core.teach.teach import teach_from_masks
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.core.tiles.grid import TileGrid

TILE, SIDE = 16, 256
EVENED = Recipe(IntensityRecipe(per_tile=True))
NAMES = ("coarse", "fine")
WAYS = (STANDARD, EVENED)


def image_of(pixels, name="image"):
    return SemImage(name, pixels.astype(np.uint8), Specimen(Area(0, SIDE, 0, SIDE)))


def textured(seed=0):
    """Two textures under a brightness and contrast that differ from tile to tile."""
    generator = np.random.default_rng(seed)
    rows = SIDE // TILE
    labels = generator.integers(0, 2, (rows, rows))
    fine = generator.choice([-1.0, 1.0], (SIDE, SIDE))
    coarse = np.kron(generator.choice([-1.0, 1.0], (SIDE // 4, SIDE // 4)), np.ones((4, 4)))
    one_tile = np.ones((TILE, TILE))
    wave = np.where(np.kron(labels, one_tile) == 1, fine, coarse)
    level = np.kron(generator.uniform(70, 180, (rows, rows)), one_tile)
    contrast = np.kron(np.exp(generator.uniform(np.log(4), np.log(60), (rows, rows))), one_tile)
    return image_of(level + contrast * wave), labels


def by_brightness(seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, (SIDE // TILE, SIDE // TILE))
    level = np.kron(np.where(labels == 1, 150, 90), np.ones((TILE, TILE)))
    return image_of(level + generator.normal(0, 10, level.shape)), labels


def annotated(*several):
    """Images with a class on each tile, -1 for none, as if they had been painted."""
    annotations = Annotations().with_class(NAMES[0]).with_class(NAMES[1])
    images = {}
    for image, labels in several:
        key = fingerprint(image)
        images[key] = image
        annotations = annotations.with_image(image, key)
        for number, name in enumerate(NAMES):
            tiles = [(y * TILE, x * TILE, TILE) for y, x in np.argwhere(labels == number).tolist()]
            annotations = annotations.with_marks(key, tiles, name)
    return TeachingSet(annotations, images)


def choose(made, job=None):
    options = TeachOptions(TILE, recipes=WAYS)
    return choose_recipe(annotated(made), options, lambda _recipe: TinyEngine(), job)


def test_textures_under_uneven_brightness_are_evened_out():
    choice = choose(textured())
    assert choice.recipe == EVENED
    standard, evened, *_ = choice.scores
    assert evened.gain > 2 * evened.spread > 0
    assert f"{evened.macro_f1:.2f} instead of {standard.macro_f1:.2f}" in choice.reason


def test_where_brightness_tells_the_classes_the_image_keeps_its_own():
    choice = choose(by_brightness())
    assert choice.recipe == STANDARD
    assert choice.scores[1].gain < 0
    assert "No way is clearly better" in choice.reason


def test_a_gain_within_its_own_spread_changes_nothing():
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1], 60)
    features = generator.normal(size=(120, 6)) + 0.4 * labels[:, None]
    other = features + generator.normal(0, 0.3, features.shape)
    y, x = np.divmod(np.arange(120), 12)
    places = TilePlaces(np.zeros(120, np.int64), y * 64, x * 64, 64)
    folds = plan_folds(labels, NAMES, places=places)
    for pair in ((features, other), (other, features)):
        assert compare_recipes(WAYS, pair, labels, NAMES, folds).recipe == STANDARD


def test_too_few_tiles_for_a_score_keep_the_standard_and_say_why():
    image, labels = textured()
    few = np.full_like(labels, -1)
    few[0, :4] = [0, 1, 0, 1]
    choice = choose((image, few))
    assert (choice.recipe, choice.scores) == (STANDARD, ())
    assert "No score can be given" in choice.reason


def test_looking_in_every_way_tells_its_progress_and_can_be_cancelled():
    told = []
    choice = choose(textured(), job=Job(told.append))
    assert told[-1].done == told[-1].total == len(choice.scores) * 256
    assert [each.done for each in told] == sorted(each.done for each in told)
    token = Job()
    with pytest.raises(Cancelled):
        choose(textured(), job=token.telling(lambda _: token.cancel()))


def test_a_sample_holds_at_most_so_many_tiles_of_a_class():
    some = sample_tiles(annotated(textured(), textured(1)), TILE, 30, seed=0)
    assert some.annotations.counts() == {"coarse": 30, "fine": 30}


def test_the_sizes_tried_are_the_standard_a_large_one_and_the_tiles_own():
    assert [recipe.network_px for recipe in recipes_for(160, intensity=STANDARD.intensity)] == [
        128,
        224,
        160,
    ]
    for tile in (64, 224, 512):
        assert [
            recipe.network_px for recipe in recipes_for(tile, intensity=STANDARD.intensity)
        ] == [128, 224]
    assert recipes_for(64)[0] == STANDARD
    assert recipes_for(64, intensity=EVENED.intensity, network_px=96) == (
        replace(EVENED, network_px=96),
    )


def test_the_card_keeps_the_recipe_and_classifying_applies_it():
    image, labels = textured()
    mask = np.kron(labels + 1, np.ones((TILE, TILE), dtype=np.uint8))
    model = teach_from_masks(
        [(image, mask)],
        [(1, "coarse"), (2, "fine")],
        TeachOptions(TILE, recipes=WAYS),
        engine_of=lambda _recipe: TinyEngine(),
    )
    assert model.card.intensity.per_tile
    assert model.card.record["recipe"]["chosen"]["intensity"]["per_tile"] is True
    other, truth = textured(7)
    found = classify_image(other, model, TileGrid(other.area, TILE, TILE), engine=TinyEngine())
    assert (found.labels() == truth + 1).mean() > 0.9
    assert found.record["intensity"]["per_tile"] is True


def test_a_way_of_looking_kept_before_networks_could_be_chosen_is_of_the_usual_one():
    choice = RecipeChoice(replace(STANDARD, backbone_id="another"), (), "Chosen by hand.")
    kept = choice.to_dict()
    assert RecipeChoice.from_fields(Fields(kept)) == choice
    del kept["chosen"]["backbone_id"]
    assert RecipeChoice.from_fields(Fields(kept)).recipe == STANDARD
