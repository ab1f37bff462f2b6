"""Loss and score of a training as it runs, with marks where a stage begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QLabel

from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.painted import Painted

if TYPE_CHECKING:
    from napari_sem_classify.core.finetune.finetune_presets import Preset
    from napari_sem_classify.core.finetune.finetune_run import EpochReport
    from napari_sem_classify.plugin.finetune.watch import TrainingSnapshot

LEARNED, HELD, ACCURACY = QColor("#0072b2"), QColor("#d55e00"), QColor("#009e73")
FITTED, AVERAGED = "fitted head", "averaged"
PLOT_LINES = 5.5
SMOOTHED = 0.05
"""The training loss is drawn as its mean over this share of what was seen."""

Point = tuple[float, float]


class CurvePlot(Painted):
    """Above the loss, below accuracy and macro-F1 of the held-out tiles; epochs from the left."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(label, "Course of the training", "Loss and score after every epoch")
        self._snapshot: TrainingSnapshot | None = None

    def fill(self, snapshot: TrainingSnapshot) -> None:
        """Show a training under way or finished."""
        self._snapshot = snapshot
        words = "\n".join(_epoch_words(report) for report in snapshot.epochs[-12:])
        self.setToolTip(as_it_is(words or "Loss and score after every epoch"))
        self.tell(words)

    def height_px(self) -> int:
        """Two plots with their keys and one axis."""
        return round((2 * PLOT_LINES + 4.6) * self.metrics.height())

    def paint(self, painter: QPainter) -> None:
        """Paint both plots."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        line = painter.fontMetrics().height()
        left = painter.fontMetrics().horizontalAdvance("0.00") + 6
        width = self.width() - left - 6
        upper = QRectF(left, 1.2 * line, width, PLOT_LINES * line)
        lower = QRectF(left, upper.bottom() + 1.5 * line, width, PLOT_LINES * line)
        total = max(1, snapshot.preset.epochs)
        losses = _smooth(snapshot.batches)
        # Weights averaged at the end are no epoch: only the ring tells where they won.
        epochs = [report for report in snapshot.epochs if report.phase != AVERAGED]
        held = [(_place(snapshot.preset, r), r.valid_loss) for r in epochs]
        top = _nice_top([y for _, y in (*losses, *held) if math.isfinite(y)])
        self._frame(painter, upper, snapshot.preset, f"{top:g}", named=True)
        self._curve(painter, upper, losses, total, top, LEARNED, dots=False)
        self._curve(painter, upper, held, total, top, HELD, dots=True)
        self._key(painter, upper, (("loss: learned", LEARNED), ("held-out", HELD)))
        self._frame(painter, lower, snapshot.preset, "1", named=False)
        right = [(_place(snapshot.preset, r), r.accuracy) for r in epochs]
        f1 = [(_place(snapshot.preset, r), r.macro_f1) for r in epochs]
        self._curve(painter, lower, right, total, 1.0, ACCURACY, dots=True, dashed=True)
        self._curve(painter, lower, f1, total, 1.0, HELD, dots=True)
        self._best(painter, lower, snapshot, total)
        self._key(painter, lower, (("macro-F1", HELD), ("accuracy", ACCURACY)))
        painter.setPen(self.ink)
        under = QRectF(left, lower.bottom() + 2, width, line)
        painter.drawText(under, Qt.AlignmentFlag.AlignHCenter, "epochs")
        painter.drawText(under, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(under, Qt.AlignmentFlag.AlignRight, str(total))

    def _frame(
        self, painter: QPainter, room: QRectF, preset: Preset, top: str, *, named: bool
    ) -> None:
        """Axes, and a mark where the network's input grows or all layers begin to learn."""
        painter.setPen(self.faint)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(room)
        line = painter.fontMetrics().height()
        done, total = 0, max(1, preset.epochs)
        for stage in preset.stages:
            x = room.left() + room.width() * done / total
            painter.setPen(QPen(self.faint, 1.0))
            if done:
                painter.drawLine(QPointF(x, room.top()), QPointF(x, room.bottom()))
            if stage.epochs_frozen and stage.epochs_unfrozen:
                middle = room.left() + room.width() * (done + stage.epochs_frozen) / total
                painter.setPen(QPen(self.faint, 1.0, Qt.PenStyle.DotLine))
                painter.drawLine(QPointF(middle, room.top()), QPointF(middle, room.bottom()))
            painter.setPen(self.ink)
            wide = room.width() * stage.epochs / total - 4
            text = f"{stage.size} px"
            if named and wide >= painter.fontMetrics().horizontalAdvance(text):
                painter.drawText(QRectF(x + 3, room.top() + 1, wide, line), 0, text)
            done += stage.epochs
        right = Qt.AlignmentFlag.AlignRight
        wide = room.left() - 4
        painter.setPen(self.ink)
        painter.drawText(QRectF(0, room.top() - line / 3, wide, line), right, top)
        painter.drawText(QRectF(0, room.bottom() - 0.7 * line, wide, line), right, "0")

    def _curve(
        self,
        painter: QPainter,
        room: QRectF,
        points: Sequence[Point],
        total: int,
        top: float,
        colour: QColor,
        *,
        dots: bool,
        dashed: bool = False,
    ) -> None:
        known = [(x, min(y, top)) for x, y in points if math.isfinite(y)]
        places = [
            QPointF(room.left() + room.width() * x / total, room.bottom() - room.height() * y / top)
            for x, y in known
        ]
        style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
        painter.setPen(QPen(colour, 1.6, style))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(places))
        if dots:
            painter.setPen(QPen(colour))
            painter.setBrush(colour)
            for place in places:
                painter.drawEllipse(place, 2.2, 2.2)

    def _best(
        self, painter: QPainter, room: QRectF, snapshot: TrainingSnapshot, total: int
    ) -> None:
        """A ring around the epoch whose weights are kept."""
        best = [report for report in snapshot.epochs if report.best]
        if best:
            x = room.left() + room.width() * _place(snapshot.preset, best[-1]) / total
            y = room.bottom() - room.height() * best[-1].macro_f1
            painter.setPen(QPen(self.ink, 1.4))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(x, y), 5.0, 5.0)

    def _key(self, painter: QPainter, room: QRectF, entries: Sequence[tuple[str, QColor]]) -> None:
        metrics = painter.fontMetrics()
        line, x = metrics.height(), room.left()
        for text, colour in entries:
            middle = room.top() - 0.6 * line
            painter.setPen(QPen(colour, 3.0))
            painter.drawLine(QPointF(x, middle), QPointF(x + 12, middle))
            painter.setPen(self.ink)
            wide = metrics.horizontalAdvance(text) + 2
            where = QRectF(x + 16, room.top() - 1.15 * line, wide, line)
            painter.drawText(where, Qt.AlignmentFlag.AlignVCenter, text)
            x += wide + 28


