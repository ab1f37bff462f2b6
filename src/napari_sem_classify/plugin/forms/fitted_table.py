"""A table that is as high as its rows, never wider than the dock, in napari's own font."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractScrollArea,
    QApplication,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
)

from napari_sem_classify.plugin.forms.layout import explain


class FittedTable(QTableWidget):
    """Rows of texts, the first column with a coloured square.

    Parameters
    ----------
    label : QLabel
        Gives the font: napari's theme sets the size of labels, not of tables.
    name, tooltip : str
        For screen readers and the mouse.
    columns : int
    may_hide : tuple of int
        Columns that are left to the tooltips where they would cut the first one, the last first.

    Attributes
    ----------
    header_tips : {column: str}
        What the headings mean.
    """

    def __init__(
        self, label: QLabel, name: str, tooltip: str, columns: int, may_hide: tuple[int, ...] = ()
    ) -> None:
        super().__init__(0, columns)
        self._label = label
        self._may_hide = may_hide
        self._unused: tuple[int, ...] = ()
        self.header_tips: dict[int, str] = {}
        explain(self, name, tooltip)
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizeAdjustPolicy(QAbstractScrollArea.SizeAdjustPolicy.AdjustToContents)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setWordWrap(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.hide()

    def fill(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[str]],
        colours: Sequence[str],
        *,
        unused: tuple[int, ...] = (),
        tooltips: Sequence[str] = (),
    ) -> None:
        """Show rows of texts; columns that are `unused` are hidden and not copied."""
        self._unused = unused
        self.setHorizontalHeaderLabels(list(headers))
        for column, tip in self.header_tips.items():
            self.horizontalHeaderItem(column).setToolTip(tip)
        adopt_font(self, self._label)
        side = self.fontMetrics().ascent()
        self.setIconSize(QSize(side, side))
        self.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            told = tooltips[row] if tooltips else ", ".join(part for part in texts if part)
            for column, text in enumerate(texts):
                item = self.item(row, column)
                if item is None:
                    item = QTableWidgetItem()
                    self.setItem(row, column, item)
                item.setText(text)
                item.setToolTip(told)
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
            self.item(row, 0).setIcon(square(colours[row], side))
        self._fit()
        self.show()

    def texts(self) -> list[list[str]]:
        """The rows as shown, hidden columns too."""
        return texts_of(self)

    def changeEvent(self, event: QEvent) -> None:
        """Follow napari's font size."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            adopt_font(self, self._label)
            self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave what would cut the classes' names to the tooltips."""
        super().resizeEvent(event)
        self._fit_width()

    def copy(self) -> None:
        """Put the table on the clipboard, ready for a spreadsheet."""
        columns = [column for column in range(self.columnCount()) if column not in self._unused]
        lines = ["\t".join(self.horizontalHeaderItem(column).text() for column in columns)]
        for row in self.texts():
            lines.append("\t".join(row[column] for column in columns))
        QApplication.clipboard().setText("\n".join(lines))

    def _fit(self) -> None:
        self._fit_width()
        self.resizeRowsToContents()
        fit_height(self, self.rowCount())

    def _fit_width(self) -> None:
        header = self.horizontalHeader()
        widths = {
            column: max(self.sizeHintForColumn(column), header.sectionSizeHint(column))
            for column in range(self.columnCount())
            if column not in self._unused
        }
        hidden = set(self._unused)
        for column in reversed(self._may_hide):
            if sum(widths.values()) > self.viewport().width() and column in widths:
                hidden.add(column)
                del widths[column]
        for column in range(self.columnCount()):
            self.setColumnHidden(column, column in hidden)


def adopt_font(table: QTableWidget, label: QLabel) -> None:
    """Give a table the font that napari's theme gives to labels only."""
    label.ensurePolished()
    if table.font() != label.font():
        for each in (table, table.horizontalHeader(), table.verticalHeader()):
            each.setFont(label.font())


def fit_height(table: QTableWidget, rows: int) -> None:
    """Make a table as high as its heading and its first rows."""
    inside = sum(table.rowHeight(row) for row in range(rows))
    header = table.horizontalHeader().sizeHint().height()
    table.setFixedHeight(inside + header + 2 * table.frameWidth())


def texts_of(table: QTableWidget) -> list[list[str]]:
    """The rows of a table as shown, hidden columns too."""
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def square(colour: str, side: int) -> QIcon:
    """A coloured square as an icon."""
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
