"""Which way of looking at tiles suits the user's own annotations: chosen by the blocked score.

A way of looking, a recipe, is how grey values are evened out and to what size a tile is brought
before the network sees it. The standard one is good everywhere; another is taken only where the
annotations themselves show that it is clearly better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.model.recipe import (
    LARGE_NETWORK_PX,
    NETWORK_PX,
    Recipe,
    RecipeChoice,
    RecipeScore,
)
from napari_sem_classify.core.teach.annotated_tiles import (
    AnnotatedTiles,
    embed_annotated,
    sample_tiles,
)
from napari_sem_classify.core.teach.folds import Folds, plan_folds
from napari_sem_classify.core.teach.head_fit import teach_head

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

SMALLEST_NETWORK_PX = 96
TILES_PER_CLASS = 150
"""Of each class that are looked at in every way; a comparison takes seconds to a minute."""


_DRAWS = 400


def recipes_for(
    tile_px: int, *, per_tile: bool | None = None, network_px: int | None = None
) -> tuple[Recipe, ...]:
    """Recipes worth a try for tiles of a size, the standard one first.

    Parameters
    ----------
    tile_px : int
        Side of the tiles in image pixels.
    per_tile : bool, optional
        Only this way with grey values; both where None.
    network_px : int, optional
        Only this size; where None the standard one, a large one and the tile's own, unless that is
        so small that it loses detail.
    """
    sizes = [NETWORK_PX, LARGE_NETWORK_PX]
    if SMALLEST_NETWORK_PX <= tile_px <= LARGE_NETWORK_PX and tile_px not in sizes:
        sizes.append(tile_px)
    ways = [False, True] if per_tile is None else [per_tile]
    return tuple(
        Recipe(IntensityRecipe(per_tile=way), size)
        for size in (sizes if network_px is None else [network_px])
        for way in ways
    )


def choose_recipe(
    annotated: Sequence[AnnotatedTiles],
    class_names: tuple[str, ...],
    recipes: Sequence[Recipe],
    engine_of: Callable[[int], Engine],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    job: Job | None = None,
) -> RecipeChoice:
    """Look at the annotated tiles in each way, and choose by the blocked score.

    The first recipe stays unless another is clearly better.

    Parameters
    ----------
    annotated : sequence of AnnotatedTiles
    class_names : tuple of str
    recipes : sequence of Recipe
        At least one.
    engine_of : callable
        Gives the engine for a network input.
    groups : sequence of str, optional
        Specimen of each of `annotated`.
    seed : int
        Of the sample of tiles, at most `TILES_PER_CLASS` of each class.
    job : Job, optional
        Told and checked once per batch; counts the tiles of all recipes.

    Raises
    ------
    ImageError, DeviceError
        When an image cannot be read or the network cannot be run.
    Cancelled
        When the job was asked to stop.
    """
    if len(recipes) < 2:
        return RecipeChoice(recipes[0], (), "Only one way was to be tried.")
    some = sample_tiles(annotated, TILES_PER_CLASS, seed)
    of_image = np.arange(len(some)) if groups is None else np.unique(groups, return_inverse=True)[1]
    job = job or Job()
    total = sum(each.count for each in some)
    start = time.perf_counter()
    all_features: list[NDArray[np.float32]] = []
    folds: Folds | None = None
    for number, recipe in enumerate(recipes):

        def tell(reading: Progress, number: int = number) -> None:
            elapsed = time.perf_counter() - start
            done, goal = reading.done + number * total, total * len(recipes)
            job.tell(Progress(done, goal, "Trying ways of looking", elapsed))

        engine = engine_of(recipe.network_px)
        features, labels, places = embed_annotated(
            some, engine, recipe.intensity, job.telling(tell)
        )
        all_features.append(features)
        if folds is None:
            numbers = of_image[places.image]
            by_image = numbers if len(np.unique(numbers)) > 1 else None
            plan = plan_folds(labels, class_names, groups=by_image, places=places)
            if not isinstance(plan, Folds):  # known before the other ways cost any time
                return RecipeChoice(recipe, (), plan)
            folds = plan
    assert folds is not None
    return compare_recipes(recipes, all_features, labels, class_names, folds, job=job)


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
    class_names : tuple of str
    folds : Folds
        The same for all.
    job : Job, optional
    """
    predicted = []
    for seen in features:
        taught = teach_head(seen, labels, class_names, folds=folds, job=job)
        assert taught.score is not None
        predicted.append(taught.score.probabilities.argmax(axis=1))
        scored = taught.score.scored
    truth, blocks = np.asarray(labels)[scored], folds.blocks[scored]
    n_classes = len(class_names)
    results = [score(truth, mine, n_classes) for mine in predicted]
    drawn = _drawn_macro_f1(predicted, truth, blocks, n_classes)
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


def _drawn_macro_f1(
    predicted: Sequence[NDArray[np.int64]],
    truth: NDArray[np.int64],
    blocks: NDArray[np.int64],
    n_classes: int,
) -> NDArray[np.float64]:
    """Macro-F1 of each recipe in each draw of blocks, shape (recipes, draws)."""
    generator = np.random.default_rng(0)
    own = np.unique(blocks, return_inverse=True)[1]
    n_blocks = own.max() + 1
    confusions = np.zeros((len(predicted), n_blocks, n_classes, n_classes))
    for number, mine in enumerate(predicted):
        np.add.at(confusions[number], (own, truth, mine), 1)
    times = generator.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), _DRAWS)
    drawn = np.einsum("db,rbij->rdij", times, confusions)
    right = np.diagonal(drawn, axis1=2, axis2=3)
    either = drawn.sum(axis=2) + drawn.sum(axis=3)
    with np.errstate(invalid="ignore"):
        f1 = 2 * right / either
    found: NDArray[np.float64] = np.nanmean(f1, axis=2)
    return found
