"""The corrections of the image in view, one row each: go there, or take one back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton

from napari_sem_classify.core.annotate.place import TilePlace
from napari_sem_classify.plugin.app.camera import look_at
from napari_sem_classify.plugin.app.text import as_it_is, count_text, counted
from napari_sem_classify.plugin.forms.dock_table import square
from napari_sem_classify.plugin.forms.layout import Form, Note, explain
from napari_sem_classify.plugin.teach.teacher import Teacher

if TYPE_CHECKING:
    from napari.components import ViewerModel

ROWS = 4
SWATCH_PX = 12


class CorrectionList:
    """A list of corrections, hidden while there is none."""

    def __init__(self, teacher: Teacher, viewer: ViewerModel, form: Form) -> None:
        self._teacher = teacher
        self._viewer = viewer
        self.list = QListWidget()
        explain(self.list, "Corrections", "Tiles corrected on the map: click one to go there")
        self.take_back = QPushButton("Take back")
        explain(
            self.take_back, "Take back the correction", "Let the model decide on this tile again"
        )
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.note = Note("Number of corrections")
        self._row = form.row("Corrected", self.note, self.take_back)
        form.wide(self.list)
        self._hide(True)
        self._shown: list[tuple[TilePlace, str, str]] = []
        self.list.itemClicked.connect(self._on_clicked)
        self.list.itemSelectionChanged.connect(self._on_selection)
        self.take_back.clicked.connect(self._on_take_back)

    def refresh(self) -> None:
        """Bring the list up to date."""
        here = self._teacher.here
        said = {} if here is None else here.corrections
        colours = {info.name: info.colour for info in self._teacher.book.annotations.classes}
        now = [(place, name, colours.get(name, "#808080")) for place, name in said.items()]
        if now == self._shown:
            return
        chosen = self.chosen
        self._shown = now
        self.list.clear()
        for place, name, colour in now:
            said_at = f"{name} · {count_text(place[1])}, {count_text(place[0])} px"
            item = QListWidgetItem(square(colour, SWATCH_PX), said_at)
            told = f"{name}, at column {place[1]} and row {place[0]} of the image, in px"
            item.setToolTip(as_it_is(told))
            self.list.addItem(item)
            if place == chosen:
                self.list.setCurrentItem(item)
        rows = max(1, min(ROWS, len(now)))
        height = self.list.sizeHintForRow(0) if now else self.list.fontMetrics().height()
        self.list.setFixedHeight(rows * height + 2 * self.list.frameWidth() + 2)
        self.note.say(counted(len(now), "tile"))
        self._hide(not now)
        self._on_selection()

    def _hide(self, hidden: bool) -> None:
        self._row.setHidden(hidden)
        self.list.setHidden(hidden)

    @property
    def chosen(self) -> TilePlace | None:
        """Place of the row that is selected."""
        rows = [index.row() for index in self.list.selectedIndexes()]
        return self._shown[rows[0]][0] if rows and rows[0] < len(self._shown) else None

    def _on_clicked(self, _item: QListWidgetItem) -> None:
        place, layer = self.chosen, self._teacher.layer
        if place is not None and layer is not None:
            y, x, size = place
            look_at(self._viewer, layer, (y, x), (y + size, x + size))

    def _on_selection(self) -> None:
        self.take_back.setEnabled(self.chosen is not None)

    def _on_take_back(self) -> None:
        place, teacher = self.chosen, self._teacher
        if place is not None and teacher.key is not None:
            teacher.book.mark(teacher.key, {place: None})
