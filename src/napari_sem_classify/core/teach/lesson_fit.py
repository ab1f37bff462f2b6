"""A head for annotated tiles and what surrounds them; how much of that to use is chosen here.

A tile's surroundings help on some materials and harm on others, and what helps on the image that
was annotated may not on the next. So they are judged by leaving out whole specimens, or else whole
images, and the tile alone stays unless something is clearly better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.surroundings import (
    Surroundings,
    SurroundingsChoice,
    SurroundingsScore,
)
from napari_sem_classify.core.teach.around import (
    copies_in,
    features_in,
    offered,
    scores_of,
    with_usual,
)
from napari_sem_classify.core.teach.folds import MIN_GROUPS, Folds, plan_folds
from napari_sem_classify.core.teach.head_fit import (
    FitOptions,
    Taught,
    Tried,
    taught_of,
    try_folds,
)
from napari_sem_classify.core.teach.lesson import Lesson, part_of, sample_labels
from napari_sem_classify.core.teach.recipes import drawn_macro_f1
from napari_sem_classify.core.teach.scores import Smoothed

TILES_PER_CLASS = 400
"""Of each class that the surroundings are judged by; it takes seconds."""

TOO_FEW = "what carries over to another image shows from three annotated images on"
ONE_WAY = "Only one way was to be tried."


def fit_lesson(
    lesson: Lesson, wished: Sequence[Surroundings], how: FitOptions, job: Job | None = None
) -> Taught:
    """Fit the head of a lesson, with as much of the surroundings as pays.

    Parameters
    ----------
    wished : sequence of Surroundings
        What may be used, see `surroundings_for`; what the lesson does not allow is passed over.
    how : FitOptions
        With the image and specimen of each tile.

    Raises
    ------
    AnnotationError, Cancelled
        As `teach_head`.
    """
    ways = offered(lesson, tuple(wished))
    if len(ways) == 1:
        return teach_lesson(lesson, ways[0], how, job)
    choice = choose_surroundings(lesson, ways, how, job)
    return replace(teach_lesson(lesson, choice.surroundings, how, job), choice=choice)


def teach_lesson(
    lesson: Lesson, surroundings: Surroundings, how: FitOptions, job: Job | None = None
) -> Taught:
    """Fit a head that takes these surroundings; takes and refuses as `teach_head`."""
    names = lesson.class_names
    how = replace(how, copies=copies_in(lesson, surroundings))
    tried = try_folds(features_in(lesson, surroundings), lesson.labels, names, how, job)
    smoothed = None
    if surroundings.smoothing and tried.folds is not None and tried.folds.whole:
        [smoothed] = _smoothed(lesson, tried, [surroundings], job or Job())
    taught = taught_of(tried, lesson.labels, names, how, smoothed)
    head = with_usual(taught.head, lesson, surroundings)
    return replace(taught, head=head, surroundings=surroundings)


def choose_surroundings(
    lesson: Lesson, ways: Sequence[Surroundings], how: FitOptions, job: Job | None = None
) -> SurroundingsChoice:
    """Choose among surroundings by leaving whole specimens or images out.

    The first stays unless another is clearly better. It also stays where nothing can be left out:
    on the annotated image itself a tile's neighbours are half an answer, whatever they are
    elsewhere.

    Parameters
    ----------
    ways : sequence of Surroundings
        As `offered`; the one to keep comes first.
    """
    some, plan = to_judge(lesson, how)
    if isinstance(plan, str):
        return SurroundingsChoice(ways[0], (), f"{_capital(ways[0].title)}: {plan}.")
    silent = (job or Job()).telling(lambda _: None)
    predicted: dict[Surroundings, NDArray[np.float32]] = {}
    scored = np.empty(0, np.int64)
    how = replace(how, folds=plan, strength=None, copies=None)
    for seen, alike in _by_features(ways):
        tried = try_folds(features_in(some, seen), some.labels, some.class_names, how, silent)
        assert tried.held is not None
        scored = tried.held.scored
        smooth = [each for each in alike if each.smoothing]
        found = _smoothed(some, tried, smooth, silent) if smooth else []
        predicted |= {way: after for way, (after, _) in zip(smooth, found, strict=True)}
        predicted |= {way: tried.held.probabilities() for way in alike if not way.smoothing}
    said = [predicted[way].argmax(axis=1) for way in ways]
    return chosen(
        ways, said, some.labels[scored], plan.blocks[scored], len(lesson.classes), plan.how
    )


def to_judge(
    lesson: Lesson, how: FitOptions, also: NDArray[np.int64] | None = None
) -> tuple[Lesson, Folds | str]:
    """The tiles that surroundings are judged by and how these are left out, or why not.

    A class that lies in one image cannot be left out: where there are such, the others judge.

    Parameters
    ----------
    also : int64, shape (N,), optional
        Tiles that are among them whatever else is drawn.
    """
    rows = _sample(lesson, how.seed)
    if also is not None:
        rows = np.union1d(rows, also)
    specimens = None if how.specimens is None else np.asarray(how.specimens)
    some = part_of(lesson, rows)
    plan = plan_whole(some, None if specimens is None else specimens[rows])
    if isinstance(plan, Folds):
        return some, plan
    images = [np.unique(some.places.image[some.labels == n]) for n in range(len(lesson.classes))]
    rows = rows[np.array([len(found) > 1 for found in images])[some.labels]]
    fewer = part_of(lesson, rows)
    if len(np.unique(fewer.labels)) < 2 or len(rows) == len(some.labels):
        return some, plan
    again = plan_whole(fewer, None if specimens is None else specimens[rows])
    return (some, plan) if isinstance(again, str) else (fewer, again)


def plan_whole(lesson: Lesson, specimens: NDArray[np.int64] | None) -> Folds | str:
    """Leave whole specimens out, or where these are too few whole images; or say why not."""
    images = lesson.places.image
    if len(np.unique(images)) < MIN_GROUPS:
        return TOO_FEW
    names = lesson.class_names
    plan = plan_folds(lesson.labels, names, specimens=specimens, groups=images)
    if isinstance(plan, Folds):
        return plan
    return plan.removeprefix("No score can be given: ").partition(";")[0]


def _sample(lesson: Lesson, seed: int) -> NDArray[np.int64]:
    [kept] = sample_labels([lesson.labels], TILES_PER_CLASS, seed)
    return np.flatnonzero(kept != UNLABELLED)


def _by_features(ways: Sequence[Surroundings]) -> Iterator[tuple[Surroundings, list[Surroundings]]]:
    """Ways that are alike but for the smoothing, with what the features are made for."""
    groups: dict[Surroundings, list[Surroundings]] = {}
    for way in ways:
        groups.setdefault(replace(way, smoothing=0.0), []).append(way)
    yield from groups.items()


def _smoothed(
    lesson: Lesson, tried: Tried, ways: Sequence[Surroundings], job: Job
) -> list[Smoothed]:
    """Smoothed probabilities of the tiles that were held out, in ways of the same features.

    The head of each fold says what all the tiles of the images left out are, annotated or not.
    """
    held, folds = tried.held, tried.folds
    assert held is not None
    assert folds is not None
    shape = (len(lesson.labels), len(lesson.classes))
    found = [tuple(np.zeros(shape, np.float32) for _ in range(2)) for _ in ways]
    keys = np.array([key for key, _ in lesson.tiles])
    for fold, solution in zip(folds.folds, held.solutions, strict=True):
        head = with_usual(tried.basis.to_head(solution), lesson, ways[0])
        for key in np.unique(keys[fold.test]):
            job.check()
            rows = fold.test[keys[fold.test] == key]
            raw = scores_of(lesson, head, ways[0], 1.0, str(key)).raw
            grid = lesson.seen[str(key)].grid
            for way, pair in zip(ways, found, strict=True):
                for said, temperature in zip(pair, (held.temperature, 1.0), strict=True):
                    plane = PlaneScores(head, way, temperature, grid, raw).probabilities()
                    said[rows] = plane.reshape(-1, shape[1])[lesson.numbers[rows]]
    return [(after[held.scored], before[held.scored]) for after, before in found]


def chosen(
    ways: Sequence[Surroundings],
    predicted: Sequence[NDArray[np.int64]],
    truth: NDArray[np.int64],
    blocks: NDArray[np.int64],
    n_classes: int,
    how: str,
) -> SurroundingsChoice:
    """The first of some ways, unless another is clearly better on tiles that were left out.

    Parameters
    ----------
    predicted : sequence of int64, shape (N,) each
        Class that the tiles are given in each way.
    truth, blocks : int64, shape (N,)
        Their class, and the specimen or image that they lie in.
    how : str
        How they were left out, for the user.
    """
    found = [score(truth, mine, n_classes).macro_f1 for mine in predicted]
    drawn = drawn_macro_f1(predicted, truth, blocks, n_classes)
    scores = tuple(
        SurroundingsScore(way, mine, mine - found[0], float(np.std(some - drawn[0])))
        for way, mine, some in zip(ways, found, drawn, strict=True)
    )
    better = [each for each in scores if each.clearly_better]
    if not better:
        reason = f"Nothing is clearly better than {ways[0].title} {how}."
        return SurroundingsChoice(ways[0], scores, reason)
    best = max(better, key=lambda each: each.least_gain)
    reason = f"Macro-F1 {best.macro_f1:.2f} instead of {found[0]:.2f} {how}: "
    return SurroundingsChoice(best.surroundings, scores, reason + f"{best.surroundings.title}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
