"""How tiles are changed at random: a number for each kind, and pictures of the one pointed at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.finetune.augmentation import (
    KINDS,
    SWITCH,
    Augmentation,
    Kind,
    changed,
    only,
)
from napari_sem_classify.plugin.app.jobs import JobSlot, SettleTimer
from napari_sem_classify.plugin.finetune.chosen import Choice
from napari_sem_classify.plugin.finetune.tile_pictures import TilePictures
from napari_sem_classify.plugin.finetune.training_tasks import Examples, one_kind
from napari_sem_classify.plugin.forms.layout import Form, Note, check_box, explain, slim

POINTED_MS = 250
ACROSS, SHOWN = 4, 8
NUMBERS = ("px", "°")
"""Units of numbers; all others are shares, shown in percent."""


class AugmentForm:
    """A row for each kind of change, 0 turns it off; below them what the one pointed at does."""

    changed = Signal()

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._drawing = JobSlot(owner)
        self._choice: Choice | None = None
        self._size = 0
        self._examples: tuple[object, Examples] | None = None
        self._kind = KINDS[0]
        self._holder = Form(margin=0)
        self._controls: dict[str, widgets.CheckBox | widgets.FloatSpinBox] = {}
        self.told = Note("What the preview of one kind of change shows")
        for kind in KINDS:
            self._add(kind)
        self.pictures = TilePictures(
            self.told, "Preview of one kind", "A tile as this change alone makes it", ACROSS
        )
        self._holder.wide(self.told, self.pictures)
        form.wide(self._holder)
        self._settle = SettleTimer(owner, POINTED_MS, self._draw)

    def _add(self, kind: Kind) -> None:
        control: widgets.CheckBox | widgets.FloatSpinBox
        if kind.unit == SWITCH:
            control = check_box(kind.title, f"{kind.title} of the tiles at random")
            self._holder.row("", control)
        else:
            sign = f" {kind.unit}" if kind.unit in NUMBERS else " %"
            most = kind.largest * _shown_per_unit(kind)
            control = slim(widgets.FloatSpinBox(min=0.0, max=most, step=_step(kind)), "000.0 %")
            control.native.setSuffix(sign)
            control.native.setDecimals(1)
            of = f" {kind.unit}" if sign == " %" and kind.unit else ""
            explain(control, kind.title, f"{kind.title} so much{of}, at random; 0: not")
            self._holder.row(kind.title, control)
        self._controls[kind.name] = control
        control.native.installEventFilter(_Pointed(control.native, lambda: self._point(kind)))
        control.changed.connect(lambda *_: self._on_number(kind))

    # ------------------------------------------------------------------ the numbers

    def chosen(self, base: Augmentation) -> Augmentation:
        """The augmentation of a preset with the numbers of the form."""
        numbers = {
            kind.name: float(self._controls[kind.name].value) / _shown_per_unit(kind)
            for kind in KINDS
        }
        return changed(base, numbers)

    def fill(self, augmentation: Augmentation) -> None:
        """Show the numbers of an augmentation."""
        for kind in KINDS:
            control = self._controls[kind.name]
            value = getattr(augmentation, kind.name)
            with control.changed.blocked():
                if isinstance(control, widgets.CheckBox):
                    control.value = bool(value)
                else:
                    control.value = round(value * _shown_per_unit(kind), 3)

    def _on_number(self, kind: Kind) -> None:
        self._point(kind)
        self.changed.emit()

    # ------------------------------------------------------------------ what one of them does

    def show(self, choice: Choice | None, size: int) -> None:
        """Take pictures from these data, at this size."""
        if choice is None:
            self.put_away()
        self._choice, self._size = choice, size

    def put_away(self) -> None:
        """Show no pictures, and leave the processor to others."""
        self._settle.stop()
        self._drawing.abandon()
        self.told.say("")
        self.pictures.hide()

    def set_visible(self, shown: bool) -> None:
        """Show the rows, or not."""
        self._holder.setVisible(shown)
        if not shown:
            self.put_away()

    def set_enabled(self, enabled: bool) -> None:
        """Let the numbers be changed, or not."""
        for control in self._controls.values():
            control.enabled = enabled
        if not enabled:
            self.put_away()

    def _point(self, kind: Kind) -> None:
        self._kind = kind
        self._settle.start()

    def _draw(self) -> None:
        choice, kind = self._choice, self._kind
        if choice is None or not self._controls[kind.name].enabled:
            return
        alone = only(self.chosen(Augmentation()), kind.name)
        if alone == Augmentation():
            alone = changed(alone, {kind.name: kind.usual})
        how = f"{kind.title} {_amount(kind, getattr(alone, kind.name))}".rstrip()
        key = choice, self._size
        known = self._examples[1] if self._examples and self._examples[0] == key else None

        def done(made: tuple[Examples, list[NDArray[np.uint8]]]) -> None:
            self._examples = key, made[0]
            pictures = made[1]
            self.told.say(f"As it is, then with this alone: {how}" if pictures else "")
            tooltips = ["as it is", *[how] * (len(pictures) - 1)]
            colours = ["transparent"] * len(pictures)
            self.pictures.fill(pictures, [""] * len(pictures), colours, tooltips)

        self._drawing.start(
            one_kind(choice, self._size, alone, SHOWN, known),
            doing="making a preview",
            on_done=done,
            on_failed=self.told.fail,
        )


class _Pointed(QObject):
    """Tells when a control is pointed at, by mouse or keyboard."""

    def __init__(self, control: QWidget, call: Callable[[], None]) -> None:
        super().__init__(control)
        self._call = call

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Tell it; the control gets the event as ever."""
        if event is not None and event.type() in (QEvent.Type.Enter, QEvent.Type.FocusIn):
            self._call()
        return False


def _shown_per_unit(kind: Kind) -> float:
    return 1.0 if kind.unit in (*NUMBERS, SWITCH) else 100.0


def _step(kind: Kind) -> float:
    return 0.1 if kind.unit == "px" else 1.0


def _amount(kind: Kind, value: float) -> str:
    if kind.unit == SWITCH:
        return ""
    number = f"{value * _shown_per_unit(kind):g}"
    return f"{number} {kind.unit}" if kind.unit in NUMBERS else f"{number} % {kind.unit}".rstrip()
