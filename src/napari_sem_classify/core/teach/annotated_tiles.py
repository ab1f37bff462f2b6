"""Annotated tiles of several images, and what the network sees in them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.teach.folds import TilePlaces
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine


@dataclass(frozen=True, slots=True)
class AnnotatedTiles:
    """The annotated tiles of one image, or of one plane of a stack.

    Attributes
    ----------
    image : SemImage
    grid : TileGrid
    labels : int64, shape ``grid.tile_shape``
        Class of each tile, `UNLABELLED` for the others.
    plane : tuple of int
        Index along the leading axes of a stack; () for its first plane.
    """

    image: SemImage
    grid: TileGrid
    labels: NDArray[np.int64]
    plane: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Annotated tiles."""
        return int(np.count_nonzero(self.labels != UNLABELLED))

    def counts(self, n_classes: int) -> NDArray[np.int64]:
        """Annotated tiles of each class, shape (n_classes,)."""
        some = self.labels[self.labels != UNLABELLED]
        return np.bincount(some, minlength=n_classes).astype(np.int64)


def sample_tiles(
    annotated: Sequence[AnnotatedTiles], most: int, seed: int = 0
) -> list[AnnotatedTiles]:
    """At most `most` random tiles of each class, over all images."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.empty(0, np.int64), *(each.labels.ravel() for each in annotated)])
    for index in np.unique(labels[labels != UNLABELLED]):
        mine = np.flatnonzero(labels == index)
        if len(mine) > most:
            kept = generator.choice(mine, most, replace=False)
            labels[np.setdiff1d(mine, kept)] = UNLABELLED
    ends = np.cumsum([each.labels.size for each in annotated])[:-1]
    return [
        replace(each, labels=part.reshape(each.labels.shape))
        for part, each in zip(np.split(labels, ends), annotated, strict=True)
    ]


def embed_annotated(
    annotated: Sequence[AnnotatedTiles],
    engine: Engine,
    intensity: IntensityRecipe,
    job: Job | None = None,
    dense: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.int64], TilePlaces]:
    """Let the network see annotated tiles; those without data are dropped.

    With `dense` the network runs over blocks of the images, see `network.dense`.

    Returns
    -------
    features : float32, shape (N, features)
    labels : int64, shape (N,)
    places : TilePlaces
        With the place in `annotated` as the image's number; planes of one stack have the number of
        the first of them, so that a block of a split takes the same place of all planes.

    Raises
    ------
    ImageError
        When an image cannot be read.
    Cancelled
        When the job was asked to stop.
    """
    from napari_sem_classify.core.network.features import embed_image

    job = job or Job()
    total = sum(each.count for each in annotated)
    start = time.perf_counter()
    features, labels, images, ys, xs = [], [], [], [], []
    done = 0
    for each in annotated:
        keep = each.labels != UNLABELLED
        if not keep.any():
            continue
        before = done

        def tell(reading: Progress, before: int = before) -> None:
            elapsed = time.perf_counter() - start
            job.tell(replace(reading, done=before + reading.done, total=total, elapsed_s=elapsed))

        mine = embed_image(
            each.image,
            each.grid,
            engine,
            intensity,
            keep=keep,
            plane=each.plane or (0,) * len(each.image.leading_shape),
            job=job.telling(tell),
            dense=dense,
        )
        done += each.count
        rows, cols = np.nonzero(keep)
        has_data = ~np.isnan(mine).any(axis=1)
        features.append(mine[has_data])
        labels.append(each.labels[keep][has_data])
        image = next(at for at, other in enumerate(annotated) if other.image is each.image)
        images.append(np.full(int(has_data.sum()), image, dtype=np.int64))
        ys.append(each.grid.row_starts()[rows][has_data])
        xs.append(each.grid.col_starts()[cols][has_data])
    places = TilePlaces(
        np.concatenate(images),
        np.concatenate(ys),
        np.concatenate(xs),
        annotated[0].grid.tile,
        any(each.plane for each in annotated),
    )
    return np.concatenate(features), np.concatenate(labels), places
