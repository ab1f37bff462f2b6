"""The pixel size by hand: a number, or a line along the scale bar and what the bar says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui import widgets
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.sem_io import pixel_size_from_scale_bar
from napari_sem_classify.plugin.app.text import counted, length_text, shortened
from napari_sem_classify.plugin.forms.layout import (
    Form,
    Note,
    button,
    explain,
    follow_data,
    narrow,
    pop_below,
    slim,
)
from napari_sem_classify.plugin.layers.image_corrections import Corrections
from napari_sem_classify.plugin.layers.layer_image import pixel_size_nm
from napari_sem_classify.plugin.layers.series import calibrated_others, series_of
from napari_sem_classify.plugin.layers.specimen_layer import (
    SCALE_BAR,
    drawing_layer_of,
    line_in,
    show_scale_bar,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

UM_IN = {"nm": 1e-3, "µm": 1.0, "mm": 1e3}
LARGEST_NM = 1e7
SAME = 1e-6
SERIES_NAME = "This pixel size for all images of the series"
SERIES_TIP = "Give this pixel size to open images as large as this one, of the same folder"


class CalibrationForm:
    """A pixel size in nm, and the scale bar to get it from.

    Attributes
    ----------
    pixel_nm : FloatSpinBox
        Side of the finest pixels in nm; 0 where the image is not calibrated.
    length, unit : FloatSpinBox, ComboBox
        What the scale bar says.
    """

    def __init__(self, viewer: ViewerModel, form: Form, corrections: Corrections) -> None:
        self._viewer = viewer
        self._corrections = corrections
        self._layer: Image | None = None
        self._line: Shapes | None = None
        self._visible = False
        self._build(form)
        viewer.layers.events.inserted.connect(self._follow)
        viewer.layers.events.removed.connect(self._follow)

    def _build(self, form: Form) -> None:
        self.pixel_nm = slim(widgets.FloatSpinBox(min=0, max=LARGEST_NM, step=0.1))
        self.pixel_nm.native.setDecimals(4)
        self.pixel_nm.native.setKeyboardTracking(False)
        self.pixel_nm.native.setSpecialValueText("unknown")
        explain(
            self.pixel_nm, "Pixel size in nm", "Side of a pixel in nanometres, where you know it"
        )
        self.reset = button(
            "As found", "Have back the pixel size of the file", "Pixel size as found"
        )
        self.length = slim(widgets.FloatSpinBox(value=1.0, min=0, max=1e6, step=1.0), "000.0")
        self.length.native.setDecimals(1)
        explain(self.length, "Length of the scale bar", "What is written at the scale bar")
        self.unit = narrow(widgets.ComboBox(choices=list(UM_IN), value="µm"), least=2)
        explain(self.unit, "Unit of the scale bar", "Unit written at the scale bar")
        self.draw = button(
            "Draw", "Draw a line: drag from one end to the other", "Draw a line along the scale bar"
        )
        self.like = button(
            "Like ▾", "Take the pixel size of another open image", "Pixel size of another image"
        )
        self.menu = QMenu(self.like.native)
        self.series = button("For the series", SERIES_TIP, SERIES_NAME)
        self.line = Note("Line along the scale bar")
        self.set = button("Set pixel size", "Take the pixel size from the line and its length")
        self.problem = Note("Problem with the pixel size")
        self._rows = [
            form.row("Pixel", self.pixel_nm, widgets.Label(value="nm")),
            form.row("", self.reset, self.like),
            form.row("", self.series),
            form.row("Bar", self.length, self.unit, self.draw),
        ]
        form.wide(self.line, self.set, self.problem)
        self.pixel_nm.changed.connect(self._on_number)
        self.reset.changed.connect(self._on_reset)
        self.like.changed.connect(self._on_like)
        self.series.changed.connect(self._on_series)
        self.draw.changed.connect(self._on_draw)
        self.set.changed.connect(self._on_set)
        self.length.changed.connect(self._tell)
        self.unit.changed.connect(self._tell)

    def set_visible(self, visible: bool) -> None:
        """Show the controls, or fold them away."""
        self._visible = visible
        for row in self._rows:
            row.setVisible(visible)
        self._tell()

    def use(self, layer: Image | None) -> None:
        """Show the pixel size of an image layer whose notes are there, None for no layer."""
        self._layer = layer
        self.problem.say("")
        self._follow()
        if layer is not None:
            with self.pixel_nm.changed.blocked():
                self.pixel_nm.value = pixel_size_nm(layer) or 0.0
            self.reset.enabled = not self._corrections.size_is_found(layer)
            self._show_others(layer)
        self._tell()

    # ------------------------------------------------------------------ number

    def _on_number(self) -> None:
        layer, size = self._layer, float(self.pixel_nm.value)
        if layer is None:
            return
        known = pixel_size_nm(layer)
        if size <= 0:
            self._corrections.reset_pixel_size(layer)
        elif known is None or abs(known - size) > SAME * size:
            self._corrections.set_pixel_size(layer, size)

    def _on_reset(self) -> None:
        if self._layer is not None:
            self._corrections.reset_pixel_size(self._layer)

    # ------------------------------------------------------------------ other images

    def _show_others(self, layer: Image) -> None:
        others = series_of(self._viewer, layer)
        self.series.enabled = bool(others) and pixel_size_nm(layer) is not None
        self.like.enabled = bool(calibrated_others(self._viewer, layer))
        told = f"{SERIES_TIP}: {counted(len(others), 'other open image')}"
        explain(self.series, SERIES_NAME, told)

    def _on_like(self) -> None:
        """A menu of the images that have a pixel size."""
        layer = self._layer
        if layer is None:
            return
        self.menu.clear()
        for other, size in calibrated_others(self._viewer, layer):
            action = QAction(f"{shortened(other.name)}: {length_text(size)}", self.menu)
            action.triggered.connect(partial(self._take, layer, size, f"as {other.name}"))
            self.menu.addAction(action)
        pop_below(self.menu, self.like.native)

    def _take(self, layer: Image, size_nm: float, source: str, _checked: bool = False) -> None:
        self._corrections.set_pixel_size(layer, size_nm, source)

    def _on_series(self) -> None:
        layer = self._layer
        size = None if layer is None else pixel_size_nm(layer)
        if layer is None or size is None:
            return
        others = series_of(self._viewer, layer)
        self._corrections.set_pixel_size_of(others, size, f"as {layer.name}")
        done = counted(len(others), "other image")
        self.problem.say(f"{length_text(size)} per px for {done} too.")

    # ------------------------------------------------------------------ scale bar

    def _on_draw(self) -> None:
        if self._layer is not None:
            show_scale_bar(self._viewer, self._layer)
            self._follow()
            self._tell()

    def _on_set(self) -> None:
        layer, line = self._layer, self._line
        if layer is None or line is None:
            return
        try:
            size = self._measured(line)
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return
        written = f"{float(self.length.value):g} {self.unit.value}"
        self._corrections.set_pixel_size(layer, size, f"scale bar of {written}")
        line.mode = "pan_zoom"
        self._viewer.layers.selection.active = layer

    def _measured(self, line: Shapes) -> float:
        start, end = line_in(line)
        length_um = float(self.length.value) * UM_IN[str(self.unit.value)]
        return pixel_size_from_scale_bar(
            (float(start[0]), float(start[1])), (float(end[0]), float(end[1])), length_um
        )

    def _follow(self, _event: Any = None) -> None:
        layer = self._layer
        line = None if layer is None else drawing_layer_of(self._viewer, layer, SCALE_BAR)
        if line is not self._line:
            follow_data(self._line, line, self._tell)
            self._line = line
            self._tell()

    def _tell(self, _event: Any = None) -> None:
        """Say what the line would give, before it is used."""
        self.problem.say("")
        line = self._line if self._visible else None
        self.set.native.setVisible(line is not None)
        self.set.enabled = False
        if line is None:
            self.line.say("")
            return
        if not line.nshapes:
            self.line.say("Drag from one end of the scale bar to the other.")
            return
        try:
            start, end = line_in(line)
            size = self._measured(line)
        except SemClassifyError as error:
            self.line.say(str(error))
            return
        pixels = float(((end - start) ** 2).sum() ** 0.5)
        self.line.say(f"Line of {pixels:.0f} px: {length_text(size)} per px.")
        self.set.enabled = True
