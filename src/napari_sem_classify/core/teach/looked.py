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
from napari_sem_classify.core.model.recipe import STANDARD, Recipe
from napari_sem_classify.core.teach.teach_options import STAGES
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine


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
    """

    key: str
    image: SemImage
    grid: TileGrid
    tiles: NDArray[np.int64] | None = None

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
    """

    grid: TileGrid
    index: NDArray[np.int64]
    features: NDArray[np.float16] | NDArray[np.float32]
    engine: EngineLabel = UNKNOWN
    recipe: Recipe = STANDARD
    asked: NDArray[np.int64] | None = None

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

    def only(self, tiles: NDArray[np.int64]) -> SeenTiles:
        """The part about some tiles, for an image that was closed or a plane out of view."""
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
) -> list[Sight]:
    """The annotated tiles of the images that are open, as far as they lie on a grid over them.

    Images are given by their fingerprint; `stride_px` is `tile_px` where None.
    """
    sights = []
    for each in annotations.images:
        image = images.get(each.fingerprint)
        if image is None or not each.marks or not has_plane(image, each.plane):
            continue
        grid = TileGrid(image.area, tile_px, stride_px or tile_px)
        tiles = sorted(tile_numbers(grid, each.marks).values())
        if tiles:
            sights.append(Sight(each.key, image, grid, np.array(tiles, dtype=np.int64)))
    return sights


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
    return SeenTiles(grid, tiles[has_data], seen, label, recipe, sight.tiles)


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
