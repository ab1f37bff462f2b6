"""What a training came to: score, confusion matrix, worst tiles; saving, and straight on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.app.session import Session
from napari_sem_classify.plugin.app.text import as_it_is, duration_text
from napari_sem_classify.plugin.finetune.tile_pictures import TilePictures
from napari_sem_classify.plugin.finetune.training_tasks import HeldTile, Outcome, save
from napari_sem_classify.plugin.forms.fitted_table import FittedTable
from napari_sem_classify.plugin.forms.layout import Form, Note, button, side_by_side
from napari_sem_classify.plugin.forms.model_file import (
    ask_model_path,
    free_model_path,
    tell_saved,
)
from napari_sem_classify.plugin.teach.score_form import ConfusionTable, score_text

ACROSS, SHOWN = 4, 8
HEADERS = ("Class", "Tiles", "Prec.", "Recall", "F1")


FITTED = "fitted head"
"""Phase of a report before any epoch, see `EpochReport`."""


class TrainedForm:
    """The result of the last training, and the file that it was saved in.

    Its signals carry the `HeldTile` that was clicked, that whose image is to be opened, and the
    path of the model that is to be used.
    """

    picked = Signal(object)
    open_wanted = Signal(object)
    classify_wanted = Signal(object)

    def __init__(self, form: Form, session: Session, owner: QWidget) -> None:
        self._session, self._owner = session, owner
        self._saving = JobSlot(owner)
        self._shown: list[HeldTile] = []
        self._picked: HeldTile | None = None
        self.outcome: Outcome | None = None
        self.saved: Path | None = None
        self._build(form)
        self.matrix.cellClicked.connect(self._on_cell)
        self.pictures.picked.connect(self._on_picture)
        self.open_image.changed.connect(lambda: self.open_wanted.emit(self._picked))
        self.worst.changed.connect(self._show_worst)
        self.save.changed.connect(self._choose_file)
        self.classify.changed.connect(self.save_and_classify)
        self.hide()

    def _build(self, form: Form) -> None:
        self.score = Note("Score of the model")
        self.how = Note("How the score was measured")
        self.table = FittedTable(
            self.score, "Score of each class", "Precision, recall and F1 on held-out tiles", 5, (1,)
        )
        self.matrix = ConfusionTable(self.score)
        self.told = Note("Which tiles are shown")
        self.pictures = TilePictures(
            self.score, "Held-out tiles", "Click a tile to go to it in the image", ACROSS
        )
        self.where = Note("Where the tile lies")
        self.open_image = button("Open its image", "Open the image of this tile and go there")
        tooltip = "Wrong ones, the surest of them first"
        self.worst = button("Show the worst tiles again", tooltip, "Show the worst tiles")
        self.notes = Note("About the training")
        form.wide(self.score, self.how, self.table, self.matrix, self.told, self.pictures)
        form.wide(self.where, self.open_image, self.worst, self.notes)
        self.save = button("Save model…", "Save the model; it then appears in Classify")
        self.classify = button("Classify with it", "Save the model and open Classify with it")
        self._buttons = side_by_side(self.save, self.classify)
        self.message = Note("Result of saving")
        form.wide(self._buttons, self.message)

    # ------------------------------------------------------------------ what the user sees

    def show(self, outcome: Outcome) -> None:
        """Show a result."""
        self.outcome, self.saved = outcome, None
        found, card = outcome.evaluation, outcome.classifier.card
        value = found.scores.macro_f1
        of = card.scores["speaks_for"] or f"held-out {found.what}"
        said = (
            f"on {of}: macro-F1 {score_text(value)} "
            f"{_interval(*card.scores['intervals_95']['macro_f1'])}"
        )
        self.score.say_html(f"<b>Score</b> {said}", f"Score {said}")
        self.score.setToolTip(
            "Mean F1 of the classes with its 95 % interval, on tiles that were not learned from"
        )
        # Drawing places again tells nothing where all are right, counting tiles tells too little
        # where they are alike: the wider interval is the honest one.
        drawn, counted = card.scores["intervals_95"]["accuracy"], found.scores.accuracy_interval()
        low, high = min(drawn[0], counted[0]), max(drawn[1], counted[1])
        self.how.say(
            f"accuracy {score_text(found.scores.accuracy)} {_interval(low, high)} · "
            f"{card.scores['method']}"
        )
        self._fill_table(outcome)
        self.matrix.fill(found.scores, card.classes)
        self.notes.say(" ".join(outcome.notes))
        self._buttons.show()
        self.message.say("")
        self._show_worst()

    def hide(self) -> None:
        """Show nothing."""
        for note in (self.score, self.how, self.told, self.where, self.notes, self.message):
            note.say("")
        parts = (self.table, self.matrix, self.pictures, self._buttons)
        for part in (*parts, self.open_image.native, self.worst.native):
            part.hide()

    def _fill_table(self, outcome: Outcome) -> None:
        card, what = outcome.classifier.card, outcome.evaluation.what
        rows, tooltips = [], []
        for row in outcome.evaluation.class_rows():
            low, high = row["recall_interval_95"]
            scores = (score_text(row[key]) for key in ("precision", "recall", "f1"))
            rows.append((row["class"], str(row[what]), *scores))
            tooltips.append(
                f"{row['class']}: {row[what]} held-out {what}, of which "
                f"{score_text(row['recall'])} were found (95 %: {score_text(low)} to "
                f"{score_text(high)})"
            )
        headers = [HEADERS[0], what.capitalize(), *HEADERS[2:]]
        colours = [info.colour for info in card.classes]
        self.table.fill(headers, rows, colours, tooltips=tooltips)

    def _show_worst(self) -> None:
        if self.outcome is None:
            return
        self.worst.native.hide()
        what, held = self.outcome.evaluation.what, list(self.outcome.held)
        if held and held[0].truth != held[0].predicted:
            self._show_tiles(held, f"Worst {what}: wrong ones (✕), then the least sure:")
        else:
            self._show_tiles(held, f"No held-out one is wrong; the least sure {what}:")

    def _on_cell(self, row: int, column: int) -> None:
        if self.outcome is None:
            return
        mine = [each for each in self.outcome.held if (each.truth, each.predicted) == (row, column)]
        if mine:
            names = self.outcome.classifier.card.class_names
            took = "found as" if row == column else "taken for"
            more = f" ({SHOWN} of {len(mine)})" if len(mine) > SHOWN else ""
            self._show_tiles(mine, f"{names[row]} {took} {names[column]}{more}:")
            self.worst.native.show()

    def _show_tiles(self, held: list[HeldTile], told: str) -> None:
        assert self.outcome is not None
        classes = self.outcome.classifier.card.classes
        self._shown = held[:SHOWN]
        self.told.say(told)
        self.where.say("")
        self.open_image.native.hide()
        self.pictures.fill(
            [each.picture for each in self._shown],
            [_caption(each) for each in self._shown],
            [classes[each.predicted].colour for each in self._shown],
            [_told(each, self.outcome.classifier.card) for each in self._shown],
            clickable=True,
        )

    def _on_picture(self, number: int) -> None:
        if self.outcome is not None and number < len(self._shown):
            each = self._shown[number]
            self._picked = each
            self.where.say(_told(each, self.outcome.classifier.card))
            self.open_image.native.hide()
            self.picked.emit(each)

    def tell_not_open(self, each: HeldTile) -> None:
        """Say that a tile's image is not open, and offer to open it where it is a file."""
        self.where.say(f"{self.where.said} (not open: {each.path})")
        self.open_image.native.setVisible(each.path.exists())

    # ------------------------------------------------------------------ saving

    @property
    def saving(self) -> bool:
        """Whether the model is being written."""
        return self._saving.running

    def suggested(self) -> Path:
        """A file of the user's folder that is not there yet."""
        name = "model" if self.outcome is None else self.outcome.classifier.card.name
        return free_model_path(f"{stem_of(name)} fine-tuned")

    def _choose_file(self) -> None:
        path = ask_model_path(self._owner, self.suggested())
        if path is not None:
            self.save_model(path, confirmed=True)

    def save_and_classify(self) -> None:
        """Go straight on to Classify; a model that was not saved yet is saved first."""
        if self.saved is not None and self.saved.is_file():
            self.classify_wanted.emit(self.saved)
        else:
            self.save_model(self.suggested(), then=self.classify_wanted.emit)

    def save_model(self, path: Path, then: Any = None, *, confirmed: bool = False) -> None:
        """Write the model; `then` is told its path; `confirmed` as `save_model` has it."""
        if self.saving or self.outcome is None:
            return

        def done(written: Path) -> None:
            self.saved = written
            self.message.say(tell_saved(self._session, written))
            self.message.setToolTip(as_it_is(written))
            if then is not None:
                then(written)

        self.message.say("saving…")
        self.save.enabled = self.classify.enabled = False
        self._saving.start(
            save(path, self.outcome.classifier, confirmed),
            doing="saving the model",
            on_end=self._let_save,
            on_done=done,
            on_failed=self.message.fail,
        )

    def _let_save(self) -> None:
        self.save.enabled = self.classify.enabled = True


