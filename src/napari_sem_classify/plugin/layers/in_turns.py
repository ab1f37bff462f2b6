"""Marks that are shown and go, each in a turn of the event loop of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sem_classify.plugin.app.turns import later
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import remove_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def remove_soon(viewer: ViewerModel, layer: Layer | None) -> None:
    """Take a layer out of view now, and out of the viewer in a later turn of the event loop.

    napari sweeps all of Python's memory with each layer that goes, which takes a moment of its own.
    """
    if layer is None or layer not in viewer.layers:
        return
    layer.visible = False
    layer.metadata = {key: each for key, each in layer.metadata.items() if key != METADATA_KEY}
    later(lambda: remove_layer(viewer, layer))


def show_soon(viewer: ViewerModel, layer: Layer) -> None:
    """Show a layer that was added hidden in a later turn: drawing it takes a moment of its own."""
    later(lambda: setattr(layer, "visible", layer in viewer.layers))
