"""One press from an empty viewer to a map: the sample is opened and classified."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_sem_classify.plugin.files.making_sample import open_sample
from napari_sem_classify.plugin.forms.image_form import ImageForm
from napari_sem_classify.plugin.forms.layout import button
from napari_sem_classify.plugin.forms.run_form import RunForm

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class TrySample:
    """A button beside *Open the sample*; *Cancel* takes its wish back before the run and in it.

    Attributes
    ----------
    wanted : bool
        Whether the sample is to be classified as soon as it is read.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image_form: ImageForm,
        run_form: RunForm,
        classify: Callable[[], None],
    ) -> None:
        self._viewer, self._image_form, self._run_form = viewer, image_form, run_form
        self._classify = classify
        self._layer: Layer | None = None
        self.wanted = False
        self.button = button(
            "Classify the sample",
            "Open the sample and classify it with the model below; Cancel stops that",
        )
        image_form.beginning.wide(self.button)
        self.button.changed.connect(self._start)
        run_form.cancelled.connect(self._cancel)
        image_form.changed.connect(self._go_on)

    def forget(self) -> None:
        """The dock goes: the sample may still open, and nothing is classified."""
        self.wanted = False

    def _start(self) -> None:
        if self.wanted:
            return
        self.wanted, self._layer = True, None
        self._run_form.start()
        open_sample(self._viewer, self._image_form.empty, self._opened)

    def _opened(self, layer: Layer | None) -> None:
        if not self.wanted:
            return
        if layer is None:
            self._end("")  # why is told where the sample was asked for
        self._layer = layer
        self._go_on()

    def _go_on(self) -> None:
        """Classify once the sample is read, which takes a moment after it is opened."""
        form = self._image_form
        if not self.wanted or self._layer is None or form.image is None:
            return
        if form.layer is self._layer:
            self._end("")
            self._classify()
        else:
            self._end("Not classified: another image was chosen meanwhile.")

    def _cancel(self) -> None:
        if self.wanted:
            self._end("Cancelled: nothing is classified.")

    def _end(self, told: str) -> None:
        self.wanted, self._layer = False, None
        self._run_form.idle()
        self._run_form.message.say(told)
