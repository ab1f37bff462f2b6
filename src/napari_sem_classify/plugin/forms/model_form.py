"""Which model: its classes with their colours, and the scale it was taught at."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.catalogue import ModelEntry, catalogue
from napari_sem_classify.core.model.file import read_card
from napari_sem_classify.plugin.app.text import length_text
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, narrow

OPEN_FILE = "Open model file…"


class ModelForm:
    """Choice of the model; `entry` is None where there is none to choose."""

    changed = Signal()

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._owner = owner
        self._opened: list[ModelEntry] = []
        self._catalogue = catalogue()
        self.entry: ModelEntry | None = None
        self.combo = narrow(widgets.ComboBox(choices=self._choices))
        explain(self.combo, "Model", "The model that tells the classes apart")
        self.chips = Note("Classes of the model")
        self.trained = Note("What the model was taught on")
        self.problem = Note("Problem with the model")
        form.row("Model", self.combo)
        form.wide(self.problem, self.chips, self.trained)
        self.combo.changed.connect(self._on_combo)
        usable = [entry for entry in self._entries() if entry.card is not None]
        if usable:
            self.combo.value = usable[0]
        self._use(self.combo.value)

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model, None where it cannot be used."""
        return None if self.entry is None else self.entry.card

    def open_file(self, path: Path | str) -> None:
        """Add a model file to the choices and choose it; say why where it cannot be used."""
        path = Path(path)
        try:
            entry = ModelEntry(path.stem, path, read_card(path), "user")
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return
        self.offer(entry)

    def offer(self, entry: ModelEntry) -> None:
        """Add a model to the choices and choose it."""
        self._opened = [other for other in self._opened if other.path != entry.path] + [entry]
        self.combo.reset_choices()
        self.combo.value = entry

    def refresh(self) -> None:
        """Look again for models, keeping the choice."""
        self._catalogue = catalogue()
        self.combo.reset_choices()

    def _entries(self) -> list[ModelEntry]:
        return [*self._catalogue, *self._opened]

    def _choices(self, _widget: Any = None) -> list[tuple[str, Any]]:
        return [*((_title(entry), entry) for entry in self._entries()), (OPEN_FILE, OPEN_FILE)]

    def _on_combo(self, value: Any) -> None:
        if value != OPEN_FILE:
            self._use(value)
            return
        path, _ = QFileDialog.getOpenFileName(
            self._owner, "Open model file", "", "Models (*.safetensors)"
        )
        before = self.entry
        if path:
            self.open_file(path)
        if self.combo.value == OPEN_FILE and before is not None:
            with self.combo.changed.blocked():
                self.combo.value = before

    def _use(self, value: Any) -> None:
        self.entry = value if isinstance(value, ModelEntry) else None
        self.problem.say("")
        card = self.card
        if self.entry is None:
            self.problem.say("There is no model yet: choose a model file.")
        elif card is None:
            self.problem.fail(self.entry.problem)
        if card is None:
            self.chips.say("")
            self.trained.say("")
        else:
            self.chips.say_html(_chips(card), ", ".join(card.class_names))
            self.trained.say(trained_text(card))
        self.changed.emit()


def trained_text(card: ModelCard) -> str:
    """At which scale a model was taught: "taught at 12 nm/px, 64 px tiles (0.77 µm)"."""
    if card.pixel_size_nm is None:
        return f"taught on {card.tile_px} px tiles, without a scale"
    side = length_text(card.pixel_size_nm * card.tile_px)
    return f"taught at {card.pixel_size_nm:.4g} nm/px, {card.tile_px} px tiles ({side})"


def _title(entry: ModelEntry) -> str:
    if entry.card is None:
        return f"{entry.name} (cannot be used)"
    return entry.name if entry.card.name == entry.name else f"{entry.card.name} ({entry.name})"


def _chips(card: ModelCard) -> str:
    return " &nbsp; ".join(
        f'<span style="color:{info.colour}">■</span>&nbsp;'
        f"{html.escape(info.title).replace(' ', '&nbsp;')}"
        for info in card.classes
    )
