"""An image and a grid in, the features of its tiles out: from the network or from the cache."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.intensity import IntensityRange, IntensityRecipe, measure_range
from napari_sem_classify.core.image.sem_image import SemImage, hold_plane
from napari_sem_classify.core.network.dense import TileFeatures, embed_densely
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_source import (
    CutBatch,
    TileBatch,
    read_cuts,
    read_tiles,
    travel_range,
)

if TYPE_CHECKING:
    from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
    from napari_sem_classify.core.network.engine.base import CuttingEngine, Engine

FeatureSink = Callable[[NDArray[np.int64], NDArray[Any]], None]


def embed_image(
    image: SemImage,
    grid: TileGrid,
    engine: Engine,
    intensity: IntensityRecipe,
    *,
    keep: NDArray[np.bool_] | None = None,
    plane: tuple[int, ...] = (),
    job: Job | None = None,
    cache: EmbeddingCache | None = None,
    network: str | None = None,
    dense: bool = False,
) -> NDArray[np.float32]:
    """Features of the tiles that are kept, for teaching.

    Parameters
    ----------
    image, grid, engine, keep, plane, job
        As for `classify_image`.
    intensity : IntensityRecipe
    cache : EmbeddingCache, optional
        Where features are looked up and kept, in float16.
    network : str, optional
        Which network the engine runs, from `embedding_cache.network_of` or `network_key`; without
        it the cache is not used.
    dense : bool
        See `embed_densely`.

    Returns
    -------
    float32, shape (n_kept, features)
        In the grid's order, row by row; NaN for kept tiles that hold no data.

    Raises
    ------
    ImageError
        When the image cannot be read or no tile is left.
    Cancelled
        When the job was asked to stop.
    """
    reporter = tile_reporter(grid, keep, "Looking at tiles", job)
    held = hold_plane(image, plane)
    measured = measure_in(held, image, intensity, plane)
    kept = np.arange(grid.n_tiles) if keep is None else np.flatnonzero(keep)
    features = np.full((len(kept), engine.feature_size), np.nan, dtype=np.float32)
    place = np.full(grid.n_tiles, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    done = 0

    def sink(index: NDArray[np.int64], some: NDArray[Any]) -> None:
        nonlocal done
        features[place[index]] = some
        done += len(index)

    features_to(
        image, grid, engine, measured, sink, reporter, keep, plane, cache, network, held, dense
    )
    if not done:
        raise no_tiles(image)
    return features


def measure_in(
    held: SemImage | None, image: SemImage, recipe: IntensityRecipe, plane: tuple[int, ...]
) -> IntensityRange:
    """Measure the range of a plane, in memory where it is held there."""
    return measure_range(image, recipe, plane) if held is None else measure_range(held, recipe)


def features_to(
    image: SemImage,
    grid: TileGrid,
    engine: Engine,
    intensity: IntensityRange,
    sink: FeatureSink,
    reporter: Reporter,
    keep: NDArray[np.bool_] | None,
    plane: tuple[int, ...],
    cache: EmbeddingCache | None,
    network: str | None,
    held: SemImage | None = None,
    dense: bool = False,
) -> bool:
    """Give every kept tile's features to `sink`, batch by batch.

    Parameters
    ----------
    image, grid, engine, keep, plane, cache, network
        As for `embed_image`.
    intensity : IntensityRange
        As measured on this plane.
    sink : callable
        Given the tiles' numbers, int64 of shape (N,), and their features, float32 or from the cache
        float16, of shape (N, features).
    reporter : Reporter
        From `tile_reporter`; advanced by the tiles read, empty ones included.
    held : SemImage, optional
        The plane in memory, from `hold_plane`.
    dense : bool
        Whether the network runs over blocks instead of tiles, see `embed_densely`.

    Returns
    -------
    bool
        Whether they came from the cache.
    """
    writer = None
    if cache is not None and network is not None:
        from napari_sem_classify.core.network.embedding_cache import features_key

        key = features_key(image, plane, grid, intensity, network, engine, held, dense)
        if key is not None:
            wanted = np.ones(grid.n_tiles, np.bool_) if keep is None else keep.ravel()
            if _from_cache(cache, key, wanted, sink, reporter):
                return True
            writer = cache.writer(key, engine.feature_size, reporter.total)
    source, place = (image, plane) if held is None else (held, ())
    make = embed_densely if dense else _embed_tiles
    done = make(source, grid, engine, intensity, keep=keep, plane=place)  # type: ignore[arg-type]
    with closing(done), writer or nullcontext():
        for some in done:
            if len(some.index):
                sink(some.index, some.features)
            if writer is not None:
                writer.add(some.index, some.features, some.empty)
            reporter.advance(len(some.index) + len(some.empty))
    return False


def _embed_tiles(
    image: SemImage,
    grid: TileGrid,
    engine: Engine,
    intensity: IntensityRange,
    *,
    keep: NDArray[np.bool_] | None = None,
    plane: tuple[int, ...] = (),
) -> Generator[TileFeatures, None, None]:
    travelled = travel_range(image, intensity)
    # Where the device has memory of its own, it cuts the tiles itself.
    read: Any = read_cuts if getattr(engine, "cuts", False) else read_tiles
    batches = read(image, grid, intensity, engine.batch_size, keep=keep, plane=plane)
    with closing(batches):
        for batch in batches:
            features = np.empty((0, engine.feature_size), np.float32)
            if len(batch.index):
                features = _seen(batch, engine, travelled)
            yield TileFeatures(batch.index, features, batch.empty)


def _seen(
    batch: TileBatch | CutBatch, engine: Engine, intensity: IntensityRange
) -> NDArray[np.float32]:
    """What an engine sees in tiles, the range in units of the batch."""
    if isinstance(batch, CutBatch):
        return cast("CuttingEngine", engine).embed_cuts(batch.cuts, batch.tile, intensity)
    return engine.embed(batch.pixels, intensity)


def _from_cache(
    cache: EmbeddingCache,
    key: str,
    wanted: NDArray[np.bool_],
    sink: FeatureSink,
    reporter: Reporter,
) -> bool:
    with cache.find(key, np.flatnonzero(wanted)) as entry:
        if entry is None:
            return False
        for index, features in entry.blocks():
            mine = wanted[index]
            if mine.all():
                sink(index, features)
            elif mine.any():
                sink(index[mine], features[mine])
            reporter.check()
    reporter.advance(reporter.total)
    return True


def tile_reporter(
    grid: TileGrid,
    keep: NDArray[np.bool_] | None,
    stage: str,
    job: Job | None,
) -> Reporter:
    """Count the kept tiles of a grid; raises `Cancelled` where the wish came before the start."""
    if keep is not None and keep.shape != grid.tile_shape:
        raise ValueError(f"keep has shape {keep.shape}, not {grid.tile_shape}")
    total = grid.n_tiles if keep is None else int(np.count_nonzero(keep))
    reporter = Reporter(total, stage, job)
    reporter.check()
    return reporter


def no_tiles(image: SemImage) -> ImageError:
    """Word the problem of an image without a tile to look at."""
    return ImageError(
        f"{image.name} has no tile left to classify: its tiles hold no data or were all left out."
    )
