"""Which class maps to measure, and what to do where there is none."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.app.text import as_it_is, count_text
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain
from napari_sem_classify.plugin.layers.made_layers import CLASSES, kind_of, pictures_in
from napari_sem_classify.plugin.measure.fields import (
    Field,
    fields_of,
    is_filling,
    map_layers,
    state_of,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

SETTLE_MS = 150
MOST_ROWS = 5
EMPTY = "Open an SEM image and classify it, or open a saved class map (.map.tif)."
NO_MAP = "There is no class map yet: classify the image first."
NONE_CHOSEN = "Tick the class maps to measure."
FILLING = "The map is being made: its numbers come when it is finished."


class MapList:
    """A ticked list of the class maps in the viewer.

    There are no `fields` while there is no map, and while one is being made. With `follow`, the map
    that becomes active is measured, as long as none was ticked by hand.
    """

    changed = Signal()  # other maps are ticked, or a ticked one is another map by now

    def __init__(
        self, viewer: ViewerModel, form: Form, owner: QWidget, to_map: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._ticked: weakref.WeakSet[Labels] = weakref.WeakSet()
        self._by_hand = False
        self._watched: weakref.WeakSet[Labels] = weakref.WeakSet()
        self._state: Any = None
        self.fields: list[Field] = []
        self.follow = True
        self.note = Note("What to do first")
        self.classify_button = button("Make a map", "Turn to the page that makes a class map")
        self.list = QListWidget(owner)
        explain(
            self.list,
            "Class maps",
            "The maps to measure; ticked ones count together, each as a field of one specimen",
        )
        self.list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        form.wide(self.list, self.note, self.classify_button)
        self.list.itemChanged.connect(self._on_item)
        self.classify_button.changed.connect(lambda: to_map())
        self._timer = SettleTimer(owner, SETTLE_MS, self.refresh)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_layers)
        session_of(viewer).maps_changed.connect(self._soon)
        self.refresh()

    # ------------------------------------------------------------------ what is there

    def _soon(self, _event: Any = None) -> None:
        self._timer.start()

    def _on_layers(self, _event: Any = None) -> None:
        # At once: what is shown must never speak of a layer that is gone.
        if {each.layer for each in self.fields} - set(map_layers(self._viewer)):
            self.refresh()
        self._soon()

    def refresh(self) -> None:
        """Bring list and fields up to date."""
        layers = map_layers(self._viewer)
        for layer in layers:
            if layer not in self._watched:
                self._watched.add(layer)
                for event in (layer.events.set_data, layer.events.paint, layer.events.data):
                    event.connect(self._soon)
        self._choose(layers)
        self._fill(layers)
        ticked = [layer for layer in layers if layer in self._ticked]
        filling = any(is_filling(self._viewer, layer) for layer in ticked)
        state = (filling, [state_of(self._viewer, layer) for layer in ticked])
        self._tell(layers, ticked, filling)
        if state == self._state:
            return
        self._state = state
        self.fields = []
        if not filling:
            try:
                self.fields = fields_of(ticked)
            except SemClassifyError as error:
                self.note.fail(str(error))
        self.changed.emit()

    def _choose(self, layers: list[Labels]) -> None:
        """Unless the user ticked maps, measure the active one, else the topmost visible one.

        Outlines are measured where they are ticked, or where there is nothing else.
        """
        if not layers or (self._by_hand and any(layer in self._ticked for layer in layers)):
            return
        layers = [layer for layer in layers if kind_of(layer) == CLASSES] or layers
        active = self._viewer.layers.selection.active
        visible = [layer for layer in layers if layer.visible]
        kept = [layer for layer in layers if layer in self._ticked]
        best: Any = (kept or visible or layers)[-1]
        if active in layers and (self.follow or not kept):
            best = active
        self._by_hand = False
        self._ticked = weakref.WeakSet([best])

    def _fill(self, layers: list[Labels]) -> None:
        self.note.ensurePolished()
        if self.list.font() != self.note.font():  # napari's theme sets the size of labels only
            self.list.setFont(self.note.font())
        height = self.list.fontMetrics().height() + 8
        with QSignalBlocker(self.list):
            while self.list.count() > len(layers):
                self.list.takeItem(self.list.count() - 1)
            for row, layer in enumerate(reversed(layers)):
                item = self.list.item(row)
                if item is None:
                    item = QListWidgetItem()
                    self.list.addItem(item)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                on = Qt.CheckState.Checked if layer in self._ticked else Qt.CheckState.Unchecked
                item.setSizeHint(QSize(0, height))
                item.setText(layer.name)
                item.setToolTip(as_it_is(layer.name))
                item.setCheckState(on)
                item.setData(Qt.ItemDataRole.UserRole, id(layer))
        rows = min(MOST_ROWS, len(layers))
        self.list.setFixedHeight(rows * height + 2 * self.list.frameWidth() + 4)
        self.list.setVisible(bool(layers))

    def _tell(self, layers: list[Labels], ticked: list[Labels], filling: bool) -> None:
        pictures = bool(pictures_in(self._viewer))
        self.classify_button.native.setVisible(not layers and pictures)
        if not layers:
            self.note.say(NO_MAP if pictures else EMPTY)
        elif not ticked:
            self.note.say(NONE_CHOSEN)
        elif filling:
            self.note.say(FILLING)
        else:
            n = len(ticked)
            self.note.say(f"{count_text(n)} maps count together." if n > 1 else "")

    # ------------------------------------------------------------------ what the user does

    def tick(self, layers: list[Labels]) -> None:
        """Measure these maps."""
        self._by_hand = True
        self._ticked = weakref.WeakSet(layers)
        self.refresh()

    def _on_item(self, item: QListWidgetItem) -> None:
        layers = {id(layer): layer for layer in map_layers(self._viewer)}
        ticked = [layer for layer in layers.values() if layer in self._ticked]
        layer = layers.get(item.data(Qt.ItemDataRole.UserRole))
        on = item.checkState() == Qt.CheckState.Checked
        if layer is None or on == (layer in self._ticked):
            return
        if not on:
            self.tick([one for one in ticked if one is not layer])
            return
        # Tiles and outlines say the same in two ways: they are never counted together.
        alike = [one for one in ticked if kind_of(one) == kind_of(layer)]
        self.tick([*alike, layer])

    def stop(self) -> None:
        """Follow the viewer no more."""
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.disconnect(self._on_layers)
        self._viewer.layers.selection.events.active.disconnect(self._on_layers)
        session_of(self._viewer).maps_changed.disconnect(self._soon)
        for layer in list(self._watched):
            for event in (layer.events.set_data, layer.events.paint, layer.events.data):
                event.disconnect(self._soon)
        self._watched.clear()
