"""Area of interest: a layer that the user drew, inside which tiles are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.forms.layout import Form, explain, narrow
from napari_sem_classify.plugin.layers.grid_layers import tiles_in
from napari_sem_classify.plugin.layers.made_layers import kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer, Shapes

EVERYWHERE = "the whole specimen"
SETTLE_MS = 150


class AreaForm:
    """Choice of the layer; `changed` tells another layer, or another drawing on it."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        self._viewer = viewer
        self._followed: Layer | None = None
        self._settle = SettleTimer(owner, SETTLE_MS, self.changed.emit)
        self.combo = narrow(widgets.ComboBox(choices=self._choices))
        explain(
            self.combo,
            "Only inside",
            "A shapes or labels layer that you drew: tiles whose centre lies outside are left out",
        )
        form.row("Inside", self.combo)
        self.combo.changed.connect(self._on_combo)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self._on_layers)

    @property
    def layer(self) -> Shapes | Labels | None:
        """The layer whose inside is kept, None for everywhere."""
        value = self.combo.value
        return None if value is None or isinstance(value, str) else value

    def inside(self, grid: TileGrid, image_layer: Layer) -> NDArray[np.bool_] | None:
        """Tiles whose centre lies inside, shape ``grid.tile_shape``; None for everywhere."""
        layer = self.layer
        return None if layer is None else tiles_in(layer, grid, image_layer)

    def _choices(self, _widget: Any = None) -> list[Any]:
        from napari.layers import Labels, Shapes

        drawn = [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, (Shapes, Labels)) and kind_of(layer) is None
        ]
        return [(EVERYWHERE, EVERYWHERE), *drawn]

    def _on_layers(self, _event: Any = None) -> None:
        self.combo.reset_choices()

    def _on_combo(self) -> None:
        layer = self.layer
        if layer is not self._followed:
            for listened, on in ((self._followed, False), (layer, True)):
                for event in _edits(listened):
                    (event.connect if on else event.disconnect)(self._on_drawn)
            self._followed = layer
        self.changed.emit()

    def _on_drawn(self, _event: Any = None) -> None:
        self._settle.start()


def _edits(layer: Layer | None) -> list[Any]:
    """What a layer tells when something else is drawn on it."""
    if layer is None:
        return []
    painted = [layer.events.paint] if hasattr(layer.events, "paint") else []
    return [layer.events.data, layer.events.set_data, *painted]
