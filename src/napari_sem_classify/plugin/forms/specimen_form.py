"""Where the specimen is: rows and columns cut off at the borders, by numbers or by dragging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui import widgets
from qtpy.QtCore import QObject

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, follow_data, slim
from napari_sem_classify.plugin.layers.image_corrections import Corrections
from napari_sem_classify.plugin.layers.layer_image import spatial_shape
from napari_sem_classify.plugin.layers.made_layers import remove_layer
from napari_sem_classify.plugin.layers.specimen_layer import (
    SPECIMEN,
    drawing_layer_of,
    show_specimen,
    specimen_in,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

SIDES = ("top", "bottom", "left", "right")
DONE = ("changed", "added", "removed")
SHOW, HIDE = "Show in viewer", "Hide in viewer"


class SpecimenForm:
    """Four numbers and a rectangle in the viewer that mean the same area.

    Attributes
    ----------
    sides : {"top", "bottom", "left", "right": SpinBox}
        Pixels cut off at each border, of the finest level.
    """

    def __init__(
        self, viewer: ViewerModel, form: Form, corrections: Corrections, owner: QObject
    ) -> None:
        self._viewer = viewer
        self._corrections = corrections
        self._layer: Image | None = None
        self._drawn: Shapes | None = None
        self._drawing = False
        self._build(form)
        # A rectangle is let go of inside napari's own mouse handling: answer after it.
        self._settle = SettleTimer(owner, 0, self._take_drawn)
        viewer.layers.events.inserted.connect(self._follow)
        viewer.layers.events.removed.connect(self._follow)

    def _build(self, form: Form) -> None:
        self.sides = {side: slim(widgets.SpinBox(min=0, max=0, step=1), "0000") for side in SIDES}
        for side, box in self.sides.items():
            box.native.setKeyboardTracking(False)
            what = "Rows" if side in ("top", "bottom") else "Columns"
            explain(box, f"{what} cut off, {side}", f"{what} at the {side} that are no specimen")
            box.changed.connect(self._on_number)
        self.show = button(
            SHOW,
            "Show the specimen area as a rectangle: drag its sides to change it",
            "Specimen area in the viewer",
        )
        self.reset = button(
            "As found", "Have back the area found in the file or in the picture", "Area as found"
        )
        self.problem = Note("Problem with the specimen area")
        top, bottom, left, right = (self.sides[side] for side in SIDES)
        self._rows = [
            form.row("Cut ↑↓", top, bottom),
            form.row("Cut ←→", left, right),
            form.row("", self.show, self.reset),
        ]
        form.wide(self.problem)
        self.show.changed.connect(self._on_show)
        self.reset.changed.connect(self._on_reset)

    def set_visible(self, visible: bool) -> None:
        """Show the controls, or fold them away."""
        for row in self._rows:
            row.setVisible(visible)

    def use(self, layer: Image | None) -> None:
        """Show the area of an image layer whose notes are there, None for no layer."""
        self._layer = layer
        self.problem.say("")
        self._follow()
        if layer is None:
            return
        area = self._corrections.specimen(layer).area
        rows, cols = spatial_shape(layer)
        shown = (area.top, rows - area.bottom, area.left, cols - area.right)
        most = (area.bottom - 1, rows - area.top - 1, area.right - 1, cols - area.left - 1)
        for box, value, limit in zip(self.sides.values(), shown, most, strict=True):
            with box.changed.blocked():
                box.max = max(limit, value)
                box.value = value
        self.reset.enabled = not self._corrections.area_is_found(layer)
        if self._drawn is not None:
            self._draw(area)

    # ------------------------------------------------------------------ numbers

    def _on_number(self) -> None:
        layer = self._layer
        if layer is None:
            return
        rows, cols = spatial_shape(layer)
        top, bottom, left, right = (int(box.value) for box in self.sides.values())
        try:
            self._corrections.set_area(layer, Area(top, rows - bottom, left, cols - right))
        except SemClassifyError as error:
            self.problem.fail(str(error))

    def _on_reset(self) -> None:
        if self._layer is not None:
            self._corrections.reset_area(self._layer)

    # ------------------------------------------------------------------ rectangle

    def _on_show(self) -> None:
        layer = self._layer
        if layer is None:
            return
        if self._drawn is not None:
            remove_layer(self._viewer, self._drawn)
        else:
            self._draw(self._corrections.specimen(layer).area)
            self._follow()

    def _draw(self, area: Area) -> None:
        """Lay the rectangle over an area, without taking that for the user's doing."""
        layer, drawn = self._layer, self._drawn
        if layer is None or (drawn is not None and _shows(drawn, layer, area)):
            return
        self._drawing = True
        try:
            show_specimen(self._viewer, layer, area)
        finally:
            self._drawing = False

    def _follow(self, _event: Any = None) -> None:
        """Listen to the rectangle that is there by now, whoever made it."""
        layer = self._layer
        drawn = None if layer is None else drawing_layer_of(self._viewer, layer, SPECIMEN)
        follow_data(self._drawn, drawn, self._on_drawn)
        self._drawn = drawn
        self.show.text = SHOW if drawn is None else HIDE

    def _on_drawn(self, event: Any) -> None:
        # While it is being dragged, the rectangle is left to the mouse.
        if not self._drawing and event.action in DONE:
            self._settle.start()

    def _take_drawn(self) -> None:
        layer, drawn = self._layer, self._drawn
        if layer is None or drawn is None:
            return
        self.problem.say("")
        try:
            area = specimen_in(drawn, layer)
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return
        self._corrections.set_area(layer, area)
        self._draw(area)


def _shows(drawn: Shapes, layer: Image, area: Area) -> bool:
    """Whether a rectangle lies exactly on an area: upright, on whole pixels."""
    if drawn.nshapes != 1:
        return False
    try:
        if specimen_in(drawn, layer) != area:
            return False
    except SemClassifyError:
        return False
    corners = drawn.data[0][:, -2:] + 0.5
    sides = ((area.top, area.bottom), (area.left, area.right))
    return all(
        min(abs(float(value) - side) for side in pair) < 1e-6
        for axis, pair in enumerate(sides)
        for value in corners[:, axis]
    )
