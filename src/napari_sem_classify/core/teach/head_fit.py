"""Annotated tiles' features in, a head out, with its strength, temperature and score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.model.head import Head
from napari_sem_classify.core.teach.folds import Folds, TilePlaces, plan_folds
from napari_sem_classify.core.teach.logistic import DEFAULT_STRENGTH, make_basis, solve
from napari_sem_classify.core.teach.scores import STRENGTHS, BlockedScore, cross_validate


@dataclass(frozen=True, slots=True)
class Taught:
    """A head and what is known about it.

    Attributes
    ----------
    head : Head
    strength : float
        Of the fit, see `logistic`.
    temperature : float
        1 where it could not be measured.
    score : BlockedScore or None
    no_score_reason : str
        One sentence where there is no score, else "".
    """

    head: Head
    strength: float
    temperature: float
    score: BlockedScore | None
    no_score_reason: str = ""

    def scores_for_card(self) -> dict[str, Any]:
        """The score, or why there is none, as plain values for a model card."""
        if self.score is None:
            return {"reason": self.no_score_reason}
        return self.score.to_dict()


def fit_head(
    features: NDArray[Any],
    labels: NDArray[Any],
    n_classes: int,
    *,
    groups: NDArray[Any] | None = None,
    strength: float | None = None,
    seed: int = 0,
) -> Head:
    """Fit a head; see `teach_head` for one with its temperature and score.

    Parameters
    ----------
    features : float, shape (N, features)
    labels : int, shape (N,)
        0 to `n_classes` - 1.
    groups : shape (N,), optional
        Image or specimen of each tile, for choosing the strength.
    strength : float, optional
        Where None it is chosen by cross-validation over `groups`, and is `DEFAULT_STRENGTH` where
        there are too few.
    seed : int
        Of the intervals of the score; the fit itself draws nothing at random.

    Raises
    ------
    AnnotationError
        When fewer than two classes have tiles.
    """
    names = tuple(f"class {index + 1}" for index in range(n_classes))
    return teach_head(features, labels, names, groups=groups, strength=strength, seed=seed).head


def teach_head(
    features: NDArray[Any],
    labels: NDArray[Any],
    class_names: tuple[str, ...],
    *,
    groups: NDArray[Any] | None = None,
    places: TilePlaces | None = None,
    strength: float | None = None,
    start: Head | None = None,
    folds: Folds | None = None,
    seed: int = 0,
    group_word: str = "image",
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
    groups : shape (N,), optional
        Image or specimen of each tile.
    places : TilePlaces, optional
        Where the tiles lie, for a split by spatial blocks.
    strength : float, optional
        A known strength with which to fit at once, without temperature and score: the way to
        redraw a map after each stroke.
    start : Head, optional
        The head of the stroke before: a fit from there is faster and ends at the same place.
    folds : Folds, optional
        A known split, instead of one by `groups` and `places`.
    seed, group_word, job
        See `cross_validate` and `plan_folds`.

    Raises
    ------
    AnnotationError
        When fewer than two classes have tiles.
    Cancelled
        When the job was asked to stop.
    """
    labels = np.asarray(labels, dtype=np.int64)
    if len(np.unique(labels)) < 2:
        check_teachable(np.bincount(labels, minlength=len(class_names)), class_names)
    basis = make_basis(features)
    if strength is not None:
        begin = None
        if start is not None and start.weight.shape == (len(class_names), basis.mean.size):
            begin = basis.from_head(start)
        solution = solve(basis.coordinates, labels, len(class_names), strength, begin)
        return Taught(basis.to_head(solution), strength, 1.0, None, "Not scored yet.")
    plan: Folds | str | None = folds
    if plan is None:
        plan = plan_folds(labels, class_names, groups=groups, places=places, group_word=group_word)
    if not isinstance(plan, Folds):
        solution = solve(basis.coordinates, labels, len(class_names), DEFAULT_STRENGTH)
        return Taught(basis.to_head(solution), DEFAULT_STRENGTH, 1.0, None, plan)
    found = cross_validate(
        basis,
        labels,
        class_names,
        plan,
        strengths=STRENGTHS,
        seed=seed,
        job=job,
    )
    solution = solve(basis.coordinates, labels, len(class_names), found.strength)
    return Taught(basis.to_head(solution), found.strength, found.temperature, found.score)
