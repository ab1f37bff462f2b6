"""The same structure in a folder of images: the tiles most like one that is pointed at.

Images are looked at one after another and tile by tile; of all their tiles only the best so far
are kept, so that neither a long folder nor a huge image needs much memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.options import SAME_SCALE
from napari_sem_classify.core.common.errors import GridError, SemClassifyError
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.recipe import STANDARD, Recipe
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.teach.axes import BASIS_TILES, find_axes
from napari_sem_classify.core.teach.looked import Sight, look
from napari_sem_classify.core.teach.similar import Sample, sample_at, tile_at
from napari_sem_classify.core.teach.teach_options import STAGES, TeachOptions
from napari_sem_classify.core.tiles.grid import MIN_TILE_PX, TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What to look for, and how.

    Attributes
    ----------
    at : (float, float)
        Row and column of the image in pixels: the tile that holds the place is looked for.
    tile_px : int
        Side of that tile. In other images tiles have the same size in µm, or where either image
        has no pixel size the same in pixels.
    most : int
        Tiles to find, over all images.
    device, backend : str
        What runs the network, see `make_engine`.
    """

    at: tuple[float, float]
    tile_px: int
    most: int = 100
    device: str = "auto"
    backend: str = "auto"
    recipe: Recipe = STANDARD


