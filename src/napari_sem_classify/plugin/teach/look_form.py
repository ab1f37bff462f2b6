"""Look before labelling: tiles like one that is clicked, and groups of tiles that look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_sem_classify.plugin.teach.similar_form import SimilarForm
from napari_sem_classify.plugin.teach.structure_form import StructureForm
from napari_sem_classify.plugin.teach.teacher import Teacher
from napari_sem_classify.plugin.teach.tile_look import StartTour, TileLook

if TYPE_CHECKING:
    from napari.components import ViewerModel


class LookForm:
    """*Find similar* and *Show structure*; what they find becomes suggestions.

    The note, and the controls of both, are for the forms that they stand in.
    """

    def __init__(
        self, teacher: Teacher, viewer: ViewerModel, start: StartTour, owner: QWidget
    ) -> None:
        self._look = TileLook(teacher, viewer, start, owner)
        self.similar = SimilarForm(self._look, owner)
        self.structure = StructureForm(self._look)
        self.note = self._look.note
        self._look.changed.connect(self.refresh)

    def refresh(self) -> None:
        """Bring the form up to date."""
        self.similar.refresh()
        self.structure.refresh()

    def stop(self) -> None:
        """Ask for no click any more."""
        self._look.stop()
