"""Tiles of an image in, their features out: from the network or from the cache."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.intensity import IntensityRange, IntensityRecipe
from napari_sem_classify.core.network.dense import TileFeatures, embed_densely
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache, as_kept, features_key
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.tile_source import read_cuts, read_tiles, travel_range

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine
    from napari_sem_classify.core.network.readout import Readout

FeatureSink = Callable[[NDArray[np.int64], NDArray[Any]], None]


@dataclass(frozen=True, slots=True)
class KnownFeatures:
    """Where the features that a network gives are looked up and kept, in float16.

    `network` says which network it is, from `engines.network_of` or `network_key`.
    """

    cache: EmbeddingCache
    network: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What may be read off features in place of taking them, and who is given it.

    `sink` is given the tiles' numbers and the readout's, float32 of shape (N, `readout.width`).
    """

    readout: Readout
    sink: FeatureSink


def embed_image(
    tiles: PlaneTiles,
    engine: Engine,
    intensity: IntensityRecipe,
    *,
    job: Job | None = None,
    known: KnownFeatures | None = None,
    dense: bool = False,
) -> NDArray[np.float32]:
    """Features of the tiles that are kept, for teaching.

    The job is told and checked once per batch; for `dense` see `embed_densely`.

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
    reporter = tiles.reporter("Looking at tiles", job)
    tiles = tiles.seen_by(intensity).in_memory()
    n_tiles = tiles.grid.n_tiles
    kept = np.arange(n_tiles) if tiles.keep is None else np.flatnonzero(tiles.keep)
    features = np.full((len(kept), engine.feature_size), np.nan, dtype=np.float32)
    place = np.full(n_tiles, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    done = 0

    def sink(index: NDArray[np.int64], some: NDArray[Any]) -> None:
        nonlocal done
        features[place[index]] = some
        done += len(index)

    features_to(tiles, engine, tiles.measure(intensity), sink, reporter, known, dense)
    if not done:
        raise tiles.none_left()
    return features


def features_to(
    tiles: PlaneTiles,
    engine: Engine,
    intensity: IntensityRange,
    sink: FeatureSink,
    reporter: Reporter,
    known: KnownFeatures | None = None,
    dense: bool = False,
    reading: Reading | None = None,
) -> bool:
    """Give every kept tile's features to `sink`, batch by batch.

    Parameters
    ----------
    intensity : IntensityRange
        As measured on this plane.
    sink : callable
        Given the tiles' numbers, int64 of shape (N,), and their features, float32 or, where they
        are looked up or kept, float16, of shape (N, features).
    reporter : Reporter
        From `PlaneTiles.reporter`; advanced by the tiles read, empty ones included.
    reading : Reading, optional
        Used in place of `sink` where the device reads it off faster and nothing is kept.

    Returns
    -------
    bool
        Whether they, or some of them, came from the cache: a run that was cancelled goes on where
        it stopped.
    """
    writer, some_known = None, False
    if known is not None:
        key = features_key(tiles, intensity, known.network, engine, dense)
        if key is not None:
            keep = tiles.keep
            wanted = np.ones(tiles.grid.n_tiles, np.bool_) if keep is None else keep.ravel()
            left = _from_cache(known.cache, key, wanted, sink, reporter, whole=dense)
            if not left.any():
                return True
            some_known = bool((left != wanted).any())
            if some_known:
                tiles = replace(tiles, keep=left.reshape(tiles.grid.tile_shape))
            to_do = None if dense else left
            writer = known.cache.writer(key, engine.feature_size, reporter.total, to_do)
    if dense:
        done = embed_densely(tiles, engine, intensity)
    elif engine.stream is None:
        done = _embed_tiles(tiles, engine, intensity)
    elif writer is None and reading is not None and engine.stream.reads_off:
        done, sink = _streamed(tiles, engine, intensity, reading.readout), reading.sink
    else:
        kind = np.float32 if writer is None else np.float16
        done = _streamed(tiles, engine, intensity, kind)
    with closing(done), writer or nullcontext():
        for some in done:
            # As they come out of the cache, so that a run and its repetition see the same.
            kept = None if writer is None else as_kept(some.features)
            if len(some.index):
                sink(some.index, some.features if kept is None else kept)
            if writer is not None:
                writer.add(some.index, kept, some.empty)
            reporter.advance(len(some.index) + len(some.empty))
    return some_known


def is_known(
    tiles: PlaneTiles,
    engine: Engine,
    intensity: IntensityRecipe,
    cache: EmbeddingCache,
    network: str,
) -> bool:
    """Whether the cache has what an engine would give of all kept tiles, one by one.

    Raises
    ------
    ImageError
        When the image cannot be read.
    """
    tiles = tiles.seen_by(intensity)
    key = features_key(tiles, tiles.measure(intensity), network, engine)
    if key is None:
        return False
    wanted = np.arange(tiles.grid.n_tiles) if tiles.keep is None else np.flatnonzero(tiles.keep)
    with cache.find(key) as entry:
        return entry is not None and entry.knows(wanted)


def _embed_tiles(
    tiles: PlaneTiles, engine: Engine, intensity: IntensityRange
) -> Generator[TileFeatures, None, None]:
    image, plane = tiles.source
    travelled = travel_range(image, intensity)
    size = engine.batch_size
    batches = read_tiles(image, tiles.grid, intensity, size, keep=tiles.keep, plane=plane)
    with closing(batches):
        for batch in batches:
            if len(batch.index):
                features = engine.embed(batch.pixels, travelled)
            else:
                features = np.empty((0, engine.feature_size), np.float32)
            yield TileFeatures(batch.index, features, batch.empty)


def _streamed(
    tiles: PlaneTiles, engine: Engine, intensity: IntensityRange, wanted: Any
) -> Generator[TileFeatures, None, None]:
    assert engine.stream is not None
    image, plane = tiles.source
    size = engine.batch_size
    batches = read_cuts(image, tiles.grid, intensity, size, keep=tiles.keep, plane=plane)
    return engine.stream(batches, travel_range(image, intensity), wanted)


def _from_cache(
    cache: EmbeddingCache,
    key: str,
    wanted: NDArray[np.bool_],
    sink: FeatureSink,
    reporter: Reporter,
    *,
    whole: bool,
) -> NDArray[np.bool_]:
    """Give what is known of the wanted tiles to `sink`; gives the tiles that are left to look at.

    With `whole` all are known or none: blocks of a fine map are looked at as wholes.
    """
    left = wanted.copy()
    with cache.find(key) as entry:
        if entry is None:
            return left
        left[entry.index] = left[entry.empty] = False
        if whole and left.any():
            return wanted
        for index, features in entry.blocks():
            mine = wanted[index]
            if mine.all():
                sink(index, features)
            elif mine.any():
                sink(index[mine], features[mine])
            reporter.check()
    reporter.advance(int(np.count_nonzero(wanted)) - int(np.count_nonzero(left)))
    return left
