"""Changes of layers that take the window a moment, each in a turn of the event loop of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_sem_classify.plugin.app.jobs import SOON_MS
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import remove_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def remove_soon(viewer: ViewerModel, layer: Layer | None) -> None:
    """Take a layer out of view now, and out of the viewer in a later turn of the event loop.

    Its name is all that is left of it until then.
    """
    if layer is None or layer not in viewer.layers:
        return
    layer.visible = False
    layer.metadata = {key: each for key, each in layer.metadata.items() if key != METADATA_KEY}
    later(lambda: remove_layer(viewer, layer))


def show_soon(viewer: ViewerModel, layer: Layer) -> None:
    """Show a layer that was added hidden in a later turn: drawing it takes a moment of its own."""
    later(lambda: setattr(layer, "visible", layer in viewer.layers))


def later(call: Callable[[], None]) -> None:
    """Call in a later turn, so that the window moves in between."""

    def unless_closed() -> None:
        with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
            call()

    QTimer.singleShot(SOON_MS, unless_closed)
