"""The annotated images, one row each, with the specimens that they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableWidgetItem

from napari_sem_classify.core.annotate.annotation_set import ImageAnnotations
from napari_sem_classify.plugin.app.text import as_it_is, count_text
from napari_sem_classify.plugin.forms.dock_table import EDITABLE, RIGHT, DockTable

IMAGE, SPECIMEN, TILES = range(3)
ROWS_SHOWN = 4
TOOLTIP = "Specimens, guessed from folders and names: whole ones are held out to score the model"


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image by its fingerprint `key`; `checked` is None where there is nothing to choose.

    The `picture` is a small one, None where the image is not open; `current` is the one in view.
    """

    key: str
    name: str
    specimen: str
    tiles: int
    tooltip: str
    checked: bool | None = None
    current: bool = False
    picture: QIcon | None = field(default=None, compare=False)


class ImageTable(DockTable):
    """Images and their specimens; a specimen is renamed with a double click."""

    said = Signal(str, str)
    """Fingerprint of an image and the specimen that the user wrote; "" for the guess."""

    checked = Signal(str, bool)
    """Fingerprint of an image, and whether it is to be used."""

    picked = Signal(str)
    """Fingerprint of an image that was clicked."""

    def __init__(self, label: QLabel, tooltip: str = TOOLTIP) -> None:
        headers = ("Image", "Specimen", "Tiles")
        super().__init__(label, "Images", tooltip, headers, most_rows=ROWS_SHOWN)
        self._rows: tuple[ImageRow, ...] = ()
        self._filling = self._edited = False
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setEditTriggers(EDITABLE)
        self.stretch(IMAGE, QHeaderView.ResizeMode.ResizeToContents)
        self.tell_headers(
            {SPECIMEN: "Double-click to change it; empty for the guess", TILES: "Annotated tiles"}
        )
        self.cellClicked.connect(self._on_click)
        self.itemChanged.connect(self._on_item)

    def adopt_font(self) -> int:
        """As all tables; the pictures are as high as two lines of it."""
        side = super().adopt_font()
        self.setIconSize(QSize(2 * side, 2 * side))
        return side

    def show_rows(self, rows: Sequence[ImageRow]) -> None:
        """Show images."""
        if tuple(rows) == self._rows and not self._edited:
            return
        self._filling, self._edited = True, False
        self._rows = tuple(rows)
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            image = self.put(number, IMAGE, row.name, as_it_is(row.tooltip))
            flags = Qt.ItemFlag.ItemIsEnabled
            if row.checked is not None:
                flags |= Qt.ItemFlag.ItemIsUserCheckable
                states = Qt.CheckState.Unchecked, Qt.CheckState.Checked
                image.setCheckState(states[row.checked])
            image.setFlags(flags)
            image.setIcon(row.picture or QIcon())
            font = image.font()
            font.setBold(row.current)
            image.setFont(font)
            told = as_it_is(f"{row.specimen}: double-click to change it")
            self.put(number, SPECIMEN, row.specimen, told)
            tiles = self.put(number, TILES, count_text(row.tiles), f"{count_text(row.tiles)} tiles")
            tiles.setFlags(Qt.ItemFlag.ItemIsEnabled)
            tiles.setTextAlignment(RIGHT)
        self._filling = False
        self.fit()

    def _on_click(self, row: int, column: int) -> None:
        if column != SPECIMEN:
            self.picked.emit(self._rows[row].key)

    def _on_item(self, item: QTableWidgetItem) -> None:
        if self._filling:
            return
        row = self._rows[item.row()]
        self._edited = True
        if item.column() == SPECIMEN:
            self.said.emit(row.key, item.text().strip())
        else:
            self.checked.emit(row.key, item.checkState() == Qt.CheckState.Checked)


def image_rows(images: Iterable[ImageAnnotations]) -> list[ImageRow]:
    """A row for each image with tiles; planes of a stack are one."""
    marked = [image for image in images if image.marks]
    counts: dict[str, int] = {}
    for image in marked:
        counts[image.fingerprint] = counts.get(image.fingerprint, 0) + len(image.marks)
    first = {image.fingerprint: image for image in reversed(marked)}
    return [
        ImageRow(
            key,
            first[key].name,
            first[key].specimen,
            count,
            f"{first[key].name}, {count_text(count)} tiles ({first[key].path or 'no file'})",
        )
        for key, count in counts.items()
    ]
