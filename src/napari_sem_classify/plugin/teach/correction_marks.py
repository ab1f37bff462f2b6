"""Marks on the tiles that were corrected on a finished map, so that they stand out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sem_classify.core.annotate.annotation_set import ImageAnnotations
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.plugin.layers.made_layers import (
    add_made,
    made_from,
    placed_on,
    remove_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

CORRECTIONS = "corrections"
SHOWN = "corrections shown"
SIZE = 0.6
BORDER = 0.12


def show_corrections(
    viewer: ViewerModel, image_layer: Image, here: ImageAnnotations, classes: tuple[ClassInfo, ...]
) -> None:
    """Show a diamond on each corrected tile, in the colour of its class; without any, none."""
    colours = {info.name: info.colour for info in classes}
    marks = [(at, name, colours[name]) for at, name in here.corrections.items()]
    layers = made_from(viewer, image_layer, CORRECTIONS)
    if not marks:
        for old in layers:
            remove_layer(viewer, old)
        return
    if layers:
        layer = layers[-1]
    else:
        look = placed_on(image_layer, (1.0, 1.0), (0.0, 0.0), 2)
        look |= {"symbol": "diamond", "border_color": "black", "border_width": BORDER}
        empty = np.zeros((0, 2))
        layer = add_made(viewer, image_layer, CORRECTIONS, "points", empty, select=False, **look)
    if layer.metadata.get(SHOWN) == marks:
        return
    layer.metadata = {**layer.metadata, SHOWN: marks}
    layer.data = np.array(
        [(y + (side - 1) / 2, x + (side - 1) / 2) for (y, x, side), _, _ in marks]
    )
    layer.features = {"class": [name for _, name, _ in marks]}
    layer.size = np.array([SIZE * side for (_, _, side), _, _ in marks])
    layer.face_color = [colour for _, _, colour in marks]
    layer.selected_data = set()
    layer.editable = False