def _place(preset: Preset, report: EpochReport) -> float:
    """Epochs done when a report was made."""
    before = sum(stage.epochs for stage in preset.stages[: report.stage])
    if report.phase == FITTED or report.share == 0:
        return 0.0
    stage = preset.stages[report.stage]
    if report.phase == AVERAGED:
        return before + stage.epochs
    return before + report.epoch + 1 + stage.epochs_frozen * (report.phase == "all layers")


def _smooth(batches: np.ndarray) -> list[Point]:
    """The training loss without the noise of single batches."""
    if len(batches) < 2:
        return [(float(x), float(y)) for x, y in batches]
    width = max(1, round(SMOOTHED * len(batches)))
    total = np.concatenate([[0.0], np.cumsum(batches[:, 1])])
    ends = np.arange(1, len(batches) + 1)
    starts = np.maximum(0, ends - width)
    means = (total[ends] - total[starts]) / (ends - starts)
    step = max(1, len(batches) // 400)
    return [(float(x), float(y)) for x, y in zip(batches[::step, 0], means[::step], strict=True)]


def _nice_top(values: Sequence[float]) -> float:
    """A round number above the values."""
    most = max(values, default=1.0)
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 1.5, 2, 3, 5, 7.5, 10) if step * power >= most)


def _epoch_words(report: EpochReport) -> str:
    where = "start" if report.phase == FITTED else f"{report.phase}, epoch {report.epoch + 1}"
    where = where if report.share is None else report.title
    best = ", the best so far" if report.best else ""
    return (
        f"{report.size} px, {where}: accuracy {report.accuracy:.3f}, "
        f"macro-F1 {report.macro_f1:.3f}{best}"
    )
