"""From the map in view to outlines of its classes, as a layer beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.text import percent_text
from napari_sem_classify.plugin.forms.layout import Form, Note, button
from napari_sem_classify.plugin.layers.outline_layer import show_outlines

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

DRAWING = "Drawing outlines…"


class OutlineForm:
    """A button that draws outlines, and a note on what they cover."""

    def __init__(self, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        self._viewer = viewer
        self._drawing = JobSlot(owner)
        self._of: tuple[Image, SemImage, ClassMap] | None = None
        self.button = button(
            "Draw outlines",
            "Draw where the classes end, from the map and the image, as labels that can be painted",
        )
        self.note = Note("Outlines of the classes")
        form.wide(self.button, self.note)
        self.button.native.setVisible(False)
        self.button.changed.connect(self.draw)

    def follow(
        self, layer: Image | None, image: SemImage | None, class_map: ClassMap | None
    ) -> None:
        """Offer the outlines of a map; None where there is no map in view."""
        there = layer is not None and image is not None and class_map is not None
        self.button.native.setVisible(there)
        now = (layer, image, class_map) if there else None
        if self._of is None or now is None or self._of[2] is not now[2]:
            self._drawing.abandon()
            self.button.enabled = True
            self.note.say("")
        self._of = now  # type: ignore[assignment]

    def draw(self) -> None:
        """Draw the outlines in the background and show them."""
        if self._of is None or self._drawing.running:
            return
        layer, image, class_map = self._of
        self.button.enabled = False
        self.note.say(DRAWING)

        def task(context: JobContext) -> ClassMap:
            from napari_sem_classify.core.outlines.options import OutlineOptions
            from napari_sem_classify.core.outlines.outline import with_outlines

            return with_outlines(class_map, image, OutlineOptions(), context)

        self._drawing.start(
            task,
            doing="drawing outlines",
            on_done=lambda drawn: self._show(layer, drawn),
            on_failed=self.note.fail,
            on_end=lambda: setattr(self.button, "enabled", True),
        )

    def _show(self, layer: Image, drawn: ClassMap) -> None:
        if layer not in self._viewer.layers or drawn.outlines is None:
            return
        show_outlines(self._viewer, layer, drawn.outlines)
        told = drawn.record["outlines"]
        shares = (f"{each['name']} {percent_text(each['fraction'])}" for each in told["classes"])
        said = f"By outlines: {', '.join(shares)}."
        doubts = told["doubts"]
        if doubts:
            self.note.warn(" ".join([said, *doubts]))
        else:
            self.note.say(said)
