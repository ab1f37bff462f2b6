"""The network looks at tiles of images, and what it saw in them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import full_plane, has_plane, plane_of, tile_numbers
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.plane_scores import FEWEST_TILES
from napari_sem_classify.core.model.recipe import STANDARD, Recipe
from napari_sem_classify.core.teach.teach_options import STAGES
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.neighbours import Neighbours
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

SMALL_TILES = 512
"""Of an image with at most so many tiles all are looked at where the surroundings count."""

SAMPLE_TILES = 256
"""Of a larger one so many, for its mean, which they give to a sixteenth of the tiles' spread."""


@dataclass(frozen=True, slots=True)
class EngineLabel:
    """What ran the network, for the record."""

    backend: str = ""
    device: str = ""
    dtype: str = ""


UNKNOWN = EngineLabel()


@dataclass(frozen=True, slots=True)
class Sight:
    """Tiles of an image, or of a plane of a stack, to look at.

    Attributes
    ----------
    key : str
        Of the image or plane, see `plane_key`.
    tiles : int64, shape (N,), increasing, or None
        Numbers of the only tiles to look at; None for all.
    sample : int64, shape (M,), or None
        Those of them whose mean stands for the image's; None for all.
    """

    key: str
    image: SemImage
    grid: TileGrid
    tiles: NDArray[np.int64] | None = None
    sample: NDArray[np.int64] | None = None

    @property
    def plane(self) -> tuple[int, ...]:
        """Along all leading axes of the image."""
        return full_plane(self.image, plane_of(self.key))

    @property
    def count(self) -> int:
        """Tiles to look at."""
        return self.grid.n_tiles if self.tiles is None else len(self.tiles)


