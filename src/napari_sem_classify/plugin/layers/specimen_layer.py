"""The specimen area as a rectangle in the viewer, and the line drawn along a scale bar.

Both lie on the image in pixels of its finest level, whatever level is read.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import GridError, ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.plugin.app.session import session_of, unwrapped
from napari_sem_classify.plugin.layers.grid_layers import area_in, show_rectangle
from napari_sem_classify.plugin.layers.layer_image import notes_of, spatial_shape
from napari_sem_classify.plugin.layers.made_layers import add_made, kind_of, placed_on

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

SPECIMEN, SCALE_BAR = "specimen", "scale bar"
SPECIMEN_COLOUR, LINE_COLOUR = "#009e73", "#d55e00"


def show_specimen(viewer: ViewerModel, image_layer: Image, area: Area) -> Shapes:
    """Show the specimen area, in pixels of the finest level, as a rectangle to be dragged."""
    drawing_layer_of(viewer, image_layer, SPECIMEN)
    return show_rectangle(viewer, image_layer, area, SPECIMEN, SPECIMEN_COLOUR, level=0)


def specimen_in(layer: Shapes, image_layer: Image) -> Area:
    """The rectangle of a specimen layer in whole pixels of the image, cut off at its borders.

    GridError where there is no rectangle, or it lies outside the image.
    """
    rows, cols = spatial_shape(image_layer)
    try:
        return area_in(layer, Area(0, rows, 0, cols))
    except GridError as error:
        raise GridError(
            "The specimen layer shows no part of the image: draw a rectangle over the specimen, "
            "or press As found."
        ) from error


def show_scale_bar(viewer: ViewerModel, image_layer: Image) -> Shapes:
    """Get a layer ready to draw a line along the scale bar of an image."""
    viewer, image_layer = unwrapped(viewer), unwrapped(image_layer)
    layer = drawing_layer_of(viewer, image_layer, SCALE_BAR)
    if layer is None:
        rows, cols = spatial_shape(image_layer)
        layer = add_made(
            viewer,
            image_layer,
            SCALE_BAR,
            "shapes",
            None,
            ndim=2,
            edge_color=LINE_COLOUR,
            edge_width=max(1.0, max(rows, cols) / 400.0),
            **placed_on(image_layer, (1.0, 1.0), (0.0, 0.0), 2, level=0),
        )
    viewer.layers.selection.active = layer
    layer.mode = "add_line"
    return layer


def line_in(layer: Shapes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends (row, column) of the line drawn last, in pixels of the finest level.

    ImageError where none is drawn.
    """
    lines = [
        np.asarray(points, dtype=float)
        for points, kind in zip(layer.data, layer.shape_type, strict=True)
        if kind in ("line", "path")
    ]
    if not lines:
        raise ImageError("No line is drawn: press Draw line and drag along the scale bar.")
    return lines[-1][0, -2:], lines[-1][-1, -2:]


def drawing_layer_of(viewer: ViewerModel, image_layer: Image, kind: str) -> Shapes | None:
    """The specimen or scale-bar layer of an image, also one that was saved and opened again."""
    session = session_of(viewer)
    for layer in reversed(unwrapped(viewer).layers):
        if kind_of(layer) != kind:
            continue
        source = session.source_of(layer)
        if source is None and notes_of(layer).get("image") == image_layer.name:
            session.sources[layer] = weakref.ref(unwrapped(image_layer))
            source = unwrapped(image_layer)
        if source is unwrapped(image_layer):
            found: Shapes = layer
            return found
    return None
