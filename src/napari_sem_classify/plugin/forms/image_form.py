"""Which image: its size, its scale, its info bar, and the user's corrections of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui import widgets
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.app.text import count_text, pixel_size_text
from napari_sem_classify.plugin.files.making_sample import open_sample as open_sample
from napari_sem_classify.plugin.forms.calibration_form import CalibrationForm
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, narrow
from napari_sem_classify.plugin.forms.level_form import LevelForm
from napari_sem_classify.plugin.forms.specimen_form import SpecimenForm
from napari_sem_classify.plugin.layers import layer_image
from napari_sem_classify.plugin.layers.file_behind import Seen, look_at
from napari_sem_classify.plugin.layers.image_corrections import corrections_of
from napari_sem_classify.plugin.layers.made_layers import pictures_in

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

SAMPLE_PLUGIN = "napari-sem-classify"
EMPTY = (
    "Open an SEM image: drop a file on the window or use File > Open. "
    "Or try the plugin on the sample."
)
FROM_FILE = "Scale and info bar were read from its file. Undo takes that back."
COLOUR = "A picture in colour: its brightness is looked at, as if it were grey."
NO_IMAGE = "None of the layers is an image: open an SEM image, or try the plugin on the sample."


class ImageForm:
    """Choice of the image layer: in `form` what is always seen, in `body` what may be folded away.

    The docks of a viewer work on one image: chosen in one, it is chosen in all, but for those with
    `follow` off, as while they run.

    Attributes
    ----------
    changed : signal
        The image, its scale or its specimen area is another one; `image` may be None.
    layer : Image layer or None
    image : SemImage or None
        None while there is no layer, while it is read, and where it cannot be used.
    beginning : Form
        What to do first, shown while there is no image; a dock may add to it.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, form: Form, owner: QObject, body: Form) -> None:
        self._viewer = viewer
        self._session = session_of(viewer)
        self._corrections = corrections_of(viewer)
        self._owner = owner
        self._reading = JobSlot(owner)
        self.layer: Image | None = None
        self.image: SemImage | None = None
        self.follow = True
        self._build(form, body)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        self._corrections.changed.connect(self._on_corrected)
        self._session.image_chosen.connect(self._on_chosen)
        self._on_layers()
        self._on_chosen(self._session.image_layer)
        self._on_active()

    def _build(self, form: Form, body: Form) -> None:
        self.combo = narrow(widgets.ComboBox(choices=self._choices, nullable=False))
        explain(self.combo, "Image", "The image layer to work on")
        self.empty = Note("What to do first")
        self.sample_button = button(
            "Open the sample", "Open a generated cross-section of a coating, to try the plugin on"
        )
        self.size = Note("Size and scale of the image")
        self.told = Note("What is told of the image")
        self.bar = Note("Info bar of the image")
        self.set_scale = button("Set scale…", "Set the pixel size, by a number or a scale bar")
        self.set_bar = button("Bar…", "Set what is cut off at the borders, as the info bar")
        for each in (self.set_scale, self.set_bar):
            each.native.setCheckable(True)
        self.undo = button("Undo", "Take back the last correction of this image")
        self.problem = Note("Problem with the image")
        self.beginning = Form(margin=0)
        self.beginning.wide(self.empty, self.sample_button)
        form.wide(self.beginning)
        self._image_row = form.row("Image", self.combo)
        form.wide(self.problem, self.size, self.told)
        self.level_form = LevelForm(self._viewer, body, self._corrections)
        self._bar_row = body.row("Info bar", self.bar)
        self._buttons = body.row("", self.set_scale, self.set_bar, self.undo)
        self.calibration_form = CalibrationForm(self._viewer, body, self._corrections)
        self.specimen_form = SpecimenForm(self._viewer, body, self._corrections, self._owner)
        self.bar_rows = self.specimen_form.sides["bottom"]
        self.pixel_nm = self.calibration_form.pixel_nm
        self.combo.changed.connect(self._on_combo)
        self.sample_button.changed.connect(lambda: open_sample(self._viewer, self.empty))
        self.set_scale.native.toggled.connect(self._show_corrections)
        self.set_bar.native.toggled.connect(self._show_corrections)
        self.undo.changed.connect(self._on_undo)
        self._show()

    # ------------------------------------------------------------------ layers

    def _choices(self, _widget: Any = None) -> list[Image]:
        return pictures_in(self._viewer)

    def _on_layers(self, _event: Any = None) -> None:
        self.combo.reset_choices()
        there = bool(self._choices())
        layers = len(self._viewer.layers) > 0
        self.empty.say("" if there else (NO_IMAGE if layers else EMPTY))
        self.beginning.setVisible(not there)
        self._image_row.setVisible(there)
        self._use(self.combo.value if there else None)

    def _on_active(self, _event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if self.follow and active is not None and active in self._choices():
            self.combo.value = active

    def _on_combo(self, layer: Image | None) -> None:
        self._use(layer)
        if self.follow and layer is not None:
            self._session.choose_image(layer)

    def _on_chosen(self, layer: Any) -> None:
        if self.follow and layer is not None and layer in self._choices():
            self.combo.value = layer

    def _use(self, layer: Image | None) -> None:
        if layer is self.layer:
            return
        if self.layer is not None:
            self._listen(self.layer, False)
        self.layer = layer
        if layer is not None:
            self._listen(layer, True)
        for each in (self.set_scale, self.set_bar):
            each.native.setChecked(False)
        self._read()

    def _listen(self, layer: Layer, on: bool) -> None:
        events, edited = layer.events, self._on_layer_edited
        pairs = ((events.data, self._on_data), (events.scale, edited), (events.units, edited))
        for event, listener in pairs:
            change = event.connect if on else event.disconnect
            change(listener)

    def _on_data(self, _event: Any = None) -> None:
        if self.layer is not None:
            self._corrections.forget_found(self.layer)
            self._on_layer_edited()

    def _on_layer_edited(self, _event: Any = None) -> None:
        if self.layer is not None and not self._corrections.busy:
            self._session.images.pop(self.layer, None)
            self._read()

    def _on_corrected(self, layer: Any) -> None:
        if layer is self.layer:
            self._read()

    def _on_undo(self) -> None:
        if self.layer is not None:
            self._corrections.undo(self.layer)

    def read_for(self, wanted_nm: float | None) -> None:
        """Read a multiscale image at the level nearest to a model's pixel size."""
        self.level_form.prefer(wanted_nm)

    # ------------------------------------------------------------------ reading

    def _read(self) -> None:
        self._reading.abandon()
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

        def task(_context: JobContext) -> Seen:
            return look_at(layer)

        self._reading.start(
            task, doing="looking at the image", on_done=self._seen, on_failed=self._failed
        )

    def _seen(self, seen: Seen) -> None:
        if self.layer is None:
            return
        self._session.images[self.layer] = seen.image
        if seen.file is None or not self._corrections.take_file(self.layer, seen.file):
            self._got(self._session.images[self.layer])

    def _got(self, image: SemImage) -> None:
        if self.layer is None:
            return
        self._corrections.note(self.layer, image)
        self._session.images[self.layer] = image
        self.image = image
        self._show()

    def _failed(self, sentence: str) -> None:
        self._show()
        self.problem.fail(sentence)

    def _show(self) -> None:
        image = self.image
        for row in (self._bar_row, self._buttons):
            row.setVisible(image is not None)
        self._show_corrections()
        if image is None or self.layer is None:
            self.size.say("")
            self.told.say("")
        else:
            # The image as it is; which of its levels is read is said below.
            rows, cols = layer_image.spatial_shape(self.layer)
            finest_nm = layer_image.pixel_size_nm(self.layer)
            planes = count_text(len(list(image.planes())))
            stack = f"{planes} planes of " if image.leading_shape else ""
            size = f"{stack}{count_text(cols)} × {count_text(rows)} px"
            if finest_nm is None:
                note = layer_image.pixel_size_note(self.layer)
                self.size.say(f"{size} (not calibrated{': ' * bool(note)}{note})")
            else:
                self.size.say(f"{size} · {pixel_size_text(finest_nm, image.pixel_size_source)}")
            told = [FROM_FILE] if self._corrections.from_file(self.layer) else []
            told += [COLOUR] if image.colour == "colour" else []
            self.told.say(" ".join(told))
            self.bar.say(image.specimen.reason)
        noted = self.layer if image is not None else None
        self.level_form.use(noted)
        self.specimen_form.use(noted)
        self.calibration_form.use(noted)
        self.undo.enabled = noted is not None and self._corrections.can_undo(noted)
        self.changed.emit()

    # ------------------------------------------------------------------ corrections

    def _show_corrections(self, _on: bool = False) -> None:
        there = self.image is not None
        self.calibration_form.set_visible(there and self.set_scale.native.isChecked())
        self.specimen_form.set_visible(there and self.set_bar.native.isChecked())
