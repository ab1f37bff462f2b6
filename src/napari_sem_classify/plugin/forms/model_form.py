"""Which model: its classes with their colours, and the scale it was taught at."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.catalogue import ModelEntry, catalogue
from napari_sem_classify.core.model.file import read_card
from napari_sem_classify.core.model.recent import recent_models, remember_model
from napari_sem_classify.plugin.app.session import Session
from napari_sem_classify.plugin.app.text import length_text
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, narrow

OPEN_FILE = "Open model file…"


class ModelForm:
    """Choice of the model; `entry` is None where there is none to choose."""

    changed = Signal()

    def __init__(
        self,
        form: Form,
        owner: QWidget,
        *,
        session: Session | None = None,
        label: str = "Model",
        none: str = "",
        check: Callable[[ModelCard], None] = lambda _card: None,
    ) -> None:
        """Offer models.

        A model that is saved in the session's window is chosen; `none` names the choice of no
        model, and `check` refuses a card.
        """
        self._owner, self._none, self._check = owner, none, check
        self._opened: list[ModelEntry] = []
        self._catalogue = [*catalogue(), *recent_models()]
        self.entry: ModelEntry | None = None
        self.combo = narrow(widgets.ComboBox(choices=self._choices))
        about = "The model that tells the classes apart"
        explain(self.combo, label, f"{about}: {none}, or one that is there" if none else about)
        self.chips = Note("Classes of the model")
        self.trained = Note("What the model was taught on")
        self.problem = Note("Problem with the model")
        self.row = form.row(label, self.combo)
        form.wide(self.problem, self.chips, self.trained)
        self.combo.changed.connect(self._on_combo)
        usable = [entry for entry in self._entries() if entry.card is not None]
        if usable and not none:
            self.combo.value = usable[0]
        self._use(self.combo.value)
        if session is not None:
            session.model_saved.connect(self.choose)
            if session.saved_model is not None:
                self.choose(session.saved_model)

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model, None where it cannot be used."""
        return None if self.entry is None else self.entry.card

    def open_file(self, path: Path | str) -> None:
        """Add a model file to the choices and choose it; say why where it cannot be used."""
        path = Path(path)
        try:
            entry = ModelEntry(path.stem, path, read_card(path), "user")
            if entry.card is not None:
                self._check(entry.card)
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return
        remember_model(path)
        self.offer(entry)

    def choose(self, path: Path) -> None:
        """Choose the model of a file, which may be new since the last look."""
        self.refresh()
        listed = [entry for entry in self._entries() if entry.path == path]
        if listed:
            self.combo.value = listed[0]
        else:
            self.open_file(path)

    def offer(self, entry: ModelEntry) -> None:
        """Add a model to the choices and choose it."""
        self._opened = [other for other in self._opened if other.path != entry.path] + [entry]
        self.combo.reset_choices()
        self.combo.value = entry

    def refresh(self) -> None:
        """Look again for models, keeping the choice."""
        before = None if self.entry is None else self.entry.path
        self._catalogue = [*catalogue(), *recent_models()]
        self._opened = [entry for entry in self._opened if entry.path not in self._listed]
        with self.combo.changed.blocked():
            self.combo.reset_choices()
            same = [entry for entry in self._entries() if entry.path == before]
            if same and before is not None:
                self.combo.value = same[0]
        value = self.combo.value
        if (value if isinstance(value, ModelEntry) else None) != self.entry:
            self._use(value)

    def choose_none(self) -> None:
        """Choose no model, where that is offered."""
        self.combo.value = self._none

    @property
    def _listed(self) -> set[Path]:
        return {entry.path for entry in self._catalogue}

    def _entries(self) -> list[ModelEntry]:
        return [entry for entry in (*self._catalogue, *self._opened) if self._fits(entry)]

    def _fits(self, entry: ModelEntry) -> bool:
        """Whether a model is to be offered; one that is broken is, with what is wrong."""
        if entry.card is None:
            return not self._none
        try:
            self._check(entry.card)
        except SemClassifyError:
            return False
        return True

    def _choices(self, _widget: Any = None) -> list[tuple[str, Any]]:
        entries = self._entries()
        offered: list[tuple[str, Any]] = list(zip(titles(entries), entries, strict=True))
        none = [(self._none, self._none)] if self._none else []
        return [*none, *offered, (OPEN_FILE, OPEN_FILE)]

    def _on_combo(self, value: Any) -> None:
        if value != OPEN_FILE:
            self._use(value)
            return
        path, _ = QFileDialog.getOpenFileName(
            self._owner, "Open model file", "", "Models (*.safetensors)"
        )
        before: Any = self.entry or self._none
        if path:
            self.open_file(path)
        if self.combo.value == OPEN_FILE and before:
            with self.combo.changed.blocked():
                self.combo.value = before

    def _use(self, value: Any) -> None:
        self.entry = value if isinstance(value, ModelEntry) else None
        self.problem.say("")
        card = self.card
        if self.entry is None and not self._none:
            self.problem.say("There is no model yet: choose a model file.")
        elif self.entry is not None and card is None:
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


def titles(entries: Sequence[ModelEntry]) -> list[str]:
    """What models are called in a list: those of one title with their folder, or their place."""
    said = [_title(entry) for entry in entries]
    for place in (lambda path: path.parent.name, str):
        counts = Counter(said)
        said = [
            f"{_title(entry)} · {place(entry.path)}" if counts[title] > 1 else title
            for entry, title in zip(entries, said, strict=True)
        ]
    return said


def _title(entry: ModelEntry) -> str:
    if entry.card is None:
        return f"{entry.name} (cannot be used)"
    plain = entry.source == "shipped" or entry.card.name == entry.name
    return entry.card.name if plain else f"{entry.card.name} ({entry.name})"


def _chips(card: ModelCard) -> str:
    return " &nbsp; ".join(
        f'<span style="color:{info.colour}">■</span>&nbsp;'
        f"{html.escape(info.title).replace(' ', '&nbsp;')}"
        for info in card.classes
    )