def outcome_text(outcome: Outcome) -> str:
    """How a training ended, in a sentence or two."""
    took = duration_text(outcome.seconds)
    if not outcome.cancelled:
        best = [report for report in outcome.curves.epochs if report.best]
        if best and best[-1].phase == FITTED:
            return f"Done in {took}: the fitted head is kept, as no training was better."
        return f"Done in {took}: the trained network is kept."
    more = " Start it again with the same data and settings to go on." if outcome.resumable else ""
    return f"Stopped after {took}: this is the best model so far.{more}"


def _caption(each: HeldTile) -> str:
    """How sure the model is, with a cross where it is wrong."""
    cross = "" if each.truth == each.predicted else "✕ "
    return f"{cross}{100 * each.confidence:.0f} %"


def _interval(low: float, high: float) -> str:
    """A 95 % interval, or why there is none."""
    if low == high or low != low:
        return "(too few places for an interval)"
    return f"({score_text(low)} to {score_text(high)})"


def _told(each: HeldTile, card: ModelCard) -> str:
    names = card.class_names
    sure = f"{100 * each.confidence:.0f} % sure"
    if each.truth == each.predicted:
        what = f"{names[each.truth]}, found ({sure})"
    else:
        what = f"{names[each.truth]}, taken for {names[each.predicted]} ({sure})"
    top, _, left, _ = each.place
    return f"{what} · {each.path.name}, row {top}, column {left}"
