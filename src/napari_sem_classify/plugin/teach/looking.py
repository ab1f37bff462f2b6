"""Worker tasks of *Teach* in which the network sees tiles. Nothing here knows a widget or layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import full_plane, has_plane
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.recipe import STANDARD, Recipe, RecipeChoice
from napari_sem_classify.core.teach.annotated_tiles import AnnotatedTiles
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.app.tasks import DeviceWish

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

AUTOMATIC = DeviceWish()
NOT_OPEN = "The annotated images are not open: open one to find the best way of looking at it."


@dataclass(frozen=True, slots=True)
class Looked:
    """What the network saw in the tiles of one image.

    Attributes
    ----------
    grid : TileGrid
        Without overlap.
    index : int64, shape (N,), increasing
        Numbers of the tiles that hold data.
    features : float16, shape (N, features)
    device : str
        What looked, for the record.
    recipe : Recipe
        In what way.
    asked : int64, shape (M,), or None
        Numbers of the tiles that were to be looked at; None for all.
    """

    grid: TileGrid
    index: NDArray[np.int64]
    features: NDArray[np.float16]
    device: str = ""
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

    def only(self, tiles: NDArray[np.int64]) -> Looked:
        """The part about some tiles, for an image that was closed or a plane out of view."""
        rows = np.unique(self.rows_of(tiles))
        rows = rows[rows >= 0]
        return replace(
            self,
            index=self.index[rows],
            features=self.features[rows].copy(),
            asked=tiles if self.asked is None else np.intersect1d(tiles, self.asked),
        )


def look(
    image: SemImage,
    grid: TileGrid,
    recipe: Recipe = STANDARD,
    wish: DeviceWish = AUTOMATIC,
    plane: tuple[int, ...] = (),
    tiles: NDArray[np.int64] | None = None,
) -> Callable[[JobContext], Looked]:
    """Task: let the network see every tile of a plane once; the next time the cache knows.

    Parameters
    ----------
    plane : tuple of int
        () for the first one, and for a single image.
    tiles : int64, optional
        Numbers of the only tiles to look at.
    """

    def task(context: JobContext) -> Looked:
        from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_sha256
        from napari_sem_classify.core.network.embedding_cache import EmbeddingCache, network_key
        from napari_sem_classify.core.network.features import embed_image
        from napari_sem_classify.core.teach.teach import STAGES

        context.tell(Progress(0, 0, "Getting the network ready"))
        sha256 = backbone_sha256(DEFAULT_BACKBONE)
        engine = engine_on(wish, recipe.network_px)
        context.check()
        keep = None
        if tiles is not None:
            keep = np.zeros(grid.n_tiles, dtype=bool)
            keep[tiles] = True
            keep = keep.reshape(grid.tile_shape)
        features = embed_image(
            image,
            grid,
            engine,
            recipe.intensity,
            keep=keep,
            plane=full_plane(image, plane),
            job=context,
            cache=EmbeddingCache(),
            network=network_key(sha256, STAGES, recipe.network_px),
        )
        rows = np.flatnonzero(~np.isnan(features[:, 0]))
        kept = features if len(rows) == len(features) else features[rows]
        index = rows if keep is None else np.flatnonzero(keep)[rows]
        return Looked(grid, index, kept.astype(np.float16), engine.device, recipe, tiles)

    return task


def engine_on(wish: DeviceWish, network_px: int) -> Engine:
    """Give the engine with an input of some size on the chosen device."""
    from napari_sem_classify.core.network.engine import make_engine
    from napari_sem_classify.core.teach.teach import STAGES

    return make_engine(network_px=network_px, stages=STAGES, device=wish.id, backend=wish.backend)


def find_best_way(
    annotations: Annotations, images: Mapping[str, SemImage], tile_px: int, wish: DeviceWish
) -> Callable[[JobContext], RecipeChoice]:
    """Task: look at the annotated tiles of the open images in each way, and choose one.

    Parameters
    ----------
    images : {fingerprint: SemImage}
        Those that are open.
    """

    def task(context: JobContext) -> RecipeChoice:
        from napari_sem_classify.core.teach.recipes import choose_recipe, recipes_for

        annotated = []
        for each in annotations.images:
            image = images.get(each.fingerprint)
            if image is not None and each.marks and has_plane(image, each.plane):
                grid = TileGrid(image.area, tile_px, tile_px)
                labels = each.tile_labels(grid, annotations.class_names).labels
                labels = labels.astype(np.int64)
                annotated.append(AnnotatedTiles(image, grid, labels, each.plane))
        if not any(each.count for each in annotated):
            raise AnnotationError(NOT_OPEN)
        return choose_recipe(
            annotated,
            annotations.class_names,
            recipes_for(tile_px),
            lambda px: engine_on(wish, px),
            job=context,
        )

    return task
