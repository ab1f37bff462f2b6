"""Which annotated tiles to learn from and which to score on: by specimen, image, else places."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.evaluate.dataset_split import ENOUGH_FOR_TEST, VALID_SHARE, Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.from_annotations import places_of
from napari_sem_classify.core.teach.folds import BUFFER_TILES, Folds, TilePlaces, plan_folds

BLOCK_SIZES = (8, 5, 3, 2, 1)
"""Sides of blocks in tiles: large ones waste fewer tiles in the buffers between them."""

ENOUGH_TO_SCORE = 10
"""Tiles of every class from which a further part is held back that chooses nothing."""

LEAST_TO_LEARN = 0.5
"""Share of the tiles that has to be left to learn from where a third part is held back."""

ENOUGH_HELD = 3
"""Specimens or images by which a model is judged on others: see `annotated_judges`."""

TOO_NEAR = "too few classes have tiles far enough from the others"

ONE_IMAGE = (
    "All tiles come from one image: the score tells of other places in it, and other images may "
    "score lower."
)


def split_annotated(data: TrainingSet, *, test: bool | None = None) -> Split:
    """Split annotated tiles by specimen or image where there are several, else by blocks.

    Nothing in it depends on chance.

    Parameters
    ----------
    data : TrainingSet
        From `make_annotated_set`.
    test : bool, optional
        Whether to hold back a third part; where None, if every class has enough places.

    Raises
    ------
    AnnotationError
        When no class could be scored on tiles that are not near ones learned from.
    """
    places, labels = places_of(data), data.labels
    n_images = len(np.unique(places.image))
    n_specimens = len(set(data.groups))
    by_specimen = plan_folds(labels, data.class_names, specimens=np.array(data.groups))
    by_image = plan_folds(labels, data.class_names, groups=places.image)
    specimens = [(by_specimen, f"by specimen ({n_specimens} specimens)")]
    whole = [(by_image, f"by image ({n_images} images)")]
    many = "" if n_images == 1 else f" in {n_images} images"
    inside = [
        (
            plan_folds(labels, data.class_names, places=places, block_tiles=size),
            f"by blocks of {size} × {size} tiles{many}, a buffer of half a tile between",
        )
        for size in BLOCK_SIZES
    ]
    # A specimen that was never seen is what the model is for: it goes before images and places of
    # seen ones.
    every = len(data.class_names)
    for plans, least in ((specimens, every), (whole, every), (inside, 2), (whole, 2)):
        for wish in (True, False) if test is None else (test,):
            found = [_best(plan, labels, wish, how, test is None) for plan, how in plans]
            good = [each for each in found if each and _scored(each.valid, labels) >= least]
            if good:
                return _with_notes(max(good, key=lambda split: _worth(split, labels)), places)
    reasons = [plan for plan, _ in (*whole, *inside) if isinstance(plan, str)]
    raise AnnotationError(_sentence(reasons[-1] if len(reasons) > len(inside) else TOO_NEAR))


def _sentence(reason: str) -> str:
    why = reason.removeprefix("No score can be given: ").split(";")[0].rstrip(".")
    return (
        f"Nothing can be held back to score the training: {why}; annotate tiles in more places, "
        "or in more images."
    )


def _best(
    plan: Folds | str, labels: NDArray[np.int64], test: bool, how: str, ask: bool
) -> Split | None:
    """The folds of a plan that are worth most as parts of one split."""
    if isinstance(plan, str):
        return None
    found = []
    for chosen in permutations(range(len(plan.folds)), 2 if test else 1):
        train = plan.folds[chosen[0]].train
        for number in chosen[1:]:
            train = np.intersect1d(train, plan.folds[number].train)
        held = [plan.folds[number].test for number in chosen]
        split = _split(train, held, len(labels), how, plan.speaks_for)
        if _usable(split, labels, plan.blocks if test and ask else None):
            found.append(split)
    return max(found, key=lambda split: _worth(split, labels, plan.blocks)) if found else None


def _split(
    train: NDArray[np.int64], held: list[NDArray[np.int64]], count: int, how: str, speaks_for: str
) -> Split:
    none = np.empty(0, dtype=np.int64)
    parts = [train, *held]
    return Split(
        train=np.sort(train),
        valid=np.sort(held[0]),
        test=np.sort(held[1]) if len(held) > 1 else none,
        buffer=np.setdiff1d(np.arange(count), np.concatenate(parts)),
        how=how,
        random_leak=0.0,
        speaks_for=speaks_for,
    )


def _usable(split: Split, labels: NDArray[np.int64], blocks: NDArray[np.int64] | None) -> bool:
    """Whether every class is learned, two are scored, and a third part is worth its tiles."""
    classes = np.unique(labels)
    if _scored(split.train, labels) < len(classes) or _scored(split.valid, labels) < 2:
        return False
    if blocks is None:
        return not len(split.test) or _scored(split.test, labels) >= 2
    places = [len(np.unique(blocks[labels == k])) for k in classes]
    tiles = [np.sum(labels[part] == k) for part in (split.valid, split.test) for k in classes]
    enough = min(places) >= ENOUGH_FOR_TEST and min(tiles) >= ENOUGH_TO_SCORE
    return enough and len(split.train) >= LEAST_TO_LEARN * len(labels)


def _scored(part: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
    """Classes that have tiles in a part."""
    return len(np.unique(labels[part]))


def _worth(
    split: Split, labels: NDArray[np.int64], blocks: NDArray[np.int64] | None = None
) -> tuple[int, bool, int, int]:
    """What makes a split better, the most important first.

    Classes scored, a held-out share near the usual, images or specimens (`blocks`) held out up to
    `ENOUGH_HELD`, then tiles to learn from.
    """
    share = len(split.valid) / len(labels)
    usual = VALID_SHARE / 2 <= share <= 1.75 * VALID_SHARE
    scored = _scored(split.valid, labels) + _scored(split.test, labels)
    held = 0 if blocks is None else len(np.unique(blocks[np.append(split.valid, split.test)]))
    return scored, usual, min(held, ENOUGH_HELD), len(split.train)


def _with_notes(split: Split, places: TilePlaces) -> Split:
    notes = []
    if len(np.unique(places.image)) == 1:
        notes.append(ONE_IMAGE)
    if len(split.buffer):
        notes.append(
            f"{len(split.buffer)} tiles beside held-out ones are left out, so that the score is "
            "of places that were not seen."
        )
    return replace(split, notes=tuple(notes), random_leak=_random_leak(places))


def _random_leak(places: TilePlaces) -> float:
    """Share of held-out tiles that would lie beside a learned one, were tiles drawn at random."""
    from scipy.spatial import cKDTree

    reach = (1 + BUFFER_TILES) * places.tile_px - 1
    leak = []
    for image in np.unique(places.image):
        here = places.image == image
        points = np.stack([places.y[here], places.x[here]], axis=1)
        tree = cKDTree(points)
        beside = tree.query_ball_point(points, reach, p=np.inf, return_length=True) - 1
        leak.append(1.0 - VALID_SHARE ** np.asarray(beside, dtype=np.float64))
    return float(np.concatenate(leak).mean())
