"""The review: how many cells, going through them, and how many more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.measure.review import UNSURE, Answer, check_same_classes
from napari_sem_classify.core.measure.review_plan import MoreCells, ReviewPlan, more_cells_for_all
from napari_sem_classify.plugin.app.camera import focus_canvas
from napari_sem_classify.plugin.app.text import as_it_is, count_text, counted
from napari_sem_classify.plugin.forms.layout import Form, Note, button, enlarge, explain, slim
from napari_sem_classify.plugin.layers.annotation_layer import MAX_KEYS, KeyAction
from napari_sem_classify.plugin.measure.cell_form import CellForm
from napari_sem_classify.plugin.measure.fields import Field, image_layer_of
from napari_sem_classify.plugin.measure.reviewer import Corrected, Reviewer, user_folder
from napari_sem_classify.plugin.measure.spotlight import Spotlight

if TYPE_CHECKING:
    from napari.components import ViewerModel

USUAL_CELLS, MOST_CELLS = 200, 5000
WANTED_PERCENT = 1.0
WHY = (
    "You look at some cells, drawn at random, and say what they are. How often the map was wrong "
    "corrects its area fractions."
)
OF_CELLS, OF_POINTS = "cells of the map", "points of the outlines"
KEYS_HINT = "1 to 9 class · U unsure · Space later · Backspace back"


class ReviewForm:
    """Controls of the review."""

    ended = Signal()  # it was paused or finished, or another one was taken up
    result_wanted = Signal()  # the user asks for the corrected fractions

    def __init__(
        self, viewer: ViewerModel, reviewer: Reviewer, form: Form, foot: Form, owner: QWidget
    ) -> None:
        """Lay the controls out; in `foot` lie the buttons that begin, which do not scroll."""
        self._viewer = viewer
        self._owner = owner
        self._plan: ReviewPlan | None = None
        self._more: MoreCells | None = None
        self._was_active = False
        self._corrected: Corrected | None = None
        self._unit = "cell"
        self.reviewer = reviewer
        self.spotlight = Spotlight(viewer, reviewer.pause)
        self._build(form, foot)
        reviewer.changed.connect(self._on_changed)

    def _build(self, form: Form, foot: Form) -> None:
        self.why = Note("What a review is for")
        self.cells = slim(widgets.SpinBox(value=USUAL_CELLS, min=2, max=MOST_CELLS))
        explain(self.cells, "Cells to review", "How many cells of the map you will look at")
        self.expected = Note("What so many cells are expected to give")
        self.blind = widgets.CheckBox(value=True, text="blind: hide the map")
        explain(
            self.blind,
            "Blind",
            "Hide the class map during the review; seeing its answer, one tends to agree with it",
        )
        self.go_on = button(
            "Go on", "Show the next cell that has no answer yet", "Go on with the review"
        )
        self.start = button("Start review", f"Draw cells and show the first. {KEYS_HINT}")
        self.found = Note("The review so far")
        self.show_result = button("Show corrected fractions", "Show what the review gave so far")
        for each in (self.go_on, self.start):
            enlarge(each)
        form.wide(self.why, self.found, self.show_result)
        self._build_more(form)
        self._of_what = QLabel(OF_CELLS)
        self._cells_row = form.row("Look at", self.cells, self._of_what)
        form.wide(self.expected, self.blind)
        self.cell_form = CellForm(form)
        self.cell_form.answered.connect(self._answer)
        self.cell_form.later_wanted.connect(self._later)
        self.cell_form.back_wanted.connect(self._back)
        self.cell_form.pause_wanted.connect(self.reviewer.pause)
        self.problem = Note("Problem with the review")
        foot.wide(self.problem, self.start, self.go_on)
        self.cells.changed.connect(self._tell_expected)
        self.start.changed.connect(self._start)
        self.go_on.changed.connect(self._go_on)
        self.more.changed.connect(self._extend)
        self.wanted.changed.connect(self._tell_more)
        self.show_result.changed.connect(lambda _=None: self.result_wanted.emit())

    def _build_more(self, form: Form) -> None:
        self.wanted = widgets.FloatSpinBox(value=WANTED_PERCENT, min=0.1, max=20.0, step=0.5)
        slim(self.wanted)
        explain(self.wanted, "Wanted precision", "Half the width of the 95 % intervals, in percent")
        self._wanted_row = form.row("For ±", self.wanted, QLabel("% of the area"))
        self.needed = Note("How many more cells that needs")
        self.more = button("Review more cells", "Draw these cells too, and go on")
        form.wide(self.needed, self.more)

    # ------------------------------------------------------------------ what the user does

    def use(self, fields: Sequence[Field]) -> None:
        """Offer the review of these maps."""
        self._plan = None
        self.problem.say("")
        try:
            if fields:
                maps = [field.class_map for field in fields]
                check_same_classes(maps)
                self._plan = ReviewPlan(maps)
        except SemClassifyError as error:
            self.problem.fail(str(error))
            fields = []
        points = bool(fields) and fields[0].class_map.of_pixels
        self._unit = "point" if points else "cell"
        self._of_what.setText(OF_POINTS if points else OF_CELLS)
        most = 0 if self._plan is None else sum(self._plan.cells)
        with self.cells.changed.blocked():
            self.cells.max = max(2, min(MOST_CELLS, most))
            self.cells.value = min(USUAL_CELLS, self.cells.max)
        self.reviewer.use(fields)

    def _start(self) -> None:
        self._try(lambda: self.reviewer.start(int(self.cells.value)))

    def _go_on(self) -> None:
        self._try(self.reviewer.go_on)

    def _extend(self) -> None:
        if self._more is not None:
            self._try(partial(self.reviewer.extend, self._more.per_class))

    def _try(self, step: Callable[[], None]) -> None:
        """Show cells where their images are open, or tell why there are none."""
        if self._image_missing():
            return
        try:
            step()
        except SemClassifyError as error:
            self.problem.fail(str(error))

    def _image_missing(self) -> bool:
        for field in self.reviewer.fields:
            if image_layer_of(self._viewer, field.layer) is None:
                name = field.class_map.image_name or field.layer.name
                self.problem.fail(f"The image {name} is not open: open it to see its cells.")
                return True
        self.problem.say("")
        return False

    def _answer(self, answer: Answer) -> None:
        self.reviewer.answer(answer)
        self._focus()

    def _later(self) -> None:
        self.reviewer.later()
        self._focus()

    def _back(self) -> None:
        self.reviewer.back()
        self._focus()

    def _focus(self) -> None:
        if self.reviewer.active:
            self.spotlight.activate()
            focus_canvas(self._owner)

    def _keys(self) -> dict[str, KeyAction]:
        def choose(number: int) -> KeyAction:
            return lambda: self._answer_number(number)

        keys: dict[str, KeyAction] = {str(n): choose(n) for n in range(1, MAX_KEYS + 1)}
        keys["U"] = partial(self._answer, UNSURE)
        keys["Space"] = self._later
        keys["Backspace"] = self._back
        return keys

    def _answer_number(self, number: int) -> None:
        if number <= len(self.cell_form.classes):
            self._answer(number)

    # ------------------------------------------------------------------ what is shown

    def _on_changed(self) -> None:
        cell = self.reviewer.cell
        started = cell is not None and not self._was_active
        self._was_active = cell is not None
        if cell is not None:
            field = self.reviewer.fields[cell.image]
            blind = bool(self.blind.value)
            self.spotlight.show(field, cell.row, cell.col, self._keys(), blind=blind)
            if started:
                focus_canvas(self._owner)
        else:
            self.spotlight.off(finished=self.reviewer.finished)
        self._show_state()
        if cell is None:
            self.ended.emit()

    def tell_result(self, corrected: Corrected | None, why_not: str = "") -> None:
        """Show what the review gave so far, and how many more cells a precision needs."""
        self._corrected = corrected
        if why_not and self.reviewer.review is not None and not self.reviewer.active:
            self.found.warn(f"{self._said()} {why_not}")
        self._tell_more()

    def _show_state(self) -> None:
        reviewer = self.reviewer
        review, active = reviewer.review, reviewer.active
        ready = bool(reviewer.fields) and not active
        self.why.say(WHY if ready and review is None else "")
        self.found.say("" if active or not ready else self._said())
        self.go_on.native.setVisible(ready and review is not None and not reviewer.finished)
        for row in (self._cells_row, self.blind.native, self.start.native):
            row.setVisible(ready)
        self.start.text = "Start review" if review is None else "Start a new review"
        if reviewer.problem:
            self.problem.fail(reviewer.problem)
        elif active:
            self.problem.say("")
        self.cell_form.show(review, reviewer.cell)
        self._tell_expected()
        self._tell_more()

    def _said(self) -> str:
        reviewer = self.reviewer
        review = reviewer.review
        if review is None:
            return reviewer.note
        total = counted(len(review.cells), review.unit)
        said = f"{count_text(review.n_answered)} of {total} reviewed"
        if reviewer.n_unsure:
            said += f", {count_text(reviewer.n_unsure)} unsure"
        path = reviewer.path
        if path is None or reviewer.problem:
            return f"{said}."
        self.found.setToolTip(as_it_is(path))
        place = "in your data folder" if path.parent == user_folder() else "beside the image"
        return f"{said}. Kept {place}."

    def _tell_expected(self) -> None:
        if self._plan is None or self.reviewer.active or not self.reviewer.fields:
            self.expected.say("")
            return
        half = 100 * self._plan.half_width(int(self.cells.value))
        if half != half:
            self.expected.say(f"Too few {self._unit}s: at least one of each class is needed.")
            return
        said = f"Expected: about ± {half:.1f} % of the area for the class known worst."
        for percent in (2.0, 1.0, 0.5):
            if percent < half * 0.8:
                needed = count_text(self._plan.cells_for(percent / 100))
                said += f" For ± {percent:g} %: about {needed} {self._unit}s."
                break
        self.expected.say(said)

    def _tell_more(self) -> None:
        review, corrected = self.reviewer.review, self._corrected
        shown = review is not None and corrected is not None and not self.reviewer.active
        self._wanted_row.setVisible(shown)
        self.show_result.native.setVisible(shown)
        self.needed.say("")
        self.more.native.setVisible(False)
        self._more = None
        if review is None or corrected is None or not shown:
            return
        wanted = float(self.wanted.value)
        needed = more_cells_for_all(review, corrected.estimate, wanted / 100)
        total, half = needed.total, f"± {100 * needed.half_width:.1f} %"
        if not total:
            waiting = len(review.cells) - review.n_answered
            rest = f" {count_text(waiting)} {self._unit}s wait for an answer." if waiting else ""
            self.needed.say(f"Reached: {half} or better.{rest}")
            return
        if needed.reachable:
            self.needed.say(f"About {count_text(total)} more {self._unit}s for all classes.")
        else:
            self.needed.say(f"Even all {self._unit}s of the map give about {half} only.")
        self._more = needed
        self.more.text = f"Review {count_text(total)} more"
        self.more.native.setVisible(True)

    def stop(self) -> None:
        """Let go of the viewer; the answers are written already."""
        self.reviewer.changed.disconnect(self._on_changed)
        self.reviewer.stop()
        self.spotlight.stop()
