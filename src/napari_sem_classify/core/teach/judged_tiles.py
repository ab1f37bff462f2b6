"""Tiles by which a model is judged on other specimens: a sample of those of a lesson's images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.surroundings import Surroundings
from napari_sem_classify.core.teach.around import copies_in, features_on, planes_of, usual_mean
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.turned import Copies

MIN_TILES = 10
"""Annotated tiles of an image whose accuracy says anything."""
MOST_TILES, MOST_OF_IMAGE = 4000, 512
"""That are looked at in all images and in each of them: annotated ones, and as many of any kind."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Tiles with what the head looks at.

    Attributes
    ----------
    features : float, shape (N, features)
    labels : int64, shape (N,)
        -1 where a tile is not annotated: it counts for the signs, not for the accuracy.
    image : int64, shape (N,)
        Number of the image.
    specimen : int64, shape (N,)
        Number of the specimen.
    drawn : bool, shape (N,), or None
        Which tiles stand for their image; None for all.
    own : float, shape (N, features of a tile), or None
        What the network saw in the tile itself; `features` where None.
    copies : tuple of (Copies, float32 of shape (M, features of a tile)), or None
        Of some of the tiles, as the head takes them and in themselves: learned from, never judged.
    """

    features: NDArray[Any]
    labels: NDArray[np.int64]
    image: NDArray[np.int64]
    specimen: NDArray[np.int64]
    drawn: NDArray[np.bool_] | None = None
    own: NDArray[Any] | None = None
    copies: tuple[Copies, NDArray[np.float32]] | None = None

    def with_copies(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Features, own features, labels and specimens of the tiles, behind them of copies."""
        features = self.features.astype(np.float32, copy=False)
        own = features if self.own is None else self.own.astype(np.float32, copy=False)
        if self.copies is None:
            return features, own, self.labels, self.specimen
        copies, theirs = self.copies
        return (
            np.concatenate([features, copies.features]),
            np.concatenate([own, theirs]),
            np.append(self.labels, self.labels[copies.of]),
            np.append(self.specimen, self.specimen[copies.of]),
        )


def seen_of(lesson: Lesson, surroundings: Surroundings, seed: int = 0) -> Seen:
    """A sample of the tiles of a lesson's images: annotated ones, and others that were seen.

    The signs are taken from all kinds of tiles, as in an image without annotations: where two
    classes meet, the heads agree less.
    """
    generator = np.random.default_rng(seed)
    planes = list(planes_of(lesson))
    usual = usual_mean(lesson) if surroundings.alignment else None
    most = min(MOST_OF_IMAGE, max(2 * MIN_TILES, MOST_TILES // max(1, len(planes))))
    features, own, labels, images, specimens, drawn = [], [], [], [], [], []
    count, place = 0, np.full(len(lesson.labels), -1, dtype=np.int64)
    for _, seen, rows in planes:
        at = seen.rows_of(lesson.numbers[rows])
        known = np.full(len(seen.index), -1, dtype=np.int64)
        known[at] = lesson.labels[rows]
        told = np.flatnonzero(known >= 0)
        whole = seen.surrounded() if surroundings.context else np.ones(len(known), np.bool_)
        any_kind = some_of(np.flatnonzero(whole | (known >= 0)), most, generator)
        mine = np.union1d(some_of(told, most, generator), any_kind)
        here = np.isin(at, mine)
        place[rows[here]] = count + np.searchsorted(mine, at[here])
        count += len(mine)
        features.append(features_on(seen, mine, surroundings, usual))
        own.append(seen.features[mine])
        labels.append(known[mine])
        drawn.append(np.isin(mine, any_kind))
        images.append(np.full(len(mine), lesson.places.image[rows[0]]))
        specimens.append(np.full(len(mine), lesson.specimen_numbers[rows[0]]))
    return Seen(
        np.concatenate(features),
        np.concatenate(labels),
        np.concatenate(images),
        np.concatenate(specimens),
        np.concatenate(drawn),
        np.concatenate(own),
        _copies(lesson, surroundings, place),
    )


def _copies(
    lesson: Lesson, surroundings: Surroundings, place: NDArray[np.int64]
) -> tuple[Copies, NDArray[np.float32]] | None:
    """Copies of the tiles that have a `place` in the sample."""
    own, turned = lesson.copies, copies_in(lesson, surroundings)
    if own is None or turned is None:
        return None
    of = place[own.of]
    kept = of >= 0
    return Copies(turned.features[kept], of[kept]), own.features[kept]


def some_of(
    numbers: NDArray[np.int64], most: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """At most so many of some numbers, at random, in order."""
    if len(numbers) <= most:
        return numbers
    return np.sort(generator.choice(numbers, most, replace=False))
