"""From the map in view to outlines of its classes, as a layer beside it.

What is painted on them is evidence: drawn again, what looks alike nearby follows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot, SettleTimer
from napari_sem_classify.plugin.app.text import percent_text
from napari_sem_classify.plugin.forms.layout import Form, Note, button
from napari_sem_classify.plugin.layers.outline_layer import (
    painted_by_hand,
    painted_shares,
    show_outlines,
)
from napari_sem_classify.plugin.layers.strokes import StrokeWatch

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

DRAWING = "Drawing outlines…"
DRAWN, PAINTED = "By outlines", "By outlines as painted"
AGAIN = "Draw outlines again: what looks alike nearby follows what you painted."
_SETTLED_MS = 150


class OutlineForm:
    """A button that draws outlines, and a note on what they cover."""

    def __init__(self, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        self._viewer = viewer
        self._drawing = JobSlot(owner)
        self._of: tuple[Image, SemImage, ClassMap] | None = None
        self._shown: tuple[Labels, ClassMap] | None = None
        self._first: list[float] | None = None
        self._drawn: NDArray[Any] | None = None
        self._hers: NDArray[Any] | None = None
        self._strokes: StrokeWatch | None = None
        self._painted = SettleTimer(owner, _SETTLED_MS, self._count)
        self.button = button(
            "Draw outlines",
            "Draw where the classes end, from the map and the image, as labels that can be "
            "painted; what you painted stays, and its surroundings follow. Measure lists them",
        )
        self.note = Note("Outlines of the classes")
        form.wide(self.button, self.note)
        self.button.native.setVisible(False)
        self.button.changed.connect(self.draw)

    def follow(
        self, layer: Image | None, image: SemImage | None, class_map: ClassMap | None
    ) -> None:
        """Offer the outlines of a map; None where there is no map in view."""
        now = None
        if layer is not None and image is not None and class_map is not None:
            now = layer, image, class_map
        self.button.native.setVisible(now is not None)
        if self._of is None or now is None or self._of[2] is not now[2]:
            self._drawing.abandon()
            self.button.enabled = True
            self._watch(None, None)
            self.note.say("")
        self._of = now

    def stop(self) -> None:
        """Watch no outlines any more."""
        self._watch(None, None)

    def draw(self) -> None:
        """Draw the outlines in the background and show them."""
        if self._of is None or self._drawing.running:
            return
        layer, image, class_map = self._of
        hers = self._painted_now()
        self.button.enabled = False
        self.note.say(DRAWING)

        def task(context: JobContext) -> ClassMap:
            from napari_sem_classify.core.outlines.options import OutlineOptions
            from napari_sem_classify.core.outlines.outline import with_outlines

            return with_outlines(class_map, image, OutlineOptions(), context, hers)

        self._drawing.start(
            task,
            doing="drawing outlines",
            on_done=lambda drawn: self._show(layer, drawn, hers),
            on_failed=self.note.fail,
            on_end=lambda: setattr(self.button, "enabled", True),
        )

    def _painted_now(self) -> NDArray[Any] | None:
        """What the user painted on the outlines of this map, as long as they are in the viewer."""
        if self._shown is None or self._drawn is None or self._shown[0] not in self._viewer.layers:
            return None
        labels, drawn = self._shown
        now = np.asarray(labels.data)
        if now.shape != self._drawn.shape:
            return None
        return painted_by_hand(now, self._drawn, self._hers, len(drawn.classes))

    def _show(self, layer: Image, drawn: ClassMap, hers: NDArray[Any] | None) -> None:
        if layer not in self._viewer.layers or drawn.outlines is None:
            return
        self._watch(show_outlines(self._viewer, layer, drawn.outlines, hers), drawn, hers)
        self._say(drawn, DRAWN, (each["fraction"] for each in drawn.record["outlines"]["classes"]))

    def _watch(
        self, labels: Labels | None, drawn: ClassMap | None, hers: NDArray[Any] | None = None
    ) -> None:
        """Measure these outlines anew when they are painted on; huge ones cannot be."""
        if self._strokes is not None:
            self._strokes.stop()
        self._painted.stop()
        self._strokes = self._shown = self._drawn = self._hers = None
        if labels is None or drawn is None or not isinstance(labels.data, np.ndarray):
            return
        self._shown, self._hers = (labels, drawn), hers
        self._drawn = labels.data.copy()
        self._first = painted_shares(labels.data, len(drawn.classes))
        self._strokes = StrokeWatch(labels, self._painted.start)

    def _count(self) -> None:
        if self._shown is None:
            return
        labels, drawn = self._shown
        found = painted_shares(np.asarray(labels.data), len(drawn.classes))
        told = [each["fraction"] for each in drawn.record["outlines"]["classes"]]
        if found is None or found == self._first:  # nothing is painted, or all of it undone
            self._say(drawn, DRAWN, told)
            return
        # A class that could not be drawn has no area before some is painted.
        shares = (
            None if before is None and not now else now
            for before, now in zip(told, found, strict=True)
        )
        self._say(drawn, PAINTED, shares, AGAIN)

    def _say(
        self, drawn: ClassMap, what: str, fractions: Iterable[float | None], more: str = ""
    ) -> None:
        names = (info.name for info in drawn.classes)
        shares = (
            f"{name} {percent_text(share)}" for name, share in zip(names, fractions, strict=True)
        )
        said = f"{what}: {', '.join(shares)}. {more}".rstrip()
        doubts = drawn.record["outlines"]["doubts"]
        if doubts:
            self.note.warn(" ".join([said, *doubts]))
        else:
            self.note.say(said)
