"""Takes tiles over from a layer that the user already has, and follows its edits."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject

from napari_sem_classify.core.annotate.edits import with_drawn
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.app.text import count_text
from napari_sem_classify.plugin.teach.source_form import SourceForm
from napari_sem_classify.plugin.teach.sources import tiles_of_layer
from napari_sem_classify.plugin.teach.teacher import Teacher

SETTLE_MS = 300


class DrawnTiles:
    """Annotates tiles as the layer of a `SourceForm` has them, once its user pauses."""

    def __init__(self, teacher: Teacher, form: SourceForm, owner: QObject) -> None:
        self._teacher, self._form = teacher, form
        # What a layer said of each image and plane, to take it back.
        self._drawn: dict[str, dict[Any, Any]] = {}
        self._later = SettleTimer(owner, SETTLE_MS, self.take)

    @property
    def taken(self) -> bool:
        """Whether tiles were taken over."""
        return bool(self._drawn)

    def follow(self) -> bool:
        """Take the tiles over soon; False where none are to be taken from a layer."""
        if self._form.layer is None:
            self._drawn.clear()
            return False
        self._later.start()
        return True

    def settle(self) -> None:
        """Take over what was drawn so far, before anything else is done."""
        self._later.settle()

    def take(self) -> None:
        """Annotate tiles as the layer has them; what it said before is taken back."""
        source, layer = self._form.layer, self._teacher.layer
        grid, key, book = self._teacher.grid, self._teacher.key, self._teacher.book
        if source is None or layer is None or grid is None or key is None:
            return
        said, chosen = book.annotations, str(self._form.as_class.value or "")
        share, plane = self._form.min_share, self._teacher.plane
        try:
            found = tiles_of_layer(source, layer, grid, said, chosen, share, plane)
        except SemClassifyError as error:
            self._form.problem.fail(str(error))
            return
        self._form.problem.say("")
        before = self._drawn.get(key, {})
        annotations, self._drawn[key] = with_drawn(said, key, grid, found, before)
        book.edit(annotations, join="layer")
        self._form.note.say(
            f"{count_text(found.n_labelled)} tiles from {source.name} · "
            f"{count_text(found.n_mixed)} mixed left out"
        )
