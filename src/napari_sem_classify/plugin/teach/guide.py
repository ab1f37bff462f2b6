"""What to annotate next, and which annotations to look at again: one tile after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.annotate.place import TilePlace
from napari_sem_classify.core.teach.learn import suggest_places
from napari_sem_classify.core.teach.looked import SeenTiles, Sight
from napari_sem_classify.core.teach.suggest import suspicious_tiles
from napari_sem_classify.plugin.app.camera import focus_canvas
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.app.text import count_text
from napari_sem_classify.plugin.forms.layout import Form, Note, button, side_by_side
from napari_sem_classify.plugin.teach.look_form import LookForm
from napari_sem_classify.plugin.teach.teacher import Teacher
from napari_sem_classify.plugin.teach.tour import Tour

if TYPE_CHECKING:
    from napari.components import ViewerModel

SUGGESTIONS = 10
SUGGEST, END = "Suggest next", "End the tour"
KEYS_HINT = "1 to 9 class · Space next · Backspace back"
SUGGEST_TOOLTIP = (
    f"Go to the tiles that teach most: typical ones first, doubtful ones later. {KEYS_HINT}"
)
DOUBTS_TOOLTIP = "Go to annotated tiles that the model, without having seen them, puts elsewhere"


class Guide:
    """Suggestions, doubtful annotations and confusions as tours through their tiles."""

    def __init__(self, teacher: Teacher, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        self._teacher = teacher
        self._viewer = viewer
        self._owner = owner
        self._choosing = JobSlot(owner)
        self._reduced: tuple[SeenTiles | None, NDArray[np.float32] | None] = (None, None)
        self._again: Callable[[], None] | None = None  # gives more tiles at the end of a tour
        self.tour = Tour(viewer)
        self.button = button(SUGGEST, SUGGEST_TOOLTIP)
        self.where = Note("Tile of the tour")
        self.doubts = Note("Annotations that look wrong")
        self.show_doubts = button("Show", DOUBTS_TOOLTIP, "Show annotations that look wrong")
        self.look_form = LookForm(teacher, viewer, self._start, owner)
        similar = self.look_form.similar
        form.wide(side_by_side(self.button, similar.find), self.where)
        form.wide(self.look_form.note, similar.go)
        self._row = form.row("Doubtful", self.doubts, self.show_doubts)
        self._row.setVisible(False)
        self.button.changed.connect(self._on_button)
        self.show_doubts.changed.connect(self.visit_doubts)

    # ------------------------------------------------------------------ tours

    def _on_button(self) -> None:
        if self.tour.active:
            self.stop()
        else:
            self.suggest()

    def suggest(self) -> None:
        """Work out which tiles to annotate next, and go to the first."""
        teacher = self._teacher
        key, grid, image = teacher.key, teacher.grid, teacher.image
        if self._choosing.running or key is None or grid is None or image is None:
            return
        looked = teacher.memory.looked.get(key)
        sight = Sight(key, image, grid)
        if looked is None or not teacher.learner.has_looked(sight):
            self.where.say("Looking at the tiles first…")
            teacher.learner.look(sight, then=self.suggest)
            return
        names = teacher.book.annotations.class_names
        labels = teacher.book.annotations.of(key).tile_labels(grid, names).labels
        of, reduced = self._reduced
        if of is not looked:
            reduced = None
        probabilities, count = None, 0
        learned = teacher.learner.learned
        if learned is not None and learned.class_map is not None:
            seen = learned.class_map
            fits = (seen.grid, seen.image_name, seen.plane) == (grid, image.name, teacher.plane)
            probabilities = learned.tile_probabilities if fits else None
            count = teacher.learner.learned_from

        def done(found: tuple[NDArray[np.float32], list[TilePlace]]) -> None:
            self._reduced = (looked, found[0])
            self._start(found[1], "Suggested", self.suggest)
            if not found[1]:
                self.where.say("All tiles are annotated.")

        self.where.say("Choosing tiles…")
        self._choosing.start(
            lambda _context: suggest_places(
                looked, reduced, labels, probabilities, SUGGESTIONS, count
            ),
            doing="choosing tiles to annotate",
            on_done=done,
            on_failed=self.where.fail,
        )

    def doubtful(self) -> list[TilePlace]:
        """Annotated tiles of the image in view that the model contradicts."""
        learned = self._teacher.learner.learned
        if learned is None or learned.taught.score is None:
            return []
        score = learned.taught.score
        labels = learned.lesson.labels[score.scored]
        return self._places(score.scored[suspicious_tiles(labels, score.probabilities)])

    def visit_doubts(self) -> None:
        """Go to the annotations that look wrong."""
        self._start(self.doubtful(), "Looks wrong")

    def visit_confused(self, true: int, predicted: int) -> None:
        """Go to the tiles of one cell of the confusion matrix."""
        learned = self._teacher.learner.learned
        if learned is None or learned.taught.score is None:
            return
        score = learned.taught.score
        said = learned.lesson.labels[score.scored]
        found = score.probabilities.argmax(axis=1)
        tiles = score.scored[(said == true) & (found == predicted)]
        names = learned.lesson.class_names
        word = "found as" if true == predicted else "taken for"
        self._start(self._places(tiles), f"{names[true]} {word} {names[predicted]}")

    def _places(self, numbers: NDArray[np.int64]) -> list[TilePlace]:
        """Tiles of a lesson that lie in the image in view and are annotated still."""
        learned, here = self._teacher.learner.learned, self._teacher.here
        if learned is None or here is None:
            return []
        tiles = [learned.lesson.tiles[int(number)] for number in numbers]
        return [at for key, at in tiles if key == self._teacher.key and at in here.marks]

    def _start(
        self, places: list[TilePlace], what: str, again: Callable[[], None] | None = None
    ) -> None:
        self._again = again
        layer = self._teacher.layer
        if layer is None:
            return
        if not places:
            where = "planes or images" if self._teacher.plane else "images"
            self.where.say(f"{what}: these tiles lie in other {where}.")
            return
        self._teacher.show()
        painting = self._teacher.painting
        if painting.alive:
            self._viewer.layers.selection.active = painting.layer
        self.tour.start(layer, places, what)
        self._bind(True)
        focus_canvas(self._owner)
        self._tell()

    def annotate(self, class_name: str) -> None:
        """Give the tile of the tour a class and go on."""
        place, key = self.tour.place, self._teacher.key
        if place is not None and key is not None:
            self._teacher.book.mark(key, {place: class_name})
            self._forward()

    def _forward(self) -> None:
        if not self.tour.forward():
            self._bind(False)
            if self._again is not None:
                self._again()
        self._tell()

    def _back(self) -> None:
        self.tour.back()
        self._tell()

    def stop(self) -> None:
        """End the tour."""
        if self.tour.active:
            self.tour.stop()
            self._bind(False)
        self.look_form.stop()
        self._tell()

    def _bind(self, on: bool) -> None:
        """Space and Backspace belong to napari except on a tour."""
        teacher = self._teacher
        keys = {key: act for key, act in teacher.keys.items() if key not in ("Space", "Backspace")}
        teacher.maps.stop_keys()
        teacher.keys = {**keys, "Space": self._forward, "Backspace": self._back} if on else keys
        teacher.bind()

    # ------------------------------------------------------------------ what is shown

    def _tell(self) -> None:
        active = self.tour.active
        self.button.text = END if active else SUGGEST
        if active:
            self.where.say(f"{self.tour.text} · {KEYS_HINT}")
        elif not self._choosing.running and not self._teacher.learner.looking:
            self.where.say("")

    def refresh(self) -> None:
        """Bring the form up to date."""
        teacher = self._teacher
        self.look_form.refresh()
        self.button.enabled = teacher.key is not None and bool(teacher.book.annotations.classes)
        count = 0 if self.tour.active else len(self.doubtful())
        self._row.setVisible(count > 0 and teacher.learner.teachable)
        one = "1 annotation looks wrong"
        self.doubts.say(one if count == 1 else f"{count_text(count)} annotations look wrong")
        if not self.tour.active and self.button.text == END:
            self._tell()
