"""Annotated tiles as they would look with other settings of the microscope.

Operators turn brightness, contrast and focus from one session to the next. The stretch over the
image's range takes brightness and contrast back; the curve of the grey values (gamma), the focus
and the noise remain. A head that is taught on such copies too does not hold on to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import tile_numbers
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.intensity import IntensityRange, stretch_to_uint8
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.teach.looked import SeenTiles, Sight
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.tile_source import read_tiles, travel_range

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

N_COPIES = 4
"""Of each tile: darker, brighter, out of focus, noisier."""

DARKER, BRIGHTER = (1.1, 1.7), (0.6, 0.9)
"""Range of the exponent of grey values from 0 to 1."""
BLUR_PX = (0.6, 1.3)
"""Range of the standard deviation of the blur, in pixels of the image."""
NOISE = (0.02, 0.15)
"""Range of the noise of a white pixel, of 1; darker ones have less, as counted electrons do. The
stretch of a flat image makes much of little noise."""
GAIN, OFFSET = (0.85, 1.2), (-0.08, 0.08)
"""What the stretch does not take back, as it is measured on other content."""

MOST_COPIED = 200
"""Tiles that get copies, the same number of each class: seconds for the network and the fit."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of annotated tiles: learned from where their tile is, never scored.

    Attributes
    ----------
    features : float32, shape (M, features)
    of : int64, shape (M,)
        Number of the tile of each.
    """

    features: NDArray[np.float32]
    of: NDArray[np.int64]

    @classmethod
    def joined(cls, several: Sequence[Copies]) -> Copies | None:
        """Those of several images; None where there are none."""
        some = [each for each in several if len(each.of)]
        if not some:
            return None
        features = np.concatenate([each.features for each in some])
        return cls(features, np.concatenate([each.of for each in some]))


@dataclass(frozen=True, slots=True)
class CopiesChoice:
    """Whether copies are learned from, and why.

    Attributes
    ----------
    used : bool
    reason : str
        One sentence for the user.
    gain, turned_gain : float or None
        In macro-F1 by the copies, on tiles that were left out: as they are, and turned.
    """

    used: bool
    reason: str
    gain: float | None = None
    turned_gain: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a model's record."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SeenCopies:
    """What the network saw in the copies of some tiles of an image or plane.

    Attributes
    ----------
    index : int64, shape (N,), increasing
        Numbers of the tiles.
    features : float16, shape (N, copies, features)
    """

    grid: TileGrid
    recipe: Recipe
    index: NDArray[np.int64]
    features: NDArray[np.float16]

    def joined(self, other: SeenCopies) -> SeenCopies:
        """These and those of other tiles."""
        index = np.concatenate([self.index, other.index])
        order = np.argsort(index)
        features = np.concatenate([self.features, other.features])[order]
        return SeenCopies(self.grid, self.recipe, index[order], features)

    def of(self, seen: SeenTiles, tiles: NDArray[np.int64], first: int) -> Copies:
        """The copies of some tiles that were seen, which a lesson counts from `first` on."""
        n_copies, size = self.features.shape[1:]
        if (self.grid, self.recipe) != (seen.grid, seen.recipe):
            return Copies(np.empty((0, size), np.float32), np.empty(0, np.int64))
        known = np.flatnonzero(np.isin(tiles, self.index))
        at = np.searchsorted(self.index, tiles[known])
        features = self.features[at].astype(np.float32).reshape(-1, size)
        return Copies(features, np.repeat(first + known, n_copies))


def look_at_missing(
    annotations: Annotations,
    sights: Sequence[Sight],
    known: Mapping[str, SeenCopies],
    recipe: Recipe,
    engine_of: Callable[[], Engine],
    job: Job | None = None,
) -> dict[str, SeenCopies]:
    """Let the network see the copies that are not known yet.

    At most `MOST_COPIED` tiles get copies, as many of each class; which of a class with more does
    not change while others are annotated.

    Parameters
    ----------
    sights : sequence of Sight
        Annotated tiles, see `sights_of`.
    known : {key of the image or plane: SeenCopies}
    engine_of : callable
        Gives the engine, where one is needed.

    Returns
    -------
    {key: SeenCopies}
        What is known now.

    Raises
    ------
    ImageError, DeviceError, Cancelled
        See `look`.
    """
    found = dict(known)
    for sight, tiles in zip(sights, _copied(annotations, sights), strict=True):
        mine = found.get(sight.key)
        if mine is not None and (mine.grid, mine.recipe) != (sight.grid, recipe):
            mine = None
        lacking = tiles if mine is None else np.setdiff1d(tiles, mine.index)
        if len(lacking):
            some = replace(sight, tiles=lacking)
            fresh = look_at_copies(some, recipe, engine_of(), job)
            found[sight.key] = fresh if mine is None else mine.joined(fresh)
    return found


def _copied(annotations: Annotations, sights: Sequence[Sight]) -> list[NDArray[np.int64]]:
    """Numbers of the tiles that get copies, in order, of each sight."""
    by_class: dict[str, list[tuple[int, int, int]]] = {}
    for number, sight in enumerate(sights):
        marks = annotations.of(sight.key).marks
        for place, tile in tile_numbers(sight.grid, marks).items():
            drawn = crc32(f"{sight.key} {place}".encode())
            by_class.setdefault(marks[place].class_name, []).append((drawn, number, tile))
    most = MOST_COPIED // max(1, len(by_class))
    chosen: list[list[int]] = [[] for _ in sights]
    for mine in by_class.values():
        for _, number, tile in sorted(mine)[:most]:
            chosen[number].append(tile)
    return [np.array(sorted(tiles), dtype=np.int64) for tiles in chosen]


def look_at_copies(
    sight: Sight, recipe: Recipe, engine: Engine, job: Job | None = None
) -> SeenCopies:
    """Let the network see the copies of tiles; only few are meant to be given.

    The same tile of the same image gives the same copies each time.

    Raises
    ------
    ImageError
        When the image cannot be read.
    Cancelled
        When the job was asked to stop.
    """
    grid = sight.grid
    tiles = np.arange(grid.n_tiles) if sight.tiles is None else sight.tiles
    keep = np.isin(np.arange(grid.n_tiles), tiles).reshape(grid.tile_shape)
    plane = PlaneTiles(sight.image, grid, keep, sight.plane)
    plane = plane.seen_by(recipe.intensity).in_memory()
    reporter = plane.reporter("Looking at tiles with other settings", job)
    image, place = plane.source
    measured = plane.measure(recipe.intensity)
    flat = IntensityRange(0.0, 255.0, recipe.intensity.per_tile)
    travelled = travel_range(image, measured)
    even = IntensityRange(travelled.low, travelled.high)
    index, seen = [], []
    for batch in read_tiles(image, grid, measured, engine.batch_size, keep=keep, plane=place):
        if len(batch.index):
            grey = stretch_to_uint8(batch.pixels, even)
            copies = [
                engine.embed(turned(grey, copy, batch.index), flat) for copy in range(N_COPIES)
            ]
            index.append(batch.index)
            seen.append(np.stack(copies, axis=1).astype(np.float16))
        reporter.advance(len(batch.index) + len(batch.empty))
    if not index:
        raise plane.none_left()
    order = np.argsort(np.concatenate(index))
    return SeenCopies(grid, recipe, np.concatenate(index)[order], np.concatenate(seen)[order])


def turned(tiles: NDArray[np.uint8], copy: int, seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Tiles with other settings; the same tile with the same seed gives the same.

    Parameters
    ----------
    tiles : uint8, shape (N, side, side)
        Stretched over the range of their image.
    copy : int
        Which of the `N_COPIES`, from 0.
    seeds : int64, shape (N,)
        Of each tile.
    """
    pairs = zip(tiles, seeds.tolist(), strict=True)
    return np.stack([_turned(tile, copy, seed) for tile, seed in pairs])


def _turned(tile: NDArray[np.uint8], copy: int, seed: int) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng([seed, copy])
    grey = tile.astype(np.float32) / 255.0
    if copy == 0:
        grey = grey ** random.uniform(*DARKER)
    elif copy == 1:
        grey = grey ** random.uniform(*BRIGHTER)
    elif copy == 2:
        grey = gaussian_filter(grey, random.uniform(*BLUR_PX), mode="nearest")
    else:
        noise = random.standard_normal(grey.shape, dtype=np.float32)
        grey = grey + random.uniform(*NOISE) * np.sqrt(grey + 0.1) * noise
    grey = (grey - 0.5) * random.uniform(*GAIN) + 0.5 + random.uniform(*OFFSET)
    done: NDArray[np.uint8] = np.rint(np.clip(grey, 0.0, 1.0) * 255.0).astype(np.uint8)
    return done