@dataclass(frozen=True, slots=True)
class FoundTile:
    """A tile and how alike it is, -1 to 1; `y`, `x` and `tile` in pixels of the image file."""

    image: Path
    plane: tuple[int, ...]
    y: int
    x: int
    tile: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, the most alike first.

    Attributes
    ----------
    sample : FoundTile
        What was looked for.
    looked_at : {path: number of tiles}
    notes : {path: sentence}
        About images whose tiles may show the specimen at another scale.
    failures : {path: sentence}
        Images that could not be searched.
    """

    sample: FoundTile
    found: tuple[FoundTile, ...] = ()
    looked_at: dict[Path, int] = field(default_factory=dict)
    notes: dict[Path, str] = field(default_factory=dict)
    failures: dict[Path, str] = field(default_factory=dict)


def search(
    path: Path, among: Sequence[Path], options: SearchOptions, job: Job | None = None
) -> Search:
    """Find the tiles that are most like one of an image, in images on disk.

    Features come from the cache where they are known and are kept there.

    Raises
    ------
    ImageError, GridError
        When the image cannot be read or no tile of it holds the place.
    DeviceError, ModelError
        When the network cannot be run.
    Cancelled
        When the job was asked to stop.
    """
    job = job or Job()
    image = open_image(path)
    grid = TileGrid(image.area, options.tile_px, options.tile_px)
    place = tile_at(grid, *options.at)
    if place is None:
        area = grid.area
        raise GridError(
            f"The place {options.at[0]:g},{options.at[1]:g} is not on the specimen of "
            f"{image.name}: choose a row from {area.top} to {area.bottom - 1} and a column from "
            f"{area.left} to {area.right - 1}."
        )
    how = TeachOptions(options.tile_px, device=options.device, backend=options.backend)
    engine = how.engine(options.recipe)
    plane = (0,) * len(image.leading_shape)
    sample = _sample(image, grid, place, options.recipe, engine, job)
    window = grid.window(*place)
    done = Search(FoundTile(path, plane, window.top, window.left, grid.tile, 1.0))
    best: list[FoundTile] = []
    own = path.resolve(), plane, window.top, window.left
    for number, other in enumerate(among):
        stage = f"Image {number + 1} of {len(among)}"

        def tell(reading: Progress, stage: str = stage) -> None:
            job.tell(replace(reading, stage=stage))

        part = job.telling(tell)
        try:
            shown = open_image(other)
            theirs, note = _same_size(shown, options.tile_px, image.pixel_size_nm)
            if note:
                done.notes[other] = note
            count = 0
            for each in shown.planes():
                tiles = PlaneTiles(shown, theirs, None, each)
                values = _values(tiles, sample, options, engine, part)
                count += int(np.count_nonzero(~np.isnan(values)))
                best += _best(values, tiles, other, options.most, own)
        except SemClassifyError as error:
            done.failures[other] = str(error)
            continue
        done.looked_at[other] = count
        best = sorted(best, key=lambda tile: -tile.similarity)[: options.most]
    return replace(done, found=tuple(best))


def _sample(
    image: SemImage,
    grid: TileGrid,
    place: tuple[int, int],
    recipe: Recipe,
    engine: Engine,
    job: Job,
) -> Sample:
    """The tile, and the axes in which tiles of its image differ, from some of them."""
    number = place[0] * grid.tile_shape[1] + place[1]
    step = max(1, math.ceil(grid.n_tiles / BASIS_TILES))
    tiles = np.union1d(np.arange(0, grid.n_tiles, step), [number]).astype(np.int64)
    sight = Sight("", image, grid, None if step == 1 else tiles)
    seen = look(sight, recipe, engine, job, cached=True)
    row = int(seen.rows_of(np.array([number]))[0])
    return sample_at(find_axes(seen.features), seen.features, row)


def _same_size(image: SemImage, tile_px: int, pixel_size_nm: float | None) -> tuple[TileGrid, str]:
    """Tiles that show as much of the specimen, and a sentence where nobody can know it."""
    mine, tile, note = image.pixel_size_nm, tile_px, ""
    if mine is None or pixel_size_nm is None:
        if mine != pixel_size_nm:
            without = "it" if mine is None else "the first image"
            note = f"{without} has no pixel size: tiles of {tile_px} px were compared"
    elif abs(mine - pixel_size_nm) > SAME_SCALE * pixel_size_nm:
        tile = round(tile_px * pixel_size_nm / mine)
    if tile < MIN_TILE_PX:
        raise GridError(
            f"{image.name} has {mine:.4g} nm/px, so that a tile of the same size would be only "
            f"{tile} px: point at a larger tile, or leave this image out."
        )
    return TileGrid(image.area, tile, tile), note


def _values(
    tiles: PlaneTiles, sample: Sample, options: SearchOptions, engine: Engine, job: Job
) -> NDArray[np.float32]:
    """How alike each tile of a plane is, NaN for those without data; features are not kept."""
    from napari_sem_classify.core.network.backbone import backbone_sha256
    from napari_sem_classify.core.network.embedding_cache import EmbeddingCache, network_key
    from napari_sem_classify.core.network.features import KnownFeatures, features_to

    recipe = options.recipe
    sha256 = backbone_sha256(recipe.backbone_id)
    network = network_key(recipe.backbone_id, sha256, STAGES, recipe.network_px)
    reporter = tiles.reporter("Looking at tiles", job)
    tiles = tiles.seen_by(recipe.intensity).in_memory()
    values = np.full(tiles.grid.n_tiles, np.nan, dtype=np.float32)

    def sink(index: NDArray[np.int64], features: NDArray[Any]) -> None:
        # As the cache keeps them, so that a second search finds the same.
        values[index] = sample.similarity(features.astype(np.float16, copy=False))

    known = KnownFeatures(EmbeddingCache(), network)
    features_to(tiles, engine, tiles.measure(recipe.intensity), sink, reporter, known)
    return values


def _best(
    values: NDArray[np.float32],
    tiles: PlaneTiles,
    path: Path,
    most: int,
    own: tuple[Path, tuple[int, ...], int, int],
) -> list[FoundTile]:
    """The best tiles of a plane, without the sample itself."""
    cols = tiles.grid.tile_shape[1]
    found = []
    for number in np.argsort(-values, kind="stable")[: most + 1].tolist():
        window = tiles.grid.window(number // cols, number % cols)
        place = window.top, window.left
        if np.isnan(values[number]) or (path.resolve(), tiles.plane, *place) == own:
            continue
        found.append(FoundTile(path, tiles.plane, *place, tiles.grid.tile, float(values[number])))
    return found[:most]
