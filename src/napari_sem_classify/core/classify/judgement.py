"""Whether a model holds on an image, from what it says of the image's tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.fingerprint import fingerprint
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.engines import network_of
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import PlaneScores, scores_on
from napari_sem_classify.core.model.transfer import (
    LEARNED_HERE,
    NO_JUDGEMENT,
    Judgement,
    Transfer,
    judge,
)
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.network.features import KnownFeatures, features_to
from napari_sem_classify.core.tiles.neighbours import Neighbours
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.sample import sample_tiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

SAMPLE_TILES = 64
"""That are looked at before a run: seconds of a CPU, also with their neighbours."""

JUDGED_BLOCK = 2
"""Side of the blocks in which the sample lies on a large image: single tiles would take the reading
of nearly all of it, larger blocks say less of it."""


def judgement_of(classifier: TileClassifier, image: SemImage, scores: PlaneScores) -> Judgement:
    """Judge a model on an image.

    Parameters
    ----------
    scores : PlaneScores
        Of the model, of all tiles or a sample of them.

    Raises
    ------
    ImageError
        When the image cannot be read.
    """
    card = classifier.card
    if card.transfer is None:
        return NO_JUDGEMENT
    if learned_from(card, image):
        return LEARNED_HERE
    return judgement_on(scores, card.transfer)


def judge_sample(
    tiles: PlaneTiles,
    classifier: TileClassifier,
    engine: Engine,
    job: Job | None = None,
    *,
    dense: bool = False,
    seed: int = 0,
) -> Judgement:
    """Judge a model on an image before a run, by a random sample of its tiles.

    Of an image too large to be held, small blocks of neighbours are taken.

    They come from the cache where it knows them.

    Raises
    ------
    ImageError, DeviceError
        When the image cannot be read or the network not be run.
    Cancelled
        When the job was asked to stop.
    """
    card = classifier.card
    if card.transfer is None:
        return NO_JUDGEMENT
    if learned_from(card, tiles.image):
        return LEARNED_HERE
    grid = tiles.grid
    generator = np.random.default_rng(seed)
    wanted = sample_tiles(tiles, SAMPLE_TILES, generator, JUDGED_BLOCK)
    chosen = np.flatnonzero(wanted)
    if card.surroundings.context:
        beside = Neighbours.on(grid).of(chosen)
        wanted.ravel()[beside[beside >= 0]] = True
        if tiles.keep is not None:
            wanted &= tiles.keep
    some = replace(tiles, keep=wanted).seen_by(card.intensity)
    reporter = some.reporter("Looking whether the model holds here", job)
    scores = scores_on(classifier, grid)
    known = KnownFeatures(EmbeddingCache(), network_of(classifier))
    features_to(some, engine, some.measure(card.intensity), scores.add, reporter, known, dense)
    return judgement_on(scores, card.transfer, chosen)


def judgement_on(
    scores: PlaneScores, known: Transfer, chosen: NDArray[np.int64] | None = None
) -> Judgement:
    """Judge by the scores of tiles alone, all of them or those `chosen`."""
    agreement, distance = scores.agreement(), scores.distance()
    assert agreement is not None
    assert distance is not None
    found = scores.probabilities(smoothed=False)
    mine = slice(None) if chosen is None else chosen
    flat = found.reshape(-1, found.shape[-1])[mine]
    return judge(agreement.ravel()[mine], flat, distance.ravel()[mine], known)


def judgement_of_rest(
    before: PlaneScores, after: PlaneScores, known: Transfer, answered: NDArray[np.int64]
) -> Judgement:
    """Judge a model on the other tiles of an image once `answered` tiles of it taught it further.

    `before` and `after` are the scores that it and the stages gave without and with these tiles.
    """
    parts = before.agreement(), after.agreement()
    distance = after.distance()
    assert parts[0] is not None
    assert parts[1] is not None
    assert distance is not None
    agreement = (parts[0] + parts[1]).ravel() / 2
    agreement[answered] = np.nan
    found = after.probabilities(smoothed=False)
    return judge(agreement, found.reshape(-1, found.shape[-1]), distance.ravel(), known)


def learned_from(card: ModelCard, image: SemImage) -> bool:
    """Whether a model learned from this image, as its record says."""
    images = card.record.get("images")
    rows = images if isinstance(images, list) else []
    prints = {row.get("fingerprint") for row in rows if isinstance(row, dict)}
    return fingerprint(image) in prints
