"""The table of classes, tiles and area fractions."""

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

from napari_sem_classify.core.class_map import ClassFraction
from napari_sem_classify.plugin.forms.layout import explain
from napari_sem_classify.plugin.text import area_text, count_text, percent_text


class ResultTable(QTableWidget):
    """A row per class: colour and name, tiles, area fraction and, where calibrated, area."""

    def __init__(self, label: QLabel) -> None:
        """Take the font of `label`: napari's theme sets the size of labels, not of tables."""
        super().__init__(0, 4)
        self._label = label
        self._calibrated = False
        explain(self, "Classes of the map", "How much of the classified area each class covers")
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

    def show_shares(self, shares: Sequence[ClassFraction], *, overlapping: bool) -> None:
        """Fill the table; with overlap the map's cells are counted, which are not tiles then."""
        counted = "Cells" if overlapping else "Tiles"
        self.setHorizontalHeaderLabels(["Class", counted, "Fraction", "Area"])
        self.horizontalHeaderItem(1).setToolTip(
            "Cells of the map: squares as wide as the distance between tiles"
            if overlapping
            else "Tiles of the class"
        )
        self.horizontalHeaderItem(2).setToolTip("Area fraction: share of the classified area")
        self._adopt_font()
        self._calibrated = any(share.area_um2 is not None for share in shares)
        side = self.fontMetrics().ascent()
        self.setIconSize(QSize(side, side))
        self.setRowCount(len(shares))
        for row, share in enumerate(shares):
            size = "" if share.area_um2 is None else area_text(share.area_um2)
            texts = (share.name, count_text(share.cells), percent_text(share.fraction), size)
            for column, text in enumerate(texts):
                item = self.item(row, column)
                if item is None:
                    item = QTableWidgetItem()
                    self.setItem(row, column, item)
                item.setText(text)
                item.setToolTip(", ".join(part for part in texts if part))
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
            self.item(row, 0).setIcon(_square(share.colour, side))
        self._fit()
        self.show()

    def changeEvent(self, event: QEvent) -> None:
        """Follow napari's font size."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._adopt_font()
            self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the areas to the tooltips where they would cut the classes' names."""
        super().resizeEvent(event)
        self._fit_width()

    def copy(self) -> None:
        """Put the table on the clipboard, ready for a spreadsheet."""
        columns = range(self.columnCount() if self._calibrated else self.columnCount() - 1)
        lines = ["\t".join(self.horizontalHeaderItem(column).text() for column in columns)]
        for row in range(self.rowCount()):
            lines.append("\t".join(self.item(row, column).text() for column in columns))
        QApplication.clipboard().setText("\n".join(lines))

    def _adopt_font(self) -> None:
        self._label.ensurePolished()
        if self.font() != self._label.font():
            self.setFont(self._label.font())
            self.horizontalHeader().setFont(self._label.font())

    def _fit(self) -> None:
        self._fit_width()
        self.resizeRowsToContents()
        rows = sum(self.rowHeight(row) for row in range(self.rowCount()))
        header = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(rows + header + 2 * self.frameWidth())

    def _fit_width(self) -> None:
        header = self.horizontalHeader()
        needed = sum(
            max(self.sizeHintForColumn(column), header.sectionSizeHint(column))
            for column in range(self.columnCount())
        )
        self.setColumnHidden(3, not self._calibrated or needed > self.viewport().width())


def _square(colour: str, side: int) -> QIcon:
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