@dataclass(frozen=True, slots=True)
class SeenTiles:
    """What the network saw in the tiles of one image, or of a plane of a stack.

    Attributes
    ----------
    index : int64, shape (N,), increasing
        Numbers of the tiles that hold data.
    features : float16 or float32, shape (N, features)
    asked : int64, shape (M,), or None
        Numbers of the tiles that were to be looked at; None for all.
    mean : float32, shape (features,), or None
        Mean of the whole image or plane; None where too few tiles say anything of it.
    """

    grid: TileGrid
    index: NDArray[np.int64]
    features: NDArray[np.float16] | NDArray[np.float32]
    engine: EngineLabel = UNKNOWN
    recipe: Recipe = STANDARD
    asked: NDArray[np.int64] | None = None
    mean: NDArray[np.float32] | None = None

    def covers(self, tiles: NDArray[np.int64] | None) -> bool:
        """Whether these tiles (None for all) were looked at, whether they hold data or not."""
        if self.asked is None:
            return True
        return tiles is not None and bool(np.isin(tiles, self.asked).all())

    def rows_of(self, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where tiles lie in `features`, -1 for those without data."""
        if not len(self.index):
            return np.full(len(tiles), -1)
        at = np.minimum(np.searchsorted(self.index, tiles), len(self.index) - 1)
        return np.where(self.index[at] == tiles, at, -1)

    def surrounded(self) -> NDArray[np.bool_]:
        """Which of the tiles have all their neighbours among those that were looked at."""
        if self.asked is None:
            return np.ones(len(self.index), dtype=np.bool_)
        beside = Neighbours.on(self.grid).of(self.index)
        return np.asarray(((beside < 0) | np.isin(beside, self.asked)).all(axis=1))

    def only(self, tiles: NDArray[np.int64]) -> SeenTiles:
        """The part about some tiles, for an image that was closed or a plane out of view.

        With what surrounds them, so that they teach as before.
        """
        tiles, _ = with_surroundings(self.grid, tiles)
        rows = np.unique(self.rows_of(tiles))
        rows = rows[rows >= 0]
        return replace(
            self,
            index=self.index[rows],
            features=self.features[rows].copy(),
            asked=tiles if self.asked is None else np.intersect1d(tiles, self.asked),
        )


def sights_of(
    annotations: Annotations,
    images: Mapping[str, SemImage],
    tile_px: int,
    stride_px: int | None = None,
    *,
    around: bool = False,
) -> list[Sight]:
    """The annotated tiles of the images that are open, as far as they lie on a grid over them.

    Images are given by their fingerprint; `stride_px` is `tile_px` where None. With `around` the
    sights take in what surrounds the tiles.
    """
    sights = []
    for each in annotations.images:
        image = images.get(each.fingerprint)
        if image is None or not each.marks or not has_plane(image, each.plane):
            continue
        grid = TileGrid(image.area, tile_px, stride_px or tile_px)
        tiles = np.array(sorted(tile_numbers(grid, each.marks).values()), dtype=np.int64)
        if not len(tiles):
            continue
        sight = Sight(each.key, image, grid, tiles, np.empty(0, np.int64))
        if around:
            wider, sample = with_surroundings(grid, tiles)
            sight = replace(sight, tiles=wider, sample=sample)
        sights.append(sight)
    return sights


def with_surroundings(
    grid: TileGrid, tiles: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tiles with their neighbours and a sample of the image; and that sample.

    The sample is drawn at random and stands for the image's mean: what was annotated does not. Of
    a small image all tiles are taken.
    """
    n_tiles = grid.n_tiles
    if n_tiles <= SMALL_TILES:
        return np.arange(n_tiles), np.arange(n_tiles)
    drawn = np.random.default_rng(0).choice(n_tiles, SAMPLE_TILES, replace=False)
    sample = np.sort(drawn).astype(np.int64)
    beside = Neighbours.on(grid).of(tiles)
    return np.unique(np.concatenate([tiles, beside[beside >= 0], sample])), sample


def look(
    sight: Sight,
    recipe: Recipe,
    engine: Engine,
    job: Job | None = None,
    *,
    cached: bool = False,
    dense: bool = False,
) -> SeenTiles:
    """Let the network see tiles.

    Parameters
    ----------
    cached : bool
        Ask the cache first and fill it. Features are then rounded to float16, as it keeps them: a
        second look gives the same as the first.
    dense : bool
        The network runs over blocks of the image, see `network.dense`.

    Raises
    ------
    ImageError
        When the image cannot be read, or none of the tiles holds data.
    Cancelled
        When the job was asked to stop.
    """
    from napari_sem_classify.core.network.backbone import backbone_sha256
    from napari_sem_classify.core.network.embedding_cache import EmbeddingCache, network_key
    from napari_sem_classify.core.network.features import KnownFeatures, embed_image

    grid = sight.grid
    tiles = np.arange(grid.n_tiles) if sight.tiles is None else sight.tiles
    keep = np.isin(np.arange(grid.n_tiles), tiles).reshape(grid.tile_shape)
    sha256 = backbone_sha256(recipe.backbone_id)
    network = network_key(recipe.backbone_id, sha256, STAGES, recipe.network_px)
    features = embed_image(
        PlaneTiles(sight.image, grid, keep, sight.plane),
        engine,
        recipe.intensity,
        job=job,
        known=KnownFeatures(EmbeddingCache(), network) if cached else None,
        dense=dense,
    )
    has_data = ~np.isnan(features).any(axis=1)
    kept = features if has_data.all() else features[has_data]
    seen = kept.astype(np.float16) if cached else kept
    label = EngineLabel(engine.backend, engine.device, engine.dtype)
    found = SeenTiles(grid, tiles[has_data], seen, label, recipe, sight.tiles)
    return replace(found, mean=_mean(found, sight.sample))


def _mean(seen: SeenTiles, sample: NDArray[np.int64] | None) -> NDArray[np.float32] | None:
    rows = np.arange(len(seen.index)) if sample is None else seen.rows_of(sample)
    rows = rows[rows >= 0]
    if len(rows) < FEWEST_TILES:
        return None
    return np.asarray(seen.features[rows].mean(axis=0, dtype=np.float64), dtype=np.float32)


def look_at_all(
    sights: Sequence[Sight], recipe: Recipe, engine: Engine, job: Job | None, dense: bool = False
) -> dict[str, SeenTiles]:
    """Let the network see tiles of several images, as `look`; the job is told of them as one."""
    job, total = job or Job(), sum(sight.count for sight in sights)
    start, done = time.perf_counter(), 0
    seen = {}
    for sight in sights:

        def tell(reading: Progress, before: int = done) -> None:
            elapsed = time.perf_counter() - start
            job.tell(replace(reading, done=before + reading.done, total=total, elapsed_s=elapsed))

        seen[sight.key] = look(sight, recipe, engine, job.telling(tell), dense=dense)
        done += sight.count
    return seen
