"""What all tables share: napari's own font, as high as their rows, never wider than the dock."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.layout import explain

RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
NARROWEST = 24
COLOUR_ROLE = Qt.ItemDataRole.UserRole + 7
EDITABLE = (
    QAbstractItemView.EditTrigger.DoubleClicked
    | QAbstractItemView.EditTrigger.EditKeyPressed
    | QAbstractItemView.EditTrigger.AnyKeyPressed
)
"""How Qt lets a table be edited where nobody says otherwise."""


class DockTable(QTableWidget):
    """Rows of texts under headings, which cannot be edited unless a table lets them be.

    `label` gives the font: napari's theme sets the size of labels, not of tables. Beyond
    `most_rows` the table scrolls.
    """

    def __init__(
        self,
        label: QLabel,
        name: str,
        tooltip: str,
        headers: Sequence[str] = (),
        *,
        most_rows: int | None = None,
    ) -> None:
        super().__init__(0, len(headers))
        self._label = label
        self._most_rows = most_rows
        dress(self, name, tooltip)
        self.setHorizontalHeaderLabels(list(headers))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        if most_rows is None:
            self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def stretch(self, stretched: int, others: QHeaderView.ResizeMode) -> None:
        """Give one column the room that the others leave."""
        header = self.horizontalHeader()
        header.setSectionResizeMode(others)
        header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)

    def put(self, row: int, column: int, text: str, tooltip: str) -> QTableWidgetItem:
        """Write into a cell, and give it."""
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(row, column, item)
        item.setText(text)
        item.setToolTip(as_it_is(tooltip))
        return item

    def put_colour(self, item: QTableWidgetItem, colour: str, side: int) -> None:
        """Give a cell a coloured square; while it is edited, one that stays disturbs nothing."""
        if item.data(COLOUR_ROLE) != f"{colour} {side}":
            item.setData(COLOUR_ROLE, f"{colour} {side}")
            item.setIcon(square(colour, side))

    def tell_headers(self, tips: dict[int, str]) -> None:
        """Tell in tooltips what headings mean."""
        for column, tip in tips.items():
            self.horizontalHeaderItem(column).setToolTip(as_it_is(tip))

    def texts(self) -> list[list[str]]:
        """The rows as shown, hidden columns too."""
        return [
            [self.item(row, column).text() for column in range(self.columnCount())]
            for row in range(self.rowCount())
        ]

    def adopt_font(self) -> int:
        """Take the label's font; gives the side of a square that stands beside its letters."""
        return adopt_font(self, self._label)

    def fit(self) -> None:
        """Be as high as the rows, in the label's font."""
        self.adopt_font()
        # One line each: to measure thousands of rows would take long.
        if self._most_rows is None or self.wordWrap():
            self.resizeRowsToContents()
        most = self.rowCount() if self._most_rows is None else self._most_rows
        rows = range(min(self.rowCount(), most))
        set_height(self, sum(self.rowHeight(row) for row in rows))

    def changeEvent(self, event: QEvent) -> None:
        """Follow napari's font size."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self.fit()


def dress(table: QTableView, name: str, tooltip: str) -> None:
    """Give a table the looks and the names that all have."""
    explain(table, name, tooltip)
    table.verticalHeader().hide()
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    table.horizontalHeader().setHighlightSections(False)


def adopt_font(table: QTableView, label: QLabel) -> int:
    """Give a table the font that napari's theme gives to labels only; see `DockTable`."""
    label.ensurePolished()
    if table.font() != label.font():
        for each in (table, table.horizontalHeader(), table.verticalHeader()):
            each.setFont(label.font())
    side = table.fontMetrics().ascent()
    table.setIconSize(QSize(side, side))
    return side


def set_height(table: QTableView, rows: int) -> None:
    """Make a table as high as its heading and `rows` pixels of rows."""
    header = table.horizontalHeader().sizeHint().height()
    table.setFixedHeight(rows + header + 2 * table.frameWidth())


def square(colour: str, side: int) -> QIcon:
    """A coloured square as an icon."""
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
