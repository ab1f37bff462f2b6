"""What a model needs to be judged on other specimens: heads a stage, and their calibration.

The calibration leaves specimens out: the model's head and those of the stages are fitted without
them, and what the signs were on their images is set beside the accuracy there. All heads learn from
the copies of tiles too, where there are some: one that does not falls apart over a knob.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.model.head import Head, softmax
from napari_sem_classify.core.model.stage_heads import StageHeads, stage_columns
from napari_sem_classify.core.model.transfer import (
    Calibration,
    Transfer,
    agreement_of,
    shares_apart,
    shares_in,
    sign_of,
)
from napari_sem_classify.core.network.backbone import BACKBONES
from napari_sem_classify.core.teach.head_fit import Taught
from napari_sem_classify.core.teach.judged_tiles import MIN_TILES, Seen, seen_of, some_of
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.logistic import Basis, make_basis, solve
from napari_sem_classify.core.teach.teach_options import STAGES

JUDGING = "Trying the model on specimens left out"
MIN_SPECIMENS = 3
MOST_LEFT_OUT = 8
"""Rounds of leaving out; of more specimens several are left out together."""
TILES_PER_CLASS = 400
"""That the heads of the stages are fitted to; more hardly change on which tiles they fall apart."""
LEAST, LEAST_FAR = 0.01, 0.17
"""Spread of a calibration, and of the distance as a share: three images alike promise no more."""

_FEW_SPECIMENS = (
    "It is not known how the model does on other specimens, as it learned from fewer than three "
    "specimens or images."
)
_FEW_TILES = (
    "It is not known how the model does on other specimens, as fewer than three of its images have "
    f"{MIN_TILES} annotated tiles or more."
)
_ONE_CLASS = (
    "It is not known how the model does on other specimens, as none can be left out without which "
    "a class is gone."
)


def with_judgement(lesson: Lesson, taught: Taught, seed: int, job: Job | None = None) -> Taught:
    """What was taught, with the heads of the stages and what is known of other specimens.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    sizes = BACKBONES[lesson.recipe.backbone_id].architecture.sizes_of(STAGES)
    if sum(sizes) != lesson.features.shape[1]:
        return taught
    seen = seen_of(lesson, taught.surroundings, seed)
    stages, transfer = teach_judges(
        seen, len(lesson.classes), sizes, taught.strength, taught.temperature, seed, job
    )
    return replace(taught, stages=stages, transfer=transfer)


def teach_judges(
    seen: Seen,
    classes: int,
    sizes: Sequence[int],
    strength: float,
    temperature: float,
    seed: int = 0,
    job: Job | None = None,
) -> tuple[StageHeads, Transfer]:
    """Fit the heads of the stages, and calibrate their agreement on specimens left out.

    Parameters
    ----------
    seen : Seen
        What the model was taught from, with the other tiles of its images where they were looked
        at.
    classes : int
    sizes : sequence of int
        Features of a tile in each stage.
    strength, temperature : float
        Of the model's own fit.
    seed : int
        Of the sample of tiles, where there are more than `TILES_PER_CLASS`.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    features, own, labels, specimen = seen.with_copies()
    columns = stage_columns(sizes, features.shape[1] // sum(sizes))
    parts = [np.arange(features.shape[1]), *columns]
    some = sample_of(seen.labels, classes, seed)
    rounds, reason = _rounds(labels[some], specimen[some])
    some = with_their_copies(seen, some)
    used = parts if rounds else columns
    reporter = Reporter(len(columns) + len(rounds) * len(parts), JUDGING, job)
    bases = [make_basis(features[np.ix_(some, part)]) for part in used]
    heads = []
    for basis in bases[-len(columns) :]:
        heads.append(fit_some(basis, labels[some], classes, strength))
        reporter.advance()
    stages = stage_heads(heads, columns, sizes, own[some])
    if not rounds:
        return stages, Transfer(None, reason)
    tried: list[LeftOut] = []
    for out in rounds:
        train = ~np.isin(specimen[some], out)
        there = np.flatnonzero(np.isin(seen.specimen, out))
        logits = []
        for basis, part in zip(bases, parts, strict=True):
            mine = fit_some(basis, labels[some], classes, strength, train)
            logits.append(mine.logits(features[np.ix_(there, part)]))
            reporter.advance()
        distance = stage_heads(heads, columns, sizes, own[some[train]]).distance(own[there])
        tried += left_out(seen, there, logits, distance, temperature)
    return stages, transfer_of(tried, len(np.unique(np.concatenate(rounds))))


def with_their_copies(seen: Seen, some: NDArray[np.int64]) -> NDArray[np.int64]:
    """Some of the tiles, behind them their copies, as rows of `Seen.with_copies`."""
    if seen.copies is None:
        return some
    copied = np.isin(seen.copies[0].of, some)
    return np.append(some, len(seen.labels) + np.flatnonzero(copied))


def stage_heads(
    heads: Sequence[Head],
    columns: Sequence[NDArray[np.int64]],
    sizes: Sequence[int],
    own: NDArray[np.float32],
) -> StageHeads:
    """Heads of the stages, each on its columns of the features, side by side.

    `own` are the features of the tiles that taught, which tell a distance.
    """
    weight = np.zeros((len(heads[0].bias), sum(map(len, columns))), dtype=np.float32)
    bias = np.zeros((len(columns), len(heads[0].bias)), dtype=np.float32)
    for number, (head, part) in enumerate(zip(heads, columns, strict=True)):
        weight[:, part], bias[number] = _plain(head)
    return StageHeads(weight, bias, tuple(sizes), *_place(own))


def left_out(
    seen: Seen,
    there: NDArray[np.int64],
    logits: Sequence[NDArray[np.float32]],
    distance: NDArray[np.float32],
    temperature: float,
) -> list[LeftOut]:
    """The accuracy and the signs of images that heads had not learned from.

    Parameters
    ----------
    there : int64, shape (N,)
        Tiles of these images.
    logits : sequence of float32, shape (N, classes) each
        Of the model's head and then of those of the stages.
    distance : float32, shape (N,)
    """
    drawn = np.ones(len(there), np.bool_) if seen.drawn is None else seen.drawn[there]
    sure = softmax(logits[0] / np.float32(temperature))
    agreed = agreement_of([each.argmax(axis=1) for each in logits[1:]])
    named, labels = logits[0].argmax(axis=1), seen.labels[there]
    found = []
    for image in np.unique(seen.image[there]):
        here = seen.image[there] == image
        told, here = here & (labels >= 0), here & drawn
        if np.count_nonzero(told) >= MIN_TILES:
            sign = sign_of(float(agreed[here].mean()), float(sure[here].max(axis=1).mean()))
            far, shares = float(distance[here].mean()), shares_in(sure[here])
            right = accuracy_of(named[told], (named == labels)[told], shares)
            found.append(LeftOut(right, int(np.count_nonzero(told)), sign, far, shares))
    return found


def transfer_of(tried: Sequence[LeftOut], specimens: int) -> Transfer:
    """What is known of a model from images left out, of so many specimens."""
    if len(tried) < MIN_SPECIMENS:
        return Transfer(None, _FEW_TILES)
    return Transfer(_calibration(tried, specimens))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that heads had not learned from: its accuracy on `tiles` of it, and its signs."""

    right: float
    tiles: int
    sign: float
    far: float
    shares: NDArray[np.float64]


