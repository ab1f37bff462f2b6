"""Near-duplicates weigh as one: how much each image to learn from counts in an epoch.

Frames of a scanned strip overlap by 97 %, and annotated tiles may overlap by half: a hundred of
them tell as much as the few places that they show. Each counts for one divided by how many show
its place, as near-identical sequences do in phylogenetics (Henikoff & Henikoff 1994,
doi:10.1016/0022-2836(94)90032-9), so that the weights of a set add up to its places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_presets import Preset
from napari_sem_classify.core.finetune.from_annotations import places_of

WORTH_TELLING = 0.9
"""Share of places to images below which the user is told."""


def place_weights(data: TrainingSet, images: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much each of some images counts: 1, or less where others show the same place.

    Images of a listing share a place where `near_duplicates` found them to. Annotated tiles share
    as much as they overlap.

    Parameters
    ----------
    data : TrainingSet
    images : int64, shape (N,)
        Of one side of a split: those elsewhere do not count.

    Returns
    -------
    float64, shape (N,)
        Above 0, at most 1.
    """
    showing = np.ones(len(data.images))
    if data.blocks is None:
        pairs = data.pairs[np.isin(data.pairs, images).all(axis=1)]
        np.add.at(showing, pairs.ravel(), 1.0)
        return np.asarray(1.0 / showing[images])
    places = places_of(data)
    for image in np.unique(places.image[images]):
        mine = images[places.image[images] == image]
        at = np.stack([places.y[mine], places.x[mine]], axis=1)
        pairs, shared = _overlaps(at, places.tile_px)
        for side in (0, 1):
            np.add.at(showing, mine[pairs[:, side]], shared)
    return np.asarray(1.0 / showing[images])


def _overlaps(at: NDArray[np.int64], side: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of squares of this side that overlap, (pairs, 2), and the share of a square each."""
    from scipy.spatial import KDTree

    pairs = KDTree(at).query_pairs(side - 0.5, p=np.inf, output_type="ndarray").astype(np.int64)
    apart = np.abs(at[pairs[:, 0]] - at[pairs[:, 1]])
    return pairs, np.prod(np.maximum(side - apart, 0) / side, axis=1)


def tiles_of_epoch(data: TrainingSet, images: NDArray[np.int64], preset: Preset) -> int:
    """How many tiles (or images, where a tile is one) are drawn in an epoch."""
    if preset.epoch_tiles is not None:
        return preset.epoch_tiles
    per_image = np.ones(len(data.images))
    if not data.whole_images:
        per_image = np.bincount(data.tile_image, minlength=len(data.images)).astype(float)
    return max(1, round(float(place_weights(data, images) @ per_image[images])))


def place_notes(data: TrainingSet, images: NDArray[np.int64]) -> tuple[str, ...]:
    """What the user should know of it, a sentence each."""
    count, places = len(images), round(float(place_weights(data, images).sum()))
    if places > WORTH_TELLING * count:
        return ()
    if data.blocks is None:
        return (
            f"The {count} images to learn from show about {places} places: images of the same "
            "place share the weight of one.",
        )
    return (
        f"The {count} tiles to learn from overlap and show about {places} tiles' worth: they share "
        "their weight.",
    )
