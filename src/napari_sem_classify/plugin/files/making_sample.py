"""The sample, generated beside the window, which stays alive and tells how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.compat import isalive
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.plugin.app.camera import keep_whole, whole_view
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.session import unwrapped
from napari_sem_classify.plugin.app.turns import later

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sem_classify.core.sample.cross_section import Sample

MAKING = "Making the sample"
LOOK_MS = 30
Then = Callable[["Layer | None"], None]
_making: dict[int, list[Then]] = {}


class Teller(Protocol):
    """A widget that says a sentence, such as a note of a form."""

    def say(self, text: str) -> None:
        """Show a sentence."""

    def window(self) -> QWidget | None:
        """The window in which it lies."""


def open_sample(viewer: ViewerModel, note: Teller, then: Then = lambda _image: None) -> None:
    """Make the sample and open it in the viewer; the note tells how far it is, or what failed.

    `then` is told its image layer, or None where it failed. One that is being made is not made
    twice.
    """
    viewer = unwrapped(viewer)
    if id(viewer) in _making:
        _making[id(viewer)].append(then)
        return
    window: Any = note.window()
    slot = JobSlot(window)
    waiting = _making[id(viewer)] = [then]

    there: Any = isalive

    def say(text: str) -> None:
        if there(note):  # the dock may be closed meanwhile
            note.say(text)

    def ended() -> None:
        _making.pop(id(viewer), None)
        slot.deleteLater()

    def failed(sentence: str) -> None:
        say(sentence)
        for each in waiting:
            each(None)

    def done(sample: Sample) -> None:
        from napari.layers import Layer

        from napari_sem_classify.plugin.files.sample_data import cross_section_layers

        say("")
        image, truth = (Layer.create(*each) for each in cross_section_layers(sample))
        viewer.add_layer(image)
        seen = whole_view(viewer)
        if seen is not None:  # its controls take room from the canvas
            keep_whole(viewer, window, seen)
        later(partial(add_truth, image, truth))
        for each in waiting:
            each(image)

    def add_truth(image: Layer, truth: Layer) -> None:
        active = viewer.layers.selection.active
        if image in viewer.layers:
            viewer.layers.insert(viewer.layers.index(image) + 1, truth)
            viewer.layers.selection.active = active

    say(f"{MAKING}…")
    slot.start(
        make,
        doing="making the sample",
        on_done=done,
        on_failed=failed,
        on_end=ended,
        on_progress=lambda told: say(f"{told.stage}: {told.done} of {told.total}"),
    )
    slot.destroyed.connect(lambda: _making.pop(id(viewer), None))


def make(context: JobContext) -> Sample:
    """Task: the sample."""
    return generate(context)


def generate(job: Job | None = None) -> Sample:
    """The sample that the viewer offers."""
    from napari_sem_classify.core.sample.cross_section import generate_cross_section
    from napari_sem_classify.core.sample.demo import DEMO_SEED

    return generate_cross_section(seed=DEMO_SEED, job=job)


def generate_now() -> Sample:
    """The sample for a caller that waits for it, as napari's menu does.

    The window goes on to draw; what the user does meanwhile waits until it is there.
    """
    from napari import current_viewer

    application, viewer = QApplication.instance(), current_viewer()
    there = application is not None and viewer is not None
    if not there or threading.current_thread() is not threading.main_thread():
        return generate()
    made: list[Sample] = []
    failed: list[BaseException] = []
    told: list[Progress] = []

    def work() -> None:
        try:
            made.append(generate(Job(told.append)))
        except BaseException as error:  # told by the caller's thread
            failed.append(error)

    thread = threading.Thread(target=work, name="sem-classify: making the sample")
    loop, timer = QEventLoop(), QTimer()

    def look() -> None:
        if told and viewer is not None:
            viewer.status = f"{told[-1].stage}: {told[-1].done} of {told[-1].total}"
        if not thread.is_alive():
            loop.quit()

    timer.timeout.connect(look)
    timer.start(LOOK_MS)
    thread.start()
    loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    timer.stop()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
