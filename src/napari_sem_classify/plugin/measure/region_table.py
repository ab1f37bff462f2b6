"""The table of regions: sortable, also with tens of thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QIcon, QResizeEvent
from qtpy.QtWidgets import QHeaderView, QLabel, QTableView

from napari_sem_classify.core.export.quantities import pixels_text
from napari_sem_classify.core.measure.regions import Region
from napari_sem_classify.plugin.app.text import area_text, counted, length_text
from napari_sem_classify.plugin.forms.dock_table import (
    NARROWEST,
    RIGHT,
    adopt_font,
    dress,
    set_height,
    square,
)

ROWS_SHOWN = 9
DIAMETER, ASPECT = 2, 3
HEADERS = ("Class", "Area", "Ø", "Aspect", "Edge")
TIPS = (
    "Class of the region",
    "Area of its cells",
    "Equivalent diameter: of the circle of the same area",
    "Long by short axis; 1 for a circle or a square",
    "Touches the border or cells left out: its true size is not known",
)


class RegionModel(QAbstractTableModel):
    """Regions as rows, in the order shown, each with its field's place in the list of maps."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.rows: list[tuple[Region, int]] = []
        self._colours: dict[str, str] = {}
        self._icons: dict[str, QIcon] = {}
        self.sorted_by = (1, Qt.SortOrder.DescendingOrder)

    def put(self, rows: Sequence[tuple[Region, int]], colours: dict[str, str]) -> None:
        """Show these regions, sorted as before."""
        self.beginResetModel()
        self.rows, self._colours, self._icons = list(rows), colours, {}
        self._sort(*self.sorted_by)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of regions."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(HEADERS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Texts, squares of colour, alignment and tooltips."""
        region, _ = self.rows[index.row()]
        column = index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return texts_of(region)[column]
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleDescriptionRole):
            return told_of(region)
        if role == Qt.ItemDataRole.TextAlignmentRole and column:
            return int(RIGHT)
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            name = region.class_name
            if name not in self._icons:
                self._icons[name] = square(self._colours.get(name, "#888888"), 12)
            return self._icons[name]
        return None

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            column, order = self.sorted_by
            arrow = "▾" if order == Qt.SortOrder.DescendingOrder else "▴"
            return f"{HEADERS[section]} {arrow}" if section == column else HEADERS[section]
        return TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column."""
        self.layoutAboutToBeChanged.emit()
        self.sorted_by = (column, order)
        self._sort(column, order)
        self.layoutChanged.emit()
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(HEADERS) - 1)

    def _sort(self, column: int, order: Any) -> None:
        def key(row: tuple[Region, int]) -> Any:
            region = row[0]
            size = region.area_px if region.area_um2 is None else region.area_um2
            return (region.class_name, size, size, region.aspect_ratio, region.at_border)[column]

        self.rows.sort(key=key, reverse=order == Qt.SortOrder.DescendingOrder)


class RegionTable(QTableView):
    """Shows a `RegionModel` in a narrow dock."""

    def __init__(self, label: QLabel) -> None:
        super().__init__()
        self._label = label
        dress(self, "Regions", "Connected regions; click one to go there, click a heading to sort")
        self.regions = RegionModel(self)
        self.setModel(self.regions)
        # Qt's own sorting leaves room for an arrow in every heading, which cuts the classes.
        header = self.horizontalHeader()
        header.setMinimumSectionSize(NARROWEST)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self.sort_by)

    def sort_by(self, column: int) -> None:
        """Sort by a column, the other way round where it was already."""
        before, order = self.regions.sorted_by
        down, up = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder
        first = up if column == 0 else down
        other = up if order == down else down
        self.regions.sort(column, other if column == before else first)
        self._fit_columns()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave to the tooltips what would cut the classes' names."""
        super().resizeEvent(event)
        self._fit_columns()

    def _fit_columns(self) -> None:
        metrics = self.fontMetrics()
        some = [texts_of(region) for region, _ in self.regions.rows[:200]]
        widths = {}
        for column in range(1, self.regions.columnCount()):
            texts = [self.regions.headerData(column, Qt.Orientation.Horizontal)]
            texts += [row[column] for row in some]
            widths[column] = max(metrics.horizontalAdvance(text) for text in texts) + 12
            self.setColumnWidth(column, widths[column])
        room = self.viewport().width() - sum(widths.values())
        names = {row[0] for row in some}
        wanted = min(110, max((metrics.horizontalAdvance(name) for name in names), default=0) + 30)
        # What a row is beyond that is told below the table when it is clicked, and in its tooltip.
        for column in (DIAMETER, ASPECT):
            hide = room < wanted
            self.setColumnHidden(column, hide)
            if hide:
                room += widths[column]

    def put(self, rows: Sequence[tuple[Region, int]], colours: dict[str, str]) -> None:
        """Show these regions."""
        adopt_font(self, self._label)
        self.regions.put(rows, colours)
        line = self.fontMetrics().height() + 6
        self.verticalHeader().setDefaultSectionSize(line)
        set_height(self, min(ROWS_SHOWN, max(1, len(rows))) * line)
        self._fit_columns()


def texts_of(region: Region) -> tuple[str, str, str, str, str]:
    """What the table shows of a region."""
    um2, um = region.area_um2, region.equivalent_diameter_um
    if not region.is_area:
        cells = counted(region.cells, "cell")
        return region.title, cells, "", f"{region.aspect_ratio:.1f}", _edge(region)
    area = pixels_text(region.area_px) if um2 is None else area_text(um2)
    diameter = f"{region.equivalent_diameter_px:.0f} px" if um is None else length_text(1000 * um)
    return region.title, area, diameter, f"{region.aspect_ratio:.1f}", _edge(region)


def _edge(region: Region) -> str:
    return "yes" if region.at_border else ""


def told_of(region: Region) -> str:
    """All of a region in a sentence."""
    name, area, diameter, aspect, edge = texts_of(region)
    sure = region.mean_confidence
    parts = [
        f"{name}, region {region.number}",
        f"{counted(region.cells, 'cell')}, {area}" if region.is_area else area,
        *([f"equivalent diameter {diameter}"] if diameter else []),
        f"aspect ratio {aspect}",
        "touches the border or cells left out" if edge else "not at the border",
    ]
    if sure is not None:
        parts.append(f"mean confidence {100 * sure:.0f} %")
    return "; ".join(parts)
