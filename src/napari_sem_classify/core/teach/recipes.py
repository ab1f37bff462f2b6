"""Which way of looking at tiles suits the user's own annotations: chosen by the blocked score.

A way of looking, a recipe, is how grey values are evened out and to what size a tile is brought
before the network sees it. The standard one is good everywhere; another is taken only where the
annotations themselves show that it is clearly better.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.metrics import counts_of_groups, score
from napari_sem_classify.core.image.frames import find_frames
from napari_sem_classify.core.image.intensity import IntensityRecipe, Over
from napari_sem_classify.core.model.recipe import (
    LARGE_NETWORK_PX,
    NETWORK_PX,
    Recipe,
    RecipeChoice,
    RecipeScore,
)
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE
from napari_sem_classify.core.teach.folds import Folds, plan_folds
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head
from napari_sem_classify.core.teach.lesson import Lesson, TeachingSet, gather, sample_tiles
from napari_sem_classify.core.teach.looked import Sight, look_at_all, sights_of
from napari_sem_classify.core.teach.teach_options import EngineOf, TeachOptions

SMALLEST_NETWORK_PX = 96
TILES_PER_CLASS = 150
"""Of each class that are looked at in every way; a comparison takes seconds to a minute."""
TRYING = "Trying ways of looking"
NOT_OPEN = "The annotated images are not open: open one to find the best way of looking at it."

_DRAWS = 400


def recipes_for(
    tile_px: int,
    *,
    intensity: IntensityRecipe | None = None,
    network_px: int | None = None,
    backbone_id: str = DEFAULT_BACKBONE,
) -> tuple[Recipe, ...]:
    """Recipes worth a try for tiles of a size, the standard one first.

    Parameters
    ----------
    intensity : IntensityRecipe, optional
        Only this way with grey values; as they are and each tile evened out where None.
    network_px : int, optional
        Only this size; where None the standard one, a large one and the tile's own, unless that is
        so small that it loses detail.
    backbone_id : str
        The network of all.
    """
    sizes = [NETWORK_PX, LARGE_NETWORK_PX]
    if SMALLEST_NETWORK_PX <= tile_px <= LARGE_NETWORK_PX and tile_px not in sizes:
        sizes.append(tile_px)
    usual = IntensityRecipe(), IntensityRecipe(per_tile=True)
    ways = usual if intensity is None else (intensity,)
    return tuple(
        Recipe(way, size, backbone_id)
        for size in (sizes if network_px is None else [network_px])
        for way in ways
    )


def with_mosaics(recipes: tuple[Recipe, ...], sights: Sequence[Sight]) -> tuple[Recipe, ...]:
    """Also frame by frame and locally, where a mosaic's frames are seen to differ in exposure.

    Neither is better everywhere: a frame of one class alone looks like any other when it is
    stretched over its own range (docs/teaching.md).

    Raises
    ------
    ImageError
        When an image cannot be read.
    """
    known = [each for each in recipes if not each.intensity.per_tile]
    if any(each.intensity.over != "image" for each in known):
        return recipes
    if not any(find_frames(sight.image, sight.plane) for sight in sights):
        return recipes
    parts: tuple[Over, ...] = ("frames", "local")
    more = [
        replace(each, intensity=replace(each.intensity, over=over))
        for over in parts
        for each in known
    ]
    return (*recipes, *more)


def choose_recipe(
    material: TeachingSet,
    options: TeachOptions,
    engine_of: EngineOf | None = None,
    job: Job | None = None,
) -> RecipeChoice:
    """Look at the annotated tiles in each way, and choose by the blocked score.

    The first recipe stays unless another is clearly better. A mosaic is also looked at frame by
    frame and locally.

    Parameters
    ----------
    material : TeachingSet
        Of each class at most `TILES_PER_CLASS` tiles are looked at.
    options : TeachOptions
        With at least one recipe.
    engine_of : callable, optional
        Gives the engine for a recipe; those of `options` where None.
    job : Job, optional
        Counts the tiles of all recipes.

    Raises
    ------
    AnnotationError
        When there are several recipes, and no annotated image is open.
    ImageError, DeviceError, Cancelled
        See `look`.
    """
    recipes = options.recipes
    if len(recipes) < 2:
        return RecipeChoice(recipes[0], (), "Only one way was to be tried.")
    some = sample_tiles(material, options.tile_px, TILES_PER_CLASS, options.seed)
    sights = sights_of(some.annotations, some.images, options.tile_px, options.stride_px)
    if not sights:
        raise AnnotationError(NOT_OPEN)
    recipes = with_mosaics(recipes, sights)
    job = job or Job()
    start = time.perf_counter()
    lessons: list[Lesson] = []
    folds: Folds | None = None
    for number, recipe in enumerate(recipes):
        part = job.telling(lambda reading: job.tell(replace(reading, stage=TRYING)))
        part = part.part(number, len(recipes), start)
        engine = (engine_of or options.engine)(recipe)
        seen = look_at_all(sights, recipe, engine, part)
        lesson = gather(some.annotations, seen, options.tile_px, recipe)
        lessons.append(lesson)
        if folds is None:
            plan = plan_folds(
                lesson.labels,
                lesson.class_names,
                specimens=lesson.specimen_numbers,
                groups=lesson.places.image,
                places=lesson.places,
            )
            if not isinstance(plan, Folds):  # known before the other ways cost any time
                return RecipeChoice(recipe, (), plan)
            folds = plan
    assert folds is not None
    features = [lesson.features for lesson in lessons]
    # Its scoring is asked to stop with the job, but counts nothing that was announced.
    silent = job.telling(lambda _: None)
    return compare_recipes(recipes, features, lesson.labels, lesson.class_names, folds, job=silent)


def compare_recipes(
    recipes: Sequence[Recipe],
    features: Sequence[NDArray[Any]],
    labels: NDArray[Any],
    class_names: tuple[str, ...],
    folds: Folds,
    *,
    job: Job | None = None,
) -> RecipeChoice:
    """Choose among recipes from what the network saw in the same tiles in each way.

    Parameters
    ----------
    recipes : sequence of Recipe
        The one to keep unless another is clearly better comes first.
    features : sequence of float, shape (N, features) each
    labels : int, shape (N,)
    folds : Folds
        The same for all.
    """
    predicted = []
    for seen in features:
        taught = teach_head(seen, labels, class_names, FitOptions(folds=folds), job)
        assert taught.score is not None
        predicted.append(taught.score.probabilities.argmax(axis=1))
        scored = taught.score.scored
    truth, blocks = np.asarray(labels)[scored], folds.blocks[scored]
    n_classes = len(class_names)
    results = [score(truth, mine, n_classes) for mine in predicted]
    drawn = drawn_macro_f1(predicted, truth, blocks, n_classes)
    scores = tuple(
        RecipeScore(
            recipe,
            result.macro_f1,
            result.balanced_accuracy,
            result.macro_f1 - results[0].macro_f1,
            float(np.std(some - drawn[0])),
        )
        for recipe, result, some in zip(recipes, results, drawn, strict=True)
    )
    better = [each for each in scores if each.clearly_better]
    if not better:
        return RecipeChoice(recipes[0], scores, "No way is clearly better than the standard one.")
    best = max(better, key=lambda each: each.gain)
    reason = (
        f"Macro-F1 {best.macro_f1:.2f} instead of {scores[0].macro_f1:.2f} {folds.how}: "
        f"{best.recipe.title}."
    )
    return RecipeChoice(best.recipe, scores, reason)


def drawn_macro_f1(
    predicted: Sequence[NDArray[np.int64]],
    truth: NDArray[np.int64],
    blocks: NDArray[np.int64],
    n_classes: int,
) -> NDArray[np.float64]:
    """Macro-F1 of each way in each draw of images or blocks, shape (ways, draws)."""
    counts = np.stack([counts_of_groups(truth, mine, n_classes, blocks) for mine in predicted])
    n_blocks = counts.shape[1]
    generator = np.random.default_rng(0)
    times = generator.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), _DRAWS)
    right, true, said = np.moveaxis(np.einsum("db,rbkc->rdkc", times, counts), 2, 0)
    with np.errstate(invalid="ignore"):
        f1 = 2 * right / (true + said)
    found: NDArray[np.float64] = np.nanmean(f1, axis=2)
    return found
