"""A table of texts with coloured squares, which leaves columns to the tooltips in a narrow dock."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QAbstractScrollArea, QApplication, QHeaderView, QLabel

from napari_sem_classify.core.common.csv_text import cell_text
from napari_sem_classify.plugin.forms.dock_table import RIGHT, DockTable, square


class FittedTable(DockTable):
    """Rows of texts, the first column with a coloured square; `header_tips` explain the headings.

    Columns that `may_hide` are left to the tooltips where they would cut the first one, the last
    first.
    """

    def __init__(
        self, label: QLabel, name: str, tooltip: str, columns: int, may_hide: tuple[int, ...] = ()
    ) -> None:
        super().__init__(label, name, tooltip, [""] * columns)
        self._may_hide = may_hide
        self._unused: tuple[int, ...] = ()
        self.header_tips: dict[int, str] = {}
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSizeAdjustPolicy(QAbstractScrollArea.SizeAdjustPolicy.AdjustToContents)
        self.stretch(0, QHeaderView.ResizeMode.ResizeToContents)
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
        self.tell_headers(self.header_tips)
        side = self.adopt_font()
        self.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            told = tooltips[row] if tooltips else ", ".join(part for part in texts if part)
            for column, text in enumerate(texts):
                item = self.put(row, column, text, told)
                if column:
                    item.setTextAlignment(RIGHT)
            self.item(row, 0).setIcon(square(colours[row], side))
        self.fit()
        self.show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave what would cut the classes' names to the tooltips."""
        super().resizeEvent(event)
        self._fit_width()

    def copy(self) -> None:
        """Put the table on the clipboard, ready for a spreadsheet."""
        columns = [column for column in range(self.columnCount()) if column not in self._unused]
        head = [self.horizontalHeaderItem(column).text() for column in range(self.columnCount())]
        lines = [
            "\t".join(cell_text(r[column]) for column in columns) for r in [head, *self.texts()]
        ]
        QApplication.clipboard().setText("\n".join(lines))

    def fit(self) -> None:
        """Show the columns that there is room for, and all rows."""
        self.adopt_font()
        self._fit_width()
        super().fit()

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
