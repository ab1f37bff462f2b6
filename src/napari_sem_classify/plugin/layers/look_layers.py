"""Layers that show how alike tiles are, and groups of them: a pixel a tile, below annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.layers.annotation_layer import ANNOTATIONS
from napari_sem_classify.plugin.layers.made_layers import (
    add_made,
    cells_on,
    class_colormap,
    label_dtype,
    made_from,
    remove_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

ALIKE, STRUCTURE = "alike", "structure"


def show_alike(
    viewer: ViewerModel, image_layer: Image, grid: TileGrid, values: NDArray[np.float32]
) -> None:
    """Show how alike tiles are, shape ``grid.tile_shape``, -1 to 1 and NaN without data."""
    look = {"colormap": "magma", "contrast_limits": (0.0, 1.0), "opacity": 0.7}
    _show(viewer, image_layer, grid, ALIKE, "image", values, {**look, "blending": "translucent"})


def show_structure(
    viewer: ViewerModel,
    image_layer: Image,
    grid: TileGrid,
    groups: NDArray[np.int64],
    infos: tuple[ClassInfo, ...],
) -> None:
    """Show groups of tiles, shape ``grid.tile_shape``, numbers from 1 and 0 without data."""
    features = {
        "index": list(range(len(infos) + 1)),
        "group": ["", *(info.name for info in infos)],
    }
    look = {"colormap": class_colormap(infos), "features": features, "opacity": 0.5}
    data = groups.astype(label_dtype(len(infos)))
    _show(viewer, image_layer, grid, STRUCTURE, "labels", data, look)


def hide_looks(viewer: ViewerModel, image_layer: Image) -> None:
    """Remove these layers of an image."""
    for kind in (ALIKE, STRUCTURE):
        for layer in made_from(viewer, image_layer, kind):
            remove_layer(viewer, layer)


def _show(
    viewer: ViewerModel,
    image_layer: Image,
    grid: TileGrid,
    kind: str,
    add: str,
    data: NDArray[Any],
    look: dict[str, Any],
) -> None:
    """One of the two at a time, over the map and below the annotations."""
    hide_looks(viewer, image_layer)
    look |= cells_on(image_layer, grid, 2)
    layer = add_made(viewer, image_layer, kind, add, data, select=False, **look)
    over = made_from(viewer, image_layer, ANNOTATIONS)
    if over:
        viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(over[0]))
