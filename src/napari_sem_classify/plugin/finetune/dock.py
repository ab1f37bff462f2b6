"""The *Teach* dock as the menu opens it: annotate, score, fine-tune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_sem_classify.plugin.finetune.widget import FineTunePage
from napari_sem_classify.plugin.teach.widget import ANNOTATE, TeachWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

FINE_TUNE = "Fine-tune"


class TeachDock(TeachWidget):
    """Teach, with the page that trains the network itself."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.fine_tuning = FineTunePage(self._viewer, self, lambda: self.frame.turn_to(ANNOTATE))
        self.frame.add_page(
            FINE_TUNE,
            "Train the network itself on the annotated tiles",
            self.fine_tuning,
            self.fine_tuning.foot,
        )

    def at(self, page: str) -> QWidget:
        """Turn to a page; gives what a script may want to work with."""
        super().at(page)
        return self.fine_tuning if page == FINE_TUNE else self

    def stop(self) -> None:
        """Let go of all work under way; what was annotated is written first."""
        self.fine_tuning.stop()
        super().stop()
