"""What of a tile's surroundings counts: left to the score, or chosen by hand."""

from __future__ import annotations

from magicgui import widgets

from napari_sem_classify.core.model.surroundings import ALIGNMENTS, SMOOTHINGS, surroundings_for
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, narrow
from napari_sem_classify.plugin.teach.learner import Learner

CHOSEN, AUTOMATIC = "as the score shows", "automatic"
AMOUNTS = {0.0: "counts", 0.5: "counts half", 1.0: "set aside"}


class AroundForm:
    """A row for each part of the surroundings; a note tells what the model uses, and why."""

    def __init__(self, learner: Learner, form: Form) -> None:
        self._learner = learner
        self.context = _combo([("not looked at", False), ("looked at", True)])
        self.alignment = _combo([(AMOUNTS[share], share) for share in ALIGNMENTS])
        self.smoothing = _combo([(f"{each:g}" if each else "none", each) for each in SMOOTHINGS])
        self.note = Note("What the surroundings of a tile add")
        explain(
            self.context,
            "Neighbours",
            "Whether the eight tiles around a tile are looked at beside the tile itself",
        )
        explain(
            self.alignment,
            "Look of the image",
            "Whether what all tiles of an image have in common counts: set aside it helps from one "
            "specimen to the next where each image holds several classes",
        )
        explain(
            self.smoothing,
            "Smoothing",
            "How far neighbours that are of one class draw a tile to it; never where a class is "
            "found by containing a little of it",
        )
        form.row("Neighbours", self.context)
        form.row("Image look", self.alignment)
        form.row("Smoothing", self.smoothing)
        form.wide(self.note)
        for combo in (self.context, self.alignment, self.smoothing):
            combo.changed.connect(self._on_choice)

    def refresh(self, own: bool = True) -> None:
        """Tell what the model uses, and whether copies with other settings.

        Where that is not its `own` choice, it cannot be changed.
        """
        for combo in (self.context, self.alignment, self.smoothing):
            combo.enabled = own
        learned = self._learner.learned
        if learned is None or not learned.scored:
            return
        taught = learned.taught
        said = f"Used: {taught.surroundings.title}."
        said = said if taught.choice is None else taught.choice.reason
        self.note.say(said if taught.copies is None else f"{said} {taught.copies.reason}")

    def _on_choice(self) -> None:
        combos = (self.context, self.alignment, self.smoothing)
        wished = (None if each.value == AUTOMATIC else each.value for each in combos)
        self._learner.use_surroundings(surroundings_for(*wished))


def _combo(choices: list[tuple[str, bool]] | list[tuple[str, float]]) -> widgets.ComboBox:
    return narrow(widgets.ComboBox(choices=[(CHOSEN, AUTOMATIC), *choices]))
