"""Where annotations come from: the brush, or a layer that is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QLabel

from napari_sem_classify.core.annotate.annotation import MIN_SHARE
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, narrow, slim
from napari_sem_classify.plugin.layers.made_layers import kind_of
from napari_sem_classify.plugin.teach.sources import classes_are_named

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

PAINT = "paint tiles"
PAINT_HINT = (
    "Click tiles to annotate them; keys 1 to 9 choose the class, Ctrl+Z takes a stroke back."
)


class SourceForm:
    """Choice between painting and a layer."""

    changed = Signal()
    """Another layer, class, share, or the layer itself was edited."""

    def __init__(self, viewer: ViewerModel, form: Form) -> None:
        self._viewer = viewer
        self._class_names: tuple[str, ...] = ()
        self._listening: Layer | None = None
        self.combo = narrow(widgets.ComboBox(choices=self._choices))
        explain(
            self.combo,
            "Annotate by",
            "Paint tiles with the brush, or take them from a labels, shapes or points layer",
        )
        self.as_class = narrow(widgets.ComboBox(choices=lambda _: list(self._class_names)), least=6)
        explain(self.as_class, "Class of the shapes", "The class of what is drawn in the layer")
        self.share = slim(widgets.SpinBox(value=round(100 * MIN_SHARE), min=1, max=100))
        explain(
            self.share,
            "Share of a tile",
            "A tile takes a class that covers at least this share of it; mixed ones are left out",
        )
        self.note = Note("Annotated tiles")
        self.problem = Note("Problem with the annotations")
        form.row("Annotate", self.combo)
        self._class_row = form.row("As class", self.as_class)
        self._share_row = form.row("Covers", self.share, QLabel("% of the tile"))
        form.wide(self.problem, self.note)
        for control in (self.combo, self.as_class, self.share):
            control.changed.connect(self._on_control)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self._on_layers)
        self._arrange()

    @property
    def layer(self) -> Layer | None:
        """The layer that annotates; None while painting."""
        value = self.combo.value
        return None if value is None or isinstance(value, str) else value

    @property
    def min_share(self) -> float:
        """Share of a tile that a class has to cover, 0 to 1."""
        return float(self.share.value) / 100.0

    def use_classes(self, names: tuple[str, ...]) -> None:
        """Offer these classes for what is drawn."""
        if names != self._class_names:
            self._class_names = names
            with self.as_class.changed.blocked():
                self.as_class.reset_choices()
            self._arrange()

    def _choices(self, _widget: Any = None) -> list[Any]:
        from napari.layers import Labels, Points, Shapes

        drawn = [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, (Labels, Shapes, Points)) and kind_of(layer) is None
        ]
        return [(PAINT, PAINT), *drawn]

    def _on_layers(self, _event: Any = None) -> None:
        before = self.layer
        self.combo.reset_choices()
        if self.layer is not before:
            self._on_control()

    def _on_control(self) -> None:
        self._arrange()
        self.changed.emit()

    def _on_data(self, _event: Any = None) -> None:
        self.changed.emit()

    def _arrange(self) -> None:
        layer = self.layer
        self.problem.say("")
        self._class_row.setVisible(layer is not None and not classes_are_named(layer))
        self._share_row.setVisible(hasattr(layer, "shape_type") or _is_labels(layer))
        if layer is self._listening:
            return
        self.stop()
        self._listening = layer
        if layer is not None:
            for event in _edits(layer):
                event.connect(self._on_data)

    def stop(self) -> None:
        """Listen to no layer any more."""
        if self._listening is not None:
            for event in _edits(self._listening):
                event.disconnect(self._on_data)
            self._listening = None


def _is_labels(layer: Any) -> bool:
    return hasattr(layer, "selected_label")


def _edits(layer: Any) -> list[Any]:
    events = [layer.events.data, layer.events.features]
    if _is_labels(layer):
        events += [layer.events.paint, layer.events.set_data]
    return events
