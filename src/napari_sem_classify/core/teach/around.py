"""Annotated tiles with their surroundings: the features that a head is fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.head import Head
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings
from napari_sem_classify.core.teach.lesson import Lesson, part_of
from napari_sem_classify.core.teach.looked import SeenTiles
from napari_sem_classify.core.teach.turned import Copies
from napari_sem_classify.core.tiles.neighbours import AROUND, Neighbours

MIXED_SHARE = 0.5


def features_in(lesson: Lesson, surroundings: Surroundings) -> NDArray[np.float32]:
    """Features of the annotated tiles as a head with surroundings takes them.

    Returns
    -------
    float32, shape (N, features) or with context (N, 2 × features)
    """
    if surroundings == ALONE:
        return lesson.features
    size = lesson.features.shape[1] * (1 + surroundings.context)
    found = np.empty((len(lesson.labels), size), dtype=np.float32)
    usual = usual_mean(lesson) if surroundings.alignment else None
    for _, seen, rows in planes_of(lesson):
        at = seen.rows_of(lesson.numbers[rows])
        found[rows] = features_on(seen, at, surroundings, usual, lesson.features[rows])
    return found


def copies_in(lesson: Lesson, surroundings: Surroundings) -> Copies | None:
    """Copies as `features_in`: the tile is turned, its surroundings are as they are."""
    copies = lesson.copies
    if copies is None:
        return None
    alone = replace(lesson, copies=None)
    turned = replace(part_of(alone, copies.of), features=copies.features)
    return Copies(features_in(turned, surroundings), copies.of)


def features_on(
    seen: SeenTiles,
    rows: NDArray[np.int64],
    surroundings: Surroundings,
    usual: NDArray[np.float32] | None,
    own: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Features of tiles of one image or plane, as a head with surroundings takes them.

    Parameters
    ----------
    rows : int64, shape (N,)
        Of `seen`.
    usual : float32, shape (features,), or None
        From `usual_mean`, for an image without a mean of its own.
    own : float32, shape (N, features), optional
        Of the tiles themselves, where these are others than in `seen`.
    """
    found = seen.features[rows].astype(np.float32) if own is None else own
    if surroundings.context:
        found = np.concatenate([found, _beside(seen, rows, found)], axis=1)
    if surroundings.alignment:
        mean = usual if seen.mean is None else seen.mean
        assert mean is not None  # see `offered`
        level = np.tile(mean, 1 + surroundings.context)
        found = found - np.float32(surroundings.alignment) * level
    return found


def usual_mean(lesson: Lesson) -> NDArray[np.float32] | None:
    """Mean of the images, each with the weight of its annotated tiles; None where none has one."""
    known = [(seen.mean, len(rows)) for _, seen, rows in planes_of(lesson) if seen.mean is not None]
    if not known:
        return None
    means, counts = zip(*known, strict=True)
    return np.asarray(np.average(np.stack(means), axis=0, weights=counts), dtype=np.float32)


def with_usual(head: Head, lesson: Lesson, surroundings: Surroundings) -> Head:
    """The head, with the images' usual mean where it will be needed."""
    return replace(head, usual=usual_mean(lesson)) if surroundings.alignment else head


def scores_of(
    lesson: Lesson, head: Head, surroundings: Surroundings, temperature: float, key: str
) -> PlaneScores:
    """What a head says of all the tiles seen in an image or plane of the lesson."""
    seen = lesson.seen[key]
    scores = PlaneScores(head, surroundings, temperature, seen.grid)
    scores.add(seen.index, seen.features)
    return scores


def offered(lesson: Lesson, wished: tuple[Surroundings, ...]) -> tuple[Surroundings, ...]:
    """Of what is wished that which can be had from a lesson.

    Classes that are found by their presence are never smoothed away, and no mean is taken away
    where most images hold a single class: there it would be the class that is taken away.
    """
    aligned = _mixed_share(lesson) > MIXED_SHARE and usual_mean(lesson) is not None
    found = [
        replace(
            each,
            alignment=each.alignment if aligned else 0.0,
            smoothing=0.0 if lesson.presence else each.smoothing,
        )
        for each in wished
    ]
    return tuple(dict.fromkeys(found))


def _mixed_share(lesson: Lesson) -> float:
    """Share of the annotated tiles that lie in images with tiles of several classes."""
    mixed = 0
    for _, _, rows in planes_of(lesson):
        if len(np.unique(lesson.labels[rows])) > 1:
            mixed += len(rows)
    return mixed / max(1, len(lesson.labels))


def planes_of(lesson: Lesson) -> Iterator[tuple[str, SeenTiles, NDArray[np.int64]]]:
    """Key of each image or plane, what was seen in it, and the rows of its annotated tiles."""
    rows: dict[str, list[int]] = {}
    for row, (key, _) in enumerate(lesson.tiles):
        rows.setdefault(key, []).append(row)
    for key, mine in rows.items():
        yield key, lesson.seen[key], np.array(mine, dtype=np.int64)


def _beside(
    seen: SeenTiles, rows: NDArray[np.int64], own: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean features of the neighbours; a tile stands for those of its own that were not seen."""
    beside = Neighbours.on(seen.grid).of(seen.index[rows])
    total = np.zeros_like(own)
    for number in range(len(AROUND)):
        at = np.where(beside[:, number] >= 0, seen.rows_of(beside[:, number]), -1)
        there = (at >= 0)[:, None]
        total += np.where(there, seen.features[at].astype(np.float32), own)
    return total / np.float32(len(AROUND))
