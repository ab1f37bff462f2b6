"""A head at once and its score soon after: what happens after each stroke."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.place import TilePlace, is_of, place_of
from napari_sem_classify.core.classify.judgement import judgement_on
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.maps.class_map import ClassMap, tiles_to_cells
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.transfer import LEARNED_HERE, Judgement
from napari_sem_classify.core.teach import lesson_fit
from napari_sem_classify.core.teach.around import offered
from napari_sem_classify.core.teach.copies_choice import choose_copies
from napari_sem_classify.core.teach.head_fit import FitOptions, Taught
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.looked import SeenTiles, Sight
from napari_sem_classify.core.teach.rise import Rise
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.core.teach.transfer import with_judgement

TAUGHT = "taught in this window"
NO_DATA = "The annotated tiles hold no data: annotate others."

View = tuple[Sight, SeenTiles]
"""The image, or the plane of a stack, that a map is drawn of, and what was seen in it."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a fit gave.

    Attributes
    ----------
    tile_probabilities : float32, shape (tile rows, tile cols, classes), or None
        Of the image in view.
    class_map : ClassMap or None
        The same as a map, without corrections.
    judgement : Judgement or None
        Whether the model holds on the image in view; None before the score.
    rise : Rise or None
        What its tiles changed, where a model of a file is taught further.
    seconds : float
        Until the first map: what the user waits for; the score comes after it.
    scored : bool
        Whether `taught` went through the cross-validation.
    """

    taught: Taught
    lesson: Lesson
    tile_probabilities: NDArray[np.float32] | None = None
    class_map: ClassMap | None = None
    judgement: Judgement | None = None
    rise: Rise | None = None
    seconds: float = 0.0
    scored: bool = False


def learn(
    lesson_of: Callable[[], Lesson],
    view: View | None,
    options: TeachOptions,
    job: Job,
    on_first: Callable[[Learned], None],
) -> Learned:
    """Fit at once with a known strength and tell that; then score and fit for good.

    `lesson_of` gathers what is to be learned, `view` is drawn a map of, `options` hold the strength
    and temperature of the fit before, and `on_first` is told what the first fit gave.

    Raises
    ------
    AnnotationError
        When fewer than two classes have tiles with data.
    Cancelled
        When the job was asked to stop.
    """
    start = time.perf_counter()
    lesson = lesson_of()
    if len(set(lesson.labels.tolist())) < 2:
        raise AnnotationError(NO_DATA)
    known = FitOptions(strength=options.strength)
    before = offered(lesson, (options.before,))[0]
    quick = lesson_fit.teach_lesson(lesson, before, known)
    first = learned_on(replace(quick, temperature=options.temperature), lesson, view)
    first = replace(first, seconds=time.perf_counter() - start)
    on_first(first)
    job.check()
    taught = fit(lesson, options, job)
    final = learned_on(taught, lesson, view)
    return replace(final, seconds=first.seconds, scored=True)


def fit(lesson: Lesson, options: TeachOptions, job: Job | None = None) -> Taught:
    """Fit the head of a lesson, with its surroundings, score and judgement of other specimens.

    Raises
    ------
    AnnotationError, Cancelled
        As `teach_head` does.
    """
    how = FitOptions(
        lesson.places.image, lesson.places, seed=options.seed, specimens=lesson.specimen_numbers
    )
    told = None
    if lesson.copies is not None and options.weigh_turned:
        told = choose_copies(lesson, how, job)
        lesson = lesson if told.used else replace(lesson, copies=None)
    taught = lesson_fit.fit_lesson(lesson, options.surroundings, how, job)
    return replace(with_judgement(lesson, taught, options.seed, job), copies=told)


def suggest_places(
    seen: SeenTiles,
    reduced: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32] | None,
    n: int,
    learned: int = 0,
) -> tuple[NDArray[np.float32], list[TilePlace]]:
    """Which tiles of an image to annotate next, at most `n`, and `reduced` for the next call.

    Parameters
    ----------
    seen : SeenTiles
        Of all tiles.
    reduced : float32, shape (N, components), or None
        From the last call for the same image.
    labels : int64, shape ``grid.tile_shape``
    probabilities : float32, shape (tile rows, tile cols, classes), or None
    learned : int
        Tiles that the model of these probabilities learned from.
    """
    from napari_sem_classify.core.teach.axes import reduce_features
    from napari_sem_classify.core.teach.suggest import suggest_tiles

    points = reduce_features(seen.features) if reduced is None else reduced
    sure = None
    if probabilities is not None:
        sure = probabilities.reshape(-1, probabilities.shape[-1])[seen.index]
    cols = seen.grid.tile_shape[1]
    chosen = seen.index[suggest_tiles(points, labels.ravel()[seen.index], sure, n, learned=learned)]
    return points, [place_of(seen.grid, int(tile) // cols, int(tile) % cols) for tile in chosen]


def tile_probabilities(taught: Taught, seen: SeenTiles) -> NDArray[np.float32]:
    """Probabilities of all tiles, shape (tile rows, tile cols, classes), NaN without data."""
    return scores_on_view(taught, seen).probabilities()


def scores_on_view(taught: Taught, seen: SeenTiles) -> PlaneScores:
    """What a head and those of its stages say of all tiles that were seen."""
    how = taught.surroundings, taught.temperature
    scores = PlaneScores(taught.head, *how, seen.grid, stages=taught.stages)
    scores.add(seen.index, seen.features)
    return scores


def learned_on(
    taught: Taught, lesson: Lesson, view: View | None, scores: PlaneScores | None = None
) -> Learned:
    """What was taught, with the map and the judgement of the image in view.

    `scores` are those of the view where they are known.
    """
    if view is None:
        return Learned(taught, lesson)
    sight, seen = view
    grid = seen.grid
    scores = scores or scores_on_view(taught, seen)
    tiles = scores.probabilities()
    judgement = None
    if taught.transfer is not None:
        here = any(is_of(sight.key, key) for key in lesson.keys)
        judgement = LEARNED_HERE if here else judgement_on(scores, taught.transfer)
    counts = dict(zip(lesson.class_names, lesson.counts.tolist(), strict=True))
    class_map = ClassMap(
        probabilities=tiles_to_cells(grid, tiles),
        grid=grid,
        classes=lesson.classes,
        pixel_size_nm=sight.image.pixel_size_nm,
        image_name=sight.image.name,
        plane=sight.plane,
        record={
            "job": "teach",
            "model": {"name": TAUGHT, "kind": "taught"},
            "annotated_tiles": counts,
            "tiles": {
                "in_grid": grid.n_tiles,
                "classified": len(seen.index),
                "left_out": grid.n_tiles - len(seen.index),
            },
        },
    )
    return Learned(taught, lesson, tiles, class_map, judgement)
