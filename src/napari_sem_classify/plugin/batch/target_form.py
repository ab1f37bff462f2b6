"""What a batch writes, and where."""

from __future__ import annotations

import os
from pathlib import Path

from magicgui import widgets
from psygnal import Signal
from qtpy.QtCore import QEvent
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QLineEdit, QWidget

from napari_sem_classify.core.export.kinds import KINDS, USUAL, in_order
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.layout import Form, Note, button, check_box, explain

FOLDER_NAME = "classified"
BOXES = sorted(
    (kind for kind in KINDS if kind.label and not kind.for_all),
    key=lambda kind: kind.key not in USUAL,
)
"""Kinds to choose from, the usual ones first; a figure is written as PDF, its last ending."""


class TargetForm:
    """Kinds of files and the output folder."""

    changed = Signal()

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._owner = owner
        self._suggested = ""
        self.kinds: dict[str, widgets.CheckBox] = {}
        boxes = QWidget(owner)
        grid = QGridLayout(boxes)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        for number, kind in enumerate(BOXES):
            tooltip, name = f"Of each image: {kind.title}", f"Write {kind.label}"
            box = check_box(kind.label, tooltip, name, kind.key in USUAL)
            self.kinds[kind.names[-1]] = box
            grid.addWidget(box.native, number // 2, number % 2)
            box.changed.connect(self.changed.emit)
        self.note = Note("About the output folder")
        self.folder = _FolderLine(self.note)
        self.folder.setPlaceholderText("choose a folder")
        explain(
            self.folder,
            "Output folder",
            "Everything is written here: maps, summaries, one table and one report",
        )
        self.choose = button(
            "Choose…", "Choose the folder to write into", "Choose the output folder"
        )
        self.again = check_box(
            "do finished images again",
            "Classify images again that an earlier run with this model and these settings finished",
        )
        form.row("Write", boxes)
        form.row("Into", self.folder, self.choose)
        form.wide(self.note, self.again)
        self.folder.editingFinished.connect(self.changed.emit)
        self.choose.changed.connect(self._choose)
        self.again.changed.connect(self.changed.emit)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Kinds of files to write, those included that are always written."""
        return in_order(kind for kind, box in self.kinds.items() if box.value)

    @property
    def out(self) -> Path | None:
        """The output folder, None where there is none yet."""
        text = self.folder.text().strip()
        return Path(text).expanduser() if text else None

    def suggest(self, folder: Path | None) -> None:
        """Offer a folder beside the images, unless the user chose one."""
        if self.folder.text().strip() not in ("", self._suggested):
            return
        self._suggested = "" if folder is None else str(folder / FOLDER_NAME)
        self._show(self._suggested)

    def use(self, folder: Path) -> None:
        """Write into a folder."""
        self._show(str(folder))
        self.changed.emit()

    def _show(self, folder: str) -> None:
        self.folder.setText(folder)
        self.folder.setToolTip(as_it_is(folder or "Choose the folder to write into"))

    def check(self) -> str:
        """Tell beside the folder why nothing can be written there; "" where something can."""
        out = self.out
        problem = ""
        if out is not None and out.exists() and not out.is_dir():
            problem = f"{out} is a file, not a folder: choose another output folder."
        elif out is not None and out.is_dir() and not os.access(out, os.W_OK):
            problem = f"You may not write into {out}: choose another output folder."
        self.note.fail(problem)
        return problem

    def allow(self, free: bool) -> None:
        """Let the user change the choices, or not while a batch runs."""
        for control in (*self.kinds.values(), self.choose, self.again):
            control.enabled = free
        self.folder.setEnabled(free)

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self._owner, "Folder for the results", self.folder.text()
        )
        if folder:
            self.use(Path(folder))


class _FolderLine(QLineEdit):
    """A line for a path in napari's font, which its theme sets for labels only."""

    def __init__(self, label: QLabel) -> None:
        super().__init__()
        self._label = label
        self._settle = SettleTimer(self, 0, self.adopt_font)

    def adopt_font(self) -> None:
        """Take the font of the label."""
        self._label.ensurePolished()
        if self.font() != self._label.font():
            self.setFont(self._label.font())

    def showEvent(self, event: QShowEvent) -> None:
        """Take napari's font size when it is known."""
        super().showEvent(event)
        self.adopt_font()

    def changeEvent(self, event: QEvent) -> None:
        """Follow napari's font size, once the label has it."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._settle.start()
