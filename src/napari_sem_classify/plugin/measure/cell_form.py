"""The cell that is being reviewed: what is asked, and the buttons that answer."""

from __future__ import annotations

from functools import partial

from magicgui import widgets
from psygnal import Signal
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy

from napari_sem_classify.core.measure.review import SKIPPED, UNSURE, Review, ReviewCell
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.plugin.app.text import count_text
from napari_sem_classify.plugin.forms.dock_table import square
from napari_sem_classify.plugin.forms.layout import Form, Note, explain
from napari_sem_classify.plugin.layers.annotation_layer import MAX_KEYS

MOST_LETTERS = 32


class CellForm:
    """Buttons for the classes, and for going on, back, later and away."""

    answered = Signal(object)  # a class number (1 for the first) or "unsure"
    later_wanted = Signal()
    back_wanted = Signal()
    pause_wanted = Signal()

    def __init__(self, form: Form) -> None:
        self.classes: tuple[ClassInfo, ...] = ()
        self.buttons: list[QPushButton] = []
        self.where = Note("Where you are in the review")
        self.bar = widgets.ProgressBar(value=0, min=0, max=100)
        self.bar.native.setTextVisible(False)
        explain(self.bar, "Progress of the review", "How many of the cells have an answer")
        self._answers = Form(margin=0)
        self.unsure = _button("Unsure (U)", "It cannot be told: left out")
        self.later = _button("Later (Space)", "Come back to this cell at the end")
        self.back = _button("Back (⌫)", "Go back to the cell before (Backspace)")
        self.pause = _button("Pause", "Stop for now; all answers are kept")
        self.unsure.clicked.connect(partial(self._answer, UNSURE))
        self.later.clicked.connect(lambda _=False: self.later_wanted.emit())
        self.back.clicked.connect(lambda _=False: self.back_wanted.emit())
        self.pause.clicked.connect(lambda _=False: self.pause_wanted.emit())
        form.wide(self.where, self.bar, self._answers)
        self._rows = [form.row("", self.unsure, self.later), form.row("", self.back, self.pause)]
        for row in self._rows:
            row.findChild(QLabel).hide()

    def _answer(self, answer: object, _checked: bool = False) -> None:
        self.answered.emit(answer)

    def show(self, review: Review | None, cell: ReviewCell | None) -> None:
        """Ask about a cell of a review; None hides it all."""
        for part in (self._answers, *self._rows, self.bar.native):
            part.setVisible(cell is not None)
        if review is None or cell is None:
            self.where.say("")
            return
        if review.classes != self.classes:
            self._make_buttons(review.classes)
        asked = "what lies amid the cross?" if review.points else "what is in the outlined cell?"
        done, total = review.n_answered, len(review.cells)
        self.bar.native.setRange(0, total)
        self.bar.native.setValue(done)
        said = f"{count_text(done + 1)} of {count_text(total)}: {asked}"
        if isinstance(cell.answer, int):
            said = f"You said {review.classes[cell.answer - 1].name}: right, or answer anew?"
        elif cell.answer == UNSURE:
            said = "You were unsure: answer anew, or Space to go on."
        elif cell.answer == SKIPPED:
            left = sum(each.answer == SKIPPED for each in review.cells)
            said = f"Left for later, {count_text(left)} to go: {asked}"
        self.where.say(said)

    def _make_buttons(self, classes: tuple[ClassInfo, ...]) -> None:
        for button in self.buttons:
            button.setParent(None)
            button.deleteLater()
        self.classes, self.buttons = classes, []
        side = self.where.fontMetrics().ascent()
        for number, info in enumerate(classes, start=1):
            key = f" {number}  " if number <= MAX_KEYS else " "
            name = info.name
            short = name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"
            button = _button(f"{key}{short}", f"The cell is {name}")
            button.setAccessibleName(name)
            button.setIcon(square(info.colour, side))
            button.setIconSize(QSize(side, side))
            button.setMinimumWidth(40)
            button.clicked.connect(partial(self._answer, number))
            self.buttons.append(button)
            self._answers.wide(button)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    explain(button, text, tooltip)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button
