"""Marks on the tiles that were corrected on a finished map, so that they stand out."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.annotate.annotation_set import ImageAnnotations
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.plugin.app.session import session_of, unwrapped
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import (
    layer_name,
    made_from,
    placed_on,
    remove_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points

CORRECTIONS = "corrections"
SIZE = 0.6
BORDER = 0.12


class CorrectionMarks:
    """A layer with a diamond on each corrected tile, in the colour of its class."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._shown: Any = None

    def show(
        self, image_layer: Image, here: ImageAnnotations, classes: tuple[ClassInfo, ...]
    ) -> None:
        """Show the corrections of an image; without any, the layer goes."""
        colours = {info.name: info.colour for info in classes}
        marks = [(at, mark.class_name) for at, mark in here.marks.items() if mark.correction]
        layers = made_from(self._viewer, image_layer, CORRECTIONS)
        state = (id(image_layer), tuple((at, name, colours[name]) for at, name in marks))
        if state == self._shown and (bool(layers) or not marks):
            return
        self._shown = state
        if not marks:
            for old in layers:
                remove_layer(self._viewer, old)
            return
        layer = layers[-1] if layers else self._new(image_layer)
        centres = [(y + (side - 1) / 2, x + (side - 1) / 2) for (y, x, side), _ in marks]
        layer.data = np.array(centres)
        layer.features = {"class": [name for _, name in marks]}
        layer.size = np.array([SIZE * side for (_, _, side), _ in marks])
        layer.face_color = [colours[name] for _, name in marks]
        layer.selected_data = set()
        layer.editable = False

    def _new(self, image_layer: Image) -> Points:
        active = self._viewer.layers.selection.active
        layer = unwrapped(
            self._viewer.add_points(
                np.zeros((0, 2)),
                name=layer_name(image_layer.name, CORRECTIONS),
                symbol="diamond",
                border_color="black",
                border_width=BORDER,
                metadata={METADATA_KEY: {"kind": CORRECTIONS, "image": image_layer.name}},
                **placed_on(image_layer, (1.0, 1.0), (0.0, 0.0), 2),
            )
        )
        session_of(self._viewer).sources[layer] = weakref.ref(image_layer)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active
        return layer
