"""How many tiles or images each class has: a bar a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QLabel

from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.plugin.app.text import as_it_is, count_text
from napari_sem_classify.plugin.forms.painted import Painted

MOST_BARS = 16


class BalancePlot(Painted):
    """Bars from the left, class names before them, counts behind."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(label, "Class balance", "How much there is to learn of each class")
        self._rows: list[tuple[str, str, int]] = []
        self._rest = 0

    def fill(self, classes: Sequence[ClassInfo], counts: Mapping[str, int], what: str) -> None:
        """Show the counts; nothing where there is none."""
        rows = [(info.name, info.colour, counts[info.name]) for info in classes]
        self._rows, self._rest = rows[:MOST_BARS], len(rows[MOST_BARS:])
        words = [f"{name}: {count} {what}" for name, _, count in rows]
        self.setToolTip(as_it_is("\n".join(words)))
        self.tell(", ".join(words))
        self.setVisible(bool(rows))

    def height_px(self) -> int:
        """A line a class."""
        lines = len(self._rows) + bool(self._rest)
        return round(lines * 1.25 * self.metrics.height()) + 2

    def paint(self, painter: QPainter) -> None:
        """Paint the bars."""
        metrics = painter.fontMetrics()
        line = 1.25 * metrics.height()
        most = max((count for _, _, count in self._rows), default=1)
        names = [name for name, _, _ in self._rows]
        widest = max((metrics.horizontalAdvance(name) for name in names), default=0)
        left = min(widest + 4, round(0.4 * self.width())) + 6
        number = metrics.horizontalAdvance(count_text(most)) + 6
        room = max(1.0, self.width() - left - number)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for row, (name, colour, count) in enumerate(self._rows):
            top = row * line
            short = metrics.elidedText(name, Qt.TextElideMode.ElideRight, left - 6)
            painter.setPen(self.ink)
            painter.drawText(QRectF(0, top, left - 6, line), right, short)
            length = max(2.0, room * count / max(1, most))
            bar = QRectF(left, top + 0.18 * line, length, 0.64 * line)
            painter.setPen(self.faint)
            painter.setBrush(QColor(colour))
            painter.drawRect(bar)
            painter.setPen(self.ink)
            where = QRectF(bar.right() + 4, top, number, line)
            painter.drawText(where, Qt.AlignmentFlag.AlignVCenter, count_text(count))
        if self._rest:
            where = QRectF(left, len(self._rows) * line, self.width() - left, line)
            more = f"and {self._rest} more classes"
            painter.drawText(where, Qt.AlignmentFlag.AlignVCenter, more)
