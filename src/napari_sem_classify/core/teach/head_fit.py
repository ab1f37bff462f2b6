"""Annotated tiles' features in, a head out, with its strength, temperature and score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.model.head import Head
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings, SurroundingsChoice
from napari_sem_classify.core.model.transfer import Transfer
from napari_sem_classify.core.teach.folds import Folds, TilePlaces, plan_folds
from napari_sem_classify.core.teach.logistic import DEFAULT_STRENGTH, Basis, make_basis, solve
from napari_sem_classify.core.teach.scores import (
    BlockedScore,
    HeldOut,
    Smoothed,
    blocked_score,
    hold_out,
)
from napari_sem_classify.core.teach.turned import Copies, CopiesChoice


@dataclass(frozen=True, slots=True)
class Taught:
    """A head and what is known about it.

    Attributes
    ----------
    strength : float
        Of the fit, see `logistic`.
    temperature : float
        1 where it could not be measured.
    no_score_reason : str
        One sentence where there is no score, else "".
    surroundings : Surroundings
        What the head takes beside the tile itself.
    choice : SurroundingsChoice or None
        How that was found, where it was looked for.
    stages, transfer
        See `teach.transfer`; None where they were not fitted.
    copies : CopiesChoice or None
        Whether copies were learned from, where that was looked for.
    """

    head: Head
    strength: float
    temperature: float
    score: BlockedScore | None
    no_score_reason: str = ""
    surroundings: Surroundings = ALONE
    choice: SurroundingsChoice | None = None
    stages: StageHeads | None = None
    transfer: Transfer | None = None
    copies: CopiesChoice | None = None

    def scores_for_card(self) -> dict[str, Any]:
        """The score, or why there is none, as plain values for a model card."""
        if self.score is None:
            return {"reason": self.no_score_reason}
        return self.score.to_dict()


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How a head is fitted and scored.

    Attributes
    ----------
    specimens, groups : shape (N,), or None
        Specimen and image of each tile.
    places : TilePlaces or None
        Where the tiles lie, for a split by spatial blocks.
    folds : Folds or None
        A known split, instead of one by `groups` and `places`.
    strength : float or None
        A known strength with which to fit at once, without temperature and score: the way to
        redraw a map after each stroke.
    seed : int
        See `blocked_score`.
    copies : Copies or None
        Of the tiles, with other settings of the microscope.
    """

    groups: NDArray[Any] | None = None
    places: TilePlaces | None = None
    folds: Folds | None = None
    strength: float | None = None
    seed: int = 0
    specimens: NDArray[Any] | None = None
    copies: Copies | None = None


def fit_head(
    features: NDArray[Any], labels: NDArray[Any], n_classes: int, strength: float | None = None
) -> Head:
    """Fit a head of classes without names, see `teach_head`."""
    names = tuple(f"class {index + 1}" for index in range(n_classes))
    return teach_head(features, labels, names, FitOptions(strength=strength)).head


def teach_head(
    features: NDArray[Any],
    labels: NDArray[Any],
    class_names: tuple[str, ...],
    options: FitOptions | None = None,
    job: Job | None = None,
) -> Taught:
    """Fit a head, choose its strength, set its temperature and score it.

    L2-regularised, class-balanced multinomial logistic regression on standardised features. The
    same input gives the same head.

    Parameters
    ----------
    features : float, shape (N, features)
    labels : int, shape (N,)
    class_names : tuple of str
        A class without a tile never wins on the map.

    Raises
    ------
    AnnotationError
        When fewer than two classes have tiles.
    Cancelled
        When the job was asked to stop.
    """
    how = options or FitOptions()
    return taught_of(try_folds(features, labels, class_names, how, job), labels, class_names, how)


@dataclass(frozen=True, slots=True)
class Tried:
    """Features with the space that they span, and what heads made of tiles that they had not seen.

    `labels` are those of the tiles and then of their copies; `held` and `folds` are None where no
    honest split exists, for the `reason`, or none was asked for.
    """

    basis: Basis
    labels: NDArray[np.int64]
    held: HeldOut | None
    folds: Folds | None
    reason: str


def try_folds(
    features: NDArray[Any],
    labels: NDArray[Any],
    class_names: tuple[str, ...],
    how: FitOptions,
    job: Job | None = None,
) -> Tried:
    """What is to be known before a head is fitted for good; takes and refuses as `teach_head`."""
    labels = np.asarray(labels, dtype=np.int64)
    if len(np.unique(labels)) < 2:
        check_teachable(np.bincount(labels, minlength=len(class_names)), class_names)
    taught = labels
    if how.copies is not None:
        features = np.concatenate([features, how.copies.features])
        taught = np.concatenate([labels, labels[how.copies.of]])
    basis = make_basis(features)
    if how.strength is not None:
        return Tried(basis, taught, None, None, "Not scored yet.")
    plan = how.folds or plan_folds(
        labels, class_names, specimens=how.specimens, groups=how.groups, places=how.places
    )
    if isinstance(plan, str):
        return Tried(basis, taught, None, None, plan)
    if how.copies is not None:
        plan = plan.with_copies(how.copies.of)
    held = hold_out(basis, taught, len(class_names), plan, job=job)
    return Tried(basis, taught, held, plan, "")


def taught_of(
    tried: Tried,
    labels: NDArray[Any],
    class_names: tuple[str, ...],
    how: FitOptions,
    smoothed: Smoothed | None = None,
) -> Taught:
    """The head for good, with the score of what was tried; for `smoothed` see `blocked_score`."""
    held, labels = tried.held, np.asarray(labels, dtype=np.int64)
    strength, temperature, score = how.strength or DEFAULT_STRENGTH, 1.0, None
    if held is not None and tried.folds is not None:
        strength, temperature = held.strength, held.temperature
        score = blocked_score(
            held, labels, class_names, tried.folds, smoothed=smoothed, seed=how.seed
        )
    solution = solve(tried.basis.coordinates, tried.labels, len(class_names), strength)
    return Taught(tried.basis.to_head(solution), strength, temperature, score, tried.reason)
