"""What there is to learn from: class balance, warnings, and tiles as the network will see them."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.finetune.finetune_presets import Preset
from napari_sem_classify.plugin.app.jobs import JobSlot, SettleTimer
from napari_sem_classify.plugin.finetune.balance_plot import BalancePlot
from napari_sem_classify.plugin.finetune.chosen import Choice, summary_text, too_few, warnings
from napari_sem_classify.plugin.finetune.tile_pictures import TilePictures
from napari_sem_classify.plugin.finetune.training_tasks import COPIES, preview
from napari_sem_classify.plugin.forms.layout import Form, Note

SETTLE_MS = 600
CHANGED = "changed at random as in training"


class SummaryForm:
    """Shows a choice of data; the preview is made in the background once things have settled."""

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._drawing = JobSlot(owner)
        self._wanted: tuple[Choice, Preset] | None = None
        self._shown_for: object = None
        self.note = Note("How much there is to learn from")
        self.plot = BalancePlot(self.note)
        self.warning = Note("What to think of before the training")
        self.told = Note("About the preview")
        self.pictures = TilePictures(
            self.note, "Preview", "Tiles as the network will see them, changed at random", COPIES
        )
        form.wide(self.note, self.plot, self.warning, self.told, self.pictures)
        self._settle = SettleTimer(owner, SETTLE_MS, self._make_preview)

    def show(self, choice: Choice | None, preset: Preset | None) -> None:
        """Show what was chosen, or nothing."""
        if choice is None:
            self.note.say("")
            self.warning.say("")
            self.plot.hide()
            self._no_preview()
            return
        self.note.say(summary_text(choice))
        self.plot.fill(choice.classes, choice.counts, choice.what)
        problem = too_few(choice)
        told = [problem] if problem else warnings(choice)
        self.warning.warn(" ".join(told))
        if problem or preset is None:
            self._no_preview()
        elif self._key(choice, preset) != self._shown_for:
            self._wanted = choice, preset
            self._settle.start()
        else:
            self.told.setVisible(bool(self.told.said))
            self.pictures.setVisible(bool(self.pictures.shown))

    def pause(self) -> None:
        """Make no preview while the processor is needed for the training."""
        self._settle.stop()
        if self._drawing.running:
            self._shown_for = None  # not made to its end: to be made again
        self._drawing.abandon()

    def put_away(self) -> None:
        """Leave the room of the preview to the training; `show` brings it back."""
        self.pause()
        self.pictures.hide()
        self.told.hide()

    def _no_preview(self) -> None:
        self.pause()
        self._wanted = self._shown_for = None
        self.pictures.hide()
        self.told.say("")

    def _key(self, choice: Choice, preset: Preset) -> tuple[Any, ...]:
        source = getattr(choice, "annotations", None) or getattr(choice, "listing", None)
        crop = getattr(choice, "crop", None)
        return source, choice.tile_px, crop, preset.stages[-1].size, preset.augmentation

    def _make_preview(self) -> None:
        if self._wanted is None:
            return
        (choice, preset), self._wanted = self._wanted, None
        self.pause()
        self._shown_for = self._key(choice, preset)
        colours = {info.name: info.colour for info in choice.classes}
        size = preset.stages[-1].size
        if not self.pictures.isVisible():
            self.told.say("Making a preview…")

        def done(made: tuple[list[str], Any]) -> None:
            names, pictures = made
            self.told.say(f"Left as it is, then {CHANGED}, at {size} px:" if names else "")
            flat = [picture for row in pictures for picture in row]
            captions = [text for name in names for text in (name, *[""] * (COPIES - 1))]
            how = ("as it is", *[CHANGED] * (COPIES - 1))
            tooltips = [f"{name}, {each}" for name in names for each in how]
            shades = [colours[name] for name in names for _ in how]
            self.pictures.fill(flat, captions, shades, tooltips)

        def failed(sentence: str) -> None:
            self.pictures.fill([], [], [], [])
            self.told.fail(sentence)

        self._drawing.start(
            preview(choice, preset), doing="making a preview", on_done=done, on_failed=failed
        )
