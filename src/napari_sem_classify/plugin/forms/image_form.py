"""Which image: its size, its scale, its info bar, and the user's corrections of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magicgui import widgets
from psygnal import Signal
from qtpy.QtCore import QObject

from ...core.errors import SemClassifyError
from ...core.image import SemImage
from ...core.tiles import Area
from ..jobs import Job, JobContext
from ..layer_image import image_from_layer, layer_metadata
from ..layers import kind_of
from ..session import session_of
from ..text import count_text, pixel_size_text
from .layout import Form, Note, explain, narrow

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

SAMPLE_PLUGIN = "napari-sem-classify"
SAMPLE_KEY = "cross_section"
EMPTY = (
    "Open an SEM image: drop a file on the window or use File > Open. "
    "Or try the plugin on the sample."
)
NO_IMAGE = "None of the layers is an image: open an SEM image, or try the plugin on the sample."


class ImageForm:
    """Choice of the image layer.

    Attributes
    ----------
    changed : signal
        The image, its scale or its specimen area is another one; `image` may be None.
    layer : Image layer or None
    image : SemImage or None
        None while there is no layer, while it is read, and where it cannot be used.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, form: Form, owner: QObject) -> None:
        self._viewer = viewer
        self._session = session_of(viewer)
        self._owner = owner
        self._job: Job | None = None
        self.layer: Image | None = None
        self.image: SemImage | None = None
        self.follow = True
        self._build(form)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        self._on_layers()
        self._on_active()

    def _build(self, form: Form) -> None:
        self.combo = narrow(widgets.ComboBox(choices=self._choices, nullable=False))
        explain(self.combo, "Image", "The image layer to work on")
        self.empty = Note("What to do first")
        self.sample_button = widgets.PushButton(text="Open the sample")
        explain(
            self.sample_button,
            "Open the sample",
            "Open a generated cross-section of a coating, to try the plugin on",
        )
        self.size = Note("Size and scale of the image")
        self.bar = Note("Info bar of the image")
        self.edit = widgets.PushButton(text="Correct…")
        self.edit.native.setCheckable(True)
        explain(self.edit, "Correct scale and info bar", "Set the info bar or the pixel size")
        self.bar_rows = widgets.SpinBox(min=0, max=0, step=1)
        explain(self.bar_rows, "Info bar rows", "Rows at the bottom that are not the specimen")
        self.pixel_nm = widgets.FloatSpinBox(min=0, max=1e7, step=0.1)
        self.pixel_nm.native.setDecimals(4)
        explain(
            self.pixel_nm,
            "Pixel size in nm",
            "Side of a pixel in nanometres; 0 means not calibrated",
        )
        self.problem = Note("Problem with the image")
        form.wide(self.empty, self.sample_button)
        self._image_row = form.row("Image", self.combo)
        form.wide(self.problem, self.size)
        self._bar_row = form.row("Info bar", self.bar, self.edit)
        self._rows_row = form.row("Bar rows", self.bar_rows)
        self._pixel_row = form.row("nm per px", self.pixel_nm)
        self.combo.changed.connect(self._on_combo)
        self.sample_button.changed.connect(self._open_sample)
        self.edit.native.toggled.connect(self._show_correction)
        self.bar_rows.changed.connect(self._correct)
        self.pixel_nm.changed.connect(self._correct)
        self._show_correction(False)

    # ------------------------------------------------------------------ layers

    def _choices(self, _widget: Any = None) -> list[Image]:
        from napari.layers import Image

        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and kind_of(layer) is None
        ]

    def _on_layers(self, _event: Any = None) -> None:
        self.combo.reset_choices()
        there = bool(self._choices())
        layers = len(self._viewer.layers) > 0
        self.empty.say("" if there else (NO_IMAGE if layers else EMPTY))
        self.sample_button.native.setVisible(not there)
        self._image_row.setVisible(there)
        self._use(self.combo.value if there else None)

    def _on_active(self, _event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if self.follow and active is not None and active in self._choices():
            self.combo.value = active

    def _on_combo(self, layer: Any) -> None:
        self._use(layer)

    def _open_sample(self) -> None:
        try:
            self._viewer.open_sample(SAMPLE_PLUGIN, SAMPLE_KEY)
        except SemClassifyError as error:
            self.empty.fail(str(error))

    def _use(self, layer: Image | None) -> None:
        if layer is self.layer:
            return
        if self.layer is not None:
            self._listen(self.layer, False)
        self.layer = layer
        if layer is not None:
            self._listen(layer, True)
        self.edit.native.setChecked(False)
        self._read()

    def _listen(self, layer: Layer, on: bool) -> None:
        for event in (layer.events.data, layer.events.scale, layer.events.units):
            if on:
                event.connect(self._on_layer_edited)
            else:
                event.disconnect(self._on_layer_edited)

    def _on_layer_edited(self, _event: Any = None) -> None:
        if self.layer is not None:
            self._session.images.pop(self.layer, None)
            self._read()

    # ------------------------------------------------------------------ reading

    def _read(self) -> None:
        if self._job is not None:
            self._job.abandon()
            self._job = None
        self.image = None
        self.problem.say("")
        if self.layer is None:
            self._show()
            return
        known = self._session.images.get(self.layer)
        if known is not None:
            self._got(known)
            return
        self._show()
        self.size.say("Looking at the image…")
        layer = self.layer

        def task(_context: JobContext) -> SemImage:
            return image_from_layer(layer)

        self._job = Job(
            task,
            doing="looking at the image",
            parent=self._owner,
            on_done=self._got,
            on_failed=self._failed,
        )

    def _got(self, image: SemImage) -> None:
        self._job = None
        if self.layer is None:
            return
        self._session.images[self.layer] = image
        self.image = image
        self._show()

    def _failed(self, sentence: str) -> None:
        self._job = None
        self._show()
        self.problem.fail(sentence)

    def _show(self) -> None:
        image = self.image
        self._bar_row.setVisible(image is not None)
        if image is None:
            self.size.say("")
            self._show_correction(False)
        else:
            rows, cols = image.shape
            stack = f"{count_text(len(list(image.planes())))} planes of " * bool(
                image.leading_shape
            )
            scale = pixel_size_text(image.pixel_size_nm, image.pixel_size_source)
            self.size.say(f"{stack}{count_text(cols)} × {count_text(rows)} px · {scale}")
            self.bar.say(image.specimen.reason)
            self._fill_correction(image)
        self.changed.emit()

    # ------------------------------------------------------------------ corrections

    def _show_correction(self, shown: bool) -> None:
        self._rows_row.setVisible(shown)
        self._pixel_row.setVisible(shown)

    def _fill_correction(self, image: SemImage) -> None:
        with self.bar_rows.changed.blocked(), self.pixel_nm.changed.blocked():
            self.bar_rows.max = image.shape[0] - 1
            self.bar_rows.value = image.shape[0] - image.area.bottom
            self.pixel_nm.value = image.pixel_size_nm or 0.0

    def _correct(self) -> None:
        if self.image is None or self.layer is None:
            return
        image, area = self.image, self.image.area
        rows = image.shape[0]
        bottom = rows - int(self.bar_rows.value)
        if bottom != area.bottom:
            top = min(area.top, bottom - 1)
            image = image.with_area(Area(top, bottom, area.left, area.right))
            image = replace(
                image,
                specimen=replace(
                    image.specimen, reason=f"{rows - bottom} rows at the bottom, set by you"
                ),
            )
        size = float(self.pixel_nm.value)
        if abs(size - (image.pixel_size_nm or 0.0)) > 1e-4:
            if size > 0:
                image = image.with_pixel_size(size, "set by you")
            else:
                image = replace(image, pixel_size_nm=None, pixel_size_source="not calibrated")
        # Noted in the layer, so that the correction outlives this widget.
        self.layer.metadata = {**self.layer.metadata, **layer_metadata(image)}
        self._got(image)

    def stop(self) -> None:
        """Let go of work under way: for a widget that goes away."""
        if self._job is not None:
            self._job.abandon()
            self._job = None