def accuracy_of(
    named: NDArray[np.int64], right: NDArray[np.bool_], shares: NDArray[np.float64]
) -> float:
    """Accuracy on an image, 0 to 1, from those of its tiles that are annotated.

    Of a rare class often as much is annotated as of a common one: each class counts by its share of
    the image.

    Parameters
    ----------
    named : int64, shape (N,)
        Class that the annotated tiles were given.
    right : bool, shape (N,)
    shares : float, shape (classes,)
        Share of all tiles of the image that were given each class.
    """
    found = np.bincount(named, minlength=len(shares)) / len(named)
    weights = shares[named] / found[named]
    return float(np.average(right, weights=weights) if weights.any() else right.mean())


def _calibration(tried: Sequence[LeftOut], specimens: int) -> Calibration:
    right = np.array([each.right for each in tried])
    weights = np.array([each.tiles for each in tried], dtype=np.float64)
    far = np.array([each.far for each in tried])
    shares, images = np.stack([each.shares for each in tried]), len(tried)
    total = shares.sum(axis=0)
    # Of each image from the others, as a new one will be.
    apart = np.array([shares_apart(mine, (total - mine) / (images - 1)) for mine in shares])
    usual = float(apart.mean())
    signs = np.array([each.sign for each in tried]) - np.maximum(0.0, apart - usual)
    gaps = right - signs
    offset = float(np.average(gaps, weights=weights))
    return Calibration(
        promise=float(np.average(right, weights=weights)),
        offset=offset,
        spread=max(float(np.sqrt(np.mean((gaps - offset) ** 2) * images / (images - 1))), LEAST),
        images=images,
        specimens=specimens,
        distance=float(far.mean()),
        distance_spread=max(float(far.std(ddof=1)), LEAST_FAR * float(far.mean())),
        shares=tuple((total / images).tolist()),
        shares_apart=usual,
    )


def _place(own: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread of features; one that never varies has a spread of 1."""
    scale = own.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    return own.mean(axis=0, dtype=np.float64).astype(np.float32), scale.astype(np.float32)


def _rounds(
    labels: NDArray[np.int64], specimens: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], str]:
    """Specimens to leave out in each round, or why none; those that alone have a class stay in."""
    numbers = np.unique(specimens)
    if len(numbers) < MIN_SPECIMENS:
        return [], _FEW_SPECIMENS
    rounds = [numbers[at::MOST_LEFT_OUT] for at in range(min(MOST_LEFT_OUT, len(numbers)))]
    all_classes = set(labels.tolist())
    kept = [set(labels[~np.isin(specimens, out)].tolist()) for out in rounds]
    rounds = [out for out, left in zip(rounds, kept, strict=True) if left == all_classes]
    return rounds, "" if rounds else _ONE_CLASS


def sample_of(labels: NDArray[np.int64], classes: int, seed: int) -> NDArray[np.int64]:
    """At most `TILES_PER_CLASS` tiles of each class, drawn by a seed, in order."""
    generator = np.random.default_rng(seed)
    each = [np.flatnonzero(labels == number) for number in range(classes)]
    return np.sort(np.concatenate([some_of(mine, TILES_PER_CLASS, generator) for mine in each]))


def fit_some(
    basis: Basis,
    labels: NDArray[np.int64],
    classes: int,
    strength: float,
    train: NDArray[np.bool_] | None = None,
) -> Head:
    """A head on the features of a basis, fitted to all of its tiles or to those of `train`."""
    mine = slice(None) if train is None else train
    return basis.to_head(solve(basis.coordinates[mine], labels[mine], classes, strength))


def _plain(head: Head) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of a head on features as they are."""
    weight = head.weight / head.scale
    return weight, np.asarray(head.bias - weight @ head.mean, dtype=np.float32)
