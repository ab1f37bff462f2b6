"""Confidence against the share of right tiles: whether 80 % sure means right in 8 tiles of 10."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QLabel

from napari_sem_classify.core.evaluate.metrics import Reliability
from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.painted import Painted

AFTER = QColor("#0072b2")
LEAST_DOT, MOST_DOT = 2.5, 6.0
LINES = 9


class ReliabilityPlot(Painted):
    """A small plot: rings before the temperature, filled dots after it, the diagonal is exact.

    The area of a dot grows with its number of tiles.
    """

    def __init__(self, label: QLabel) -> None:
        super().__init__(label, "Reliability", "How often the model is right, by how sure it is")
        self._before: Reliability | None = None
        self._after: Reliability | None = None
        self._least = 0.0
        self.said = ""

    def fill(self, before: Reliability, after: Reliability, n_classes: int) -> None:
        """Show two states; no class can be less sure than one of `n_classes`."""
        self._before, self._after, self._least = before, after, 1.0 / n_classes
        self.said = (
            f"Confidence is off by {100 * after.ece:.0f} points on average, "
            f"{100 * before.ece:.0f} before it was adjusted."
        )
        told = (
            f"{_table(after)}\nFilled dots: as shown in the map; rings: before the confidence was "
            "adjusted by the temperature. On the line, confidence is exact."
        )
        self.setToolTip(as_it_is(told))
        self.tell(f"{self.said} {_table(after)}")

    def height_px(self) -> int:
        """A few lines."""
        return LINES * self.metrics.height()

    def paint(self, painter: QPainter) -> None:
        """Paint axes, line and dots."""
        if self._before is None or self._after is None:
            return
        ink = self.ink
        metrics = painter.fontMetrics()
        line, left = metrics.height(), metrics.horizontalAdvance("100 % ")
        room = QRectF(
            left, 1.3 * line, self.width() - left - MOST_DOT - 2, self.height() - 3.8 * line
        )
        painter.setPen(self.faint)
        painter.drawRect(room)
        painter.drawLine(self._at(room, self._least, self._least), self._at(room, 1.0, 1.0))
        painter.setPen(ink)
        right = Qt.AlignmentFlag.AlignRight
        for share in (0.0, 0.5, 1.0):
            y = self._at(room, 1.0, share).y() - line / 2
            painter.drawText(QRectF(0, y, left - 4, line), right, f"{100 * share:.0f} %")
        below = room.bottom() + 2
        painter.drawText(QPointF(room.left(), line - metrics.descent()), "right")
        under = QRectF(room.left(), below, room.width(), line)
        painter.drawText(under, Qt.AlignmentFlag.AlignLeft, f"{100 * self._least:.0f} %")
        painter.drawText(under, right, "100 %")
        painter.drawText(under, Qt.AlignmentFlag.AlignHCenter, "confidence")
        self._key(painter, QRectF(MOST_DOT, below + 1.2 * line, self.width(), line), ink)
        self._dots(painter, room, self._before, QPen(ink, 1.2), QColor("transparent"))
        self._dots(painter, room, self._after, QPen(AFTER), AFTER)

    def _key(self, painter: QPainter, room: QRectF, ink: QColor) -> None:
        middle, x = room.center().y(), room.left()
        for pen, fill, text in (
            (QPen(AFTER), AFTER, "as shown"),
            (QPen(ink, 1.2), QColor("transparent"), "before adjusting"),
        ):
            painter.setPen(pen)
            painter.setBrush(fill)
            painter.drawEllipse(QPointF(x + 5, middle), 4, 4)
            painter.setPen(ink)
            width = painter.fontMetrics().horizontalAdvance(text) + 2
            place = QRectF(x + 14, room.top(), width, room.height())
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, text)
            x += width + 34

    def _dots(
        self, painter: QPainter, room: QRectF, found: Reliability, pen: QPen, fill: QColor
    ) -> None:
        painter.setPen(pen)
        painter.setBrush(fill)
        most = max(int(found.count.max()), 1)
        for count, sure, right in zip(found.count, found.confidence, found.accuracy, strict=True):
            if count:
                size = max(LEAST_DOT, MOST_DOT * float((count / most) ** 0.5))
                painter.drawEllipse(self._at(room, float(sure), float(right)), size, size)

    def _at(self, room: QRectF, sure: float, right: float) -> QPointF:
        across = (max(sure, self._least) - self._least) / (1.0 - self._least)
        return QPointF(room.left() + across * room.width(), room.bottom() - right * room.height())


def _table(found: Reliability) -> str:
    rows = zip(found.count, found.confidence, found.accuracy, strict=True)
    return "\n".join(
        f"{count} tiles {100 * sure:.0f} % sure: {100 * right:.0f} % right"
        for count, sure, right in rows
        if count
    )
