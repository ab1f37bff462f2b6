"""How good the taught model is: the honest score, its interval, and who is taken for whom."""

from __future__ import annotations

import re

import numpy as np
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableWidgetItem

from napari_sem_classify.core.evaluate.metrics import Scores
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.teach.learn import Learned
from napari_sem_classify.core.teach.scores import BlockedScore
from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.dock_table import NARROWEST, DockTable, square
from napari_sem_classify.plugin.forms.layout import Form, Note
from napari_sem_classify.plugin.teach.reliability_plot import ReliabilityPlot

SHADE, SIGN = QColor("#0072b2"), " %"
STACK_TIP = (
    "Neighbouring planes look alike: the same place of all planes is left out of learning together"
)
NARROWER = ((9, True), (6, True), (6, False), (4, False), (0, False))
"""Letters of a class's name, and whether shares have their sign, as the room gets less."""


class ScoreForm:
    """The blocked score."""

    picked = Signal(int, int)
    """True and predicted class number of a clicked cell."""

    def __init__(self, form: Form) -> None:
        self.note = Note("Score of the model")
        self.detail = Note("How the score was measured")
        self.matrix = ConfusionTable(self.note)
        self.plot = ReliabilityPlot(self.note)
        self.sureness = Note("How far the confidence can be trusted")
        form.wide(self.note, self.matrix, self.detail, self.plot, self.sureness)
        self.matrix.cellClicked.connect(self._on_cell)

    def tell(self, learned: Learned | None) -> None:
        """Tell of what was learned: its score, or why there is none."""
        if learned is None:
            self.say("")
        elif learned.scored and learned.taught.score is not None:
            self.show(learned.taught.score, learned.lesson.classes)
        elif learned.scored:
            self.say(learned.taught.no_score_reason)

    def show(self, score: BlockedScore, classes: tuple[ClassInfo, ...]) -> None:
        """Show a score."""
        found = score.scores
        low, high = score.intervals["macro_f1"]
        said = (
            f"<b>Score</b> on {score.speaks_for or 'other tiles'}: macro-F1 "
            f"<b>{score_text(found.macro_f1)}</b> "
            f"({score_text(low)} to {score_text(high)})"
        )
        self.note.say_html(said, re.sub("</?b>", "", said))
        self.note.setToolTip(
            "Mean F1 of the classes, with its 95 % interval. Whole specimens, images or blocks "
            "were left out in turn: no tile was scored by a model that saw its neighbours."
        )
        self.detail.say(
            f"accuracy {score_text(found.accuracy)} · "
            f"balanced {score_text(found.balanced_accuracy)} · {score.how}"
        )
        self.detail.setToolTip(as_it_is(STACK_TIP if "all planes" in score.how else ""))
        self.matrix.fill(found, classes)
        self.plot.fill(score.uncalibrated, score.reliability, len(classes))
        self.sureness.say(self.plot.said)

    def say(self, text: str) -> None:
        """Tell why there is no score, or nothing."""
        self.matrix.hide()
        self.plot.hide()
        self.detail.say("")
        self.sureness.say("")
        self.note.setToolTip("")
        self.note.say(text)

    def _on_cell(self, row: int, column: int) -> None:
        if self.matrix.item(row, column).text():
            self.picked.emit(row, column)


class ConfusionTable(DockTable):
    """Rows are what the user said, columns what the model says; shares of each row."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(
            label,
            "Confusion matrix",
            "Row: your class; column: the model's class, as a share of the row. "
            "Click a cell to see its tiles",
        )
        self._classes: tuple[ClassInfo, ...] = ()
        self.verticalHeader().show()
        self.setShowGrid(True)
        self.setWordWrap(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setTabKeyNavigation(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setMinimumSectionSize(NARROWEST)
        self.hide()

    def fill(self, scores: Scores, classes: tuple[ClassInfo, ...]) -> None:
        """Show the shares of each row."""
        self._classes = classes
        n = len(classes)
        self.setRowCount(n)
        self.setColumnCount(n)
        for number, info in enumerate(classes):
            yours, models = QTableWidgetItem(), QTableWidgetItem()
            yours.setToolTip(as_it_is(f"Your class: {info.name}"))
            models.setToolTip(as_it_is(f"The model's class: {info.name}"))
            self.setVerticalHeaderItem(number, yours)
            self.setHorizontalHeaderItem(number, models)
        for (row, column), share in np.ndenumerate(scores.row_normalised()):
            count = int(scores.confusion[row, column])
            self.setItem(row, column, self._cell(row, column, float(share), count))
        self.fit()
        self.show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the shares the room they need: they go before the names."""
        super().resizeEvent(event)
        self._fit_width()

    def fit(self) -> None:
        """Give names and shares the room there is, in the label's font."""
        side = self.adopt_font()
        for number, info in enumerate(self._classes):
            self.verticalHeaderItem(number).setIcon(square(info.colour, side))
            self.horizontalHeaderItem(number).setIcon(square(info.colour, side))
        self._fit_width()
        super().fit()

    def _fit_width(self) -> None:
        """Shorten names, then leave the % sign to the tooltips, until no share is cut."""
        if not self._classes:
            return
        names, n = self.verticalHeader(), len(self._classes)
        for letters, sign in NARROWER:
            self._name_rows(letters)
            self._show_signs(sign)
            wide = (self.width() - 2 * self.frameWidth() - names.sizeHint().width()) // n
            if wide >= max(self.sizeHintForColumn(column) for column in range(n)):
                break
        self._name_columns(wide)

    def _name_rows(self, letters: int) -> None:
        room = self.fontMetrics().horizontalAdvance("m") * letters
        for number, info in enumerate(self._classes):
            self.verticalHeaderItem(number).setText(self._short(info.name, room))

    def _name_columns(self, wide: int) -> None:
        header = self.horizontalHeader()
        for number, info in enumerate(self._classes):
            item = self.horizontalHeaderItem(number)
            item.setText("")
            item.setText(self._short(info.name, wide - header.sectionSizeHint(number)))

    def _short(self, name: str, room: int) -> str:
        """A name in so many pixels; a letter or two of it tell nothing."""
        short = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, max(0, room))
        return short if short == name or len(short) > 3 else ""

    def _show_signs(self, shown: bool) -> None:
        for row in range(self.rowCount()):
            for column in range(self.columnCount()):
                item = self.item(row, column)
                share = item.text().removesuffix(SIGN)
                item.setText(share + SIGN if share and shown else share)

    def _cell(self, row: int, column: int, share: float, count: int) -> QTableWidgetItem:
        item = QTableWidgetItem(f"{100 * share:.0f}{SIGN}" if count else "")
        item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        if count:
            shade = QColor(SHADE)
            shade.setAlphaF(0.15 + 0.6 * share)
            item.setBackground(shade)
        took = "found as" if row == column else "taken for"
        yours, models = self._classes[row].name, self._classes[column].name
        told = f"{count} tiles ({100 * share:.0f} %): {yours} {took} {models}"
        item.setToolTip(as_it_is(told))
        return item


def score_text(value: float) -> str:
    """A score from 0 to 1 with two decimals: ".87", "1.00", "–" where there is none."""
    return "–" if value != value else f"{value:.2f}".replace("0.", ".", 1)
