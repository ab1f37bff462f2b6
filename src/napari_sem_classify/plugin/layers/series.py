"""Which open images belong to one series: taken at the same settings, so of one pixel size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.plugin.layers.layer_image import pixel_size_nm, spatial_shape
from napari_sem_classify.plugin.layers.made_layers import pictures_in
from napari_sem_classify.plugin.layers.saved_maps import path_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


def series_of(viewer: ViewerModel, image_layer: Image) -> list[Image]:
    """Other open images of the same size in pixels, of files in the same folder or of no file."""
    mine = _place(image_layer)
    return [
        layer
        for layer in pictures_in(viewer)
        if layer is not image_layer
        and spatial_shape(layer) == spatial_shape(image_layer)
        and _place(layer) == mine
    ]


def calibrated_others(viewer: ViewerModel, image_layer: Image) -> list[tuple[Image, float]]:
    """Other open images that have a pixel size, with it in nm."""
    sizes = [(layer, pixel_size_nm(layer)) for layer in pictures_in(viewer)]
    return [(layer, nm) for layer, nm in sizes if layer is not image_layer and nm is not None]


def _place(layer: Image) -> Path | None:
    path = path_of(layer)
    return None if path is None else Path(path).parent
