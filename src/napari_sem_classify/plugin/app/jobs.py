"""Long work off the main thread, watched from it a few times a second.

The worker leaves its latest progress and result in a small shared state; a timer on the main
thread picks them up. Nothing queues, so a fast worker cannot flood the window, and a widget that
is deleted simply stops looking: its timer dies with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from qtpy.QtCore import QCoreApplication, QObject, QTimer

from napari_sem_classify.core.common.errors import Cancelled, SemClassifyError
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.common.log import log_unexpected

POLL_MS = 80
PUBLISH_EVERY_S = 0.35
SHOWN_WITHIN_S = 2.0

T = TypeVar("T")


class JobContext(Job):
    """What a task sees of its job: where to tell how far it is, where to publish, when to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.latest_progress: Progress | None = None
        self._published: Any = None
        self._has_published = False
        self._last_publish = 0.0
        self._lock = threading.Lock()
        self.shown = threading.Event()

    def tell(self, progress: Progress) -> None:
        """Leave the reading for the main thread."""
        self.latest_progress = progress

    @property
    def wants_publication(self) -> bool:
        """Whether it is time for another intermediate result."""
        return time.monotonic() - self._last_publish >= PUBLISH_EVERY_S

    def publish(self, value: Any) -> None:
        """Leave an intermediate result for the main thread; it replaces one not yet taken."""
        with self._lock:
            self._published, self._has_published = value, True
            self._last_publish = time.monotonic()

    def publish_and_wait(self, value: Any) -> None:
        """Leave a result and let the main thread show it before going on.

        What is slow to show, as a new layer is, goes faster while no other work is under way.
        """
        self.shown.clear()
        self.publish(value)
        end = time.monotonic() + SHOWN_WITHIN_S
        while not self.cancelled and time.monotonic() < end:
            if self.shown.wait(0.05):
                return

    def take(self) -> tuple[bool, Any]:
        """Take the intermediate result left since the last look, if there is one."""
        with self._lock:
            found, value = self._has_published, self._published
            self._published, self._has_published = None, False
        return found, value


@dataclass(slots=True)
class _Outcome:
    """How a task ended; the thread writes it last."""

    finished: bool = False
    value: Any = None
    error: BaseException | None = None


def _work(task: Callable[[JobContext], Any], context: JobContext, outcome: _Outcome) -> None:
    try:
        outcome.value = task(context)
    except BaseException as error:  # every failure is shown or logged by the main thread
        # Frames hold the task's arrays; the traceback as text is kept by the exception itself.
        outcome.error = error
    outcome.finished = True


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told of a task, on the main thread: its value, or why it failed in one sentence.

    `on_end` is told before any of these, however the task ended. A task that was asked to stop is
    heard no more until it ends.
    """

    on_done: Callable[[Any], None]
    on_failed: Callable[[str], None]
    on_end: Callable[[], None] | None = None
    on_cancelled: Callable[[], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    on_published: Callable[[Any], None] | None = None


class Worker(QObject):
    """One task in a thread; the deletion of its parent stops it.

    The task must hold no widget, layer or viewer. What it does is told as a phrase for messages:
    "classifying the image".
    """

    def __init__(
        self, task: Callable[[JobContext], Any], doing: str, parent: QObject, listeners: Listeners
    ) -> None:
        super().__init__(parent)
        self._context = JobContext()
        self._outcome = _Outcome()
        self._doing = doing
        self._listeners = listeners
        self._told: Progress | None = None
        self._watched = True
        # A function of the context alone: it still works when this object is deleted.
        context = self._context
        self._stop = lambda *_: context.cancel()
        self.destroyed.connect(self._stop)
        self._application = QCoreApplication.instance()
        if self._application is not None:
            self._application.aboutToQuit.connect(self._stop)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._look)
        # Not a daemon: torch must not be torn down under a running thread. Once cancelled, it
        # ends within a batch.
        self._thread = threading.Thread(
            target=_work, args=(task, self._context, self._outcome), name=f"sem-classify: {doing}"
        )
        self._thread.start()
        self._timer.start()

    @property
    def running(self) -> bool:
        """Whether the task is still at work and watched."""
        return self._watched

    @property
    def cancelling(self) -> bool:
        """Whether the task was asked to stop and has not answered yet."""
        return self._watched and self._context.cancelled

    @property
    def _heard(self) -> bool:
        return self._watched and not self._context.cancelled

    def cancel(self) -> None:
        """Ask the task to stop; `on_cancelled` is told when it has."""
        self._context.cancel()

    def abandon(self) -> None:
        """Ask the task to stop and look no further: for a widget that goes away."""
        self._context.cancel()
        self._finish()

    def _look(self) -> None:
        # Read before the results: what is published last must not be missed.
        finished = self._outcome.finished
        progress = self._context.latest_progress
        fresh = progress is not None and progress is not self._told
        on_progress, on_published = self._listeners.on_progress, self._listeners.on_published
        if progress is not None and fresh and self._heard and on_progress is not None:
            self._told = progress
            on_progress(progress)
        found, value = self._context.take()
        if found and self._heard and on_published is not None:
            on_published(value)
        if found:
            # Painting follows in the event loop, before other timers.
            QTimer.singleShot(0, self._context.shown.set)
        if finished and self._watched:
            self._end()

    def _end(self) -> None:
        outcome, cancelled = self._outcome, self._context.cancelled
        told, failed = self._listeners, self._listeners.on_failed
        self._finish()
        if told.on_end is not None:
            told.on_end()
        error = outcome.error
        if error is None and not cancelled:
            told.on_done(outcome.value)
        elif error is None or isinstance(error, Cancelled):
            if told.on_cancelled is not None:
                told.on_cancelled()
        elif isinstance(error, SemClassifyError):
            failed(str(error))
        elif isinstance(error, MemoryError):
            failed("The computer ran out of memory: close other programs or choose larger tiles.")
        else:
            failed(log_unexpected(error, self._doing))

    def _finish(self) -> None:
        self._watched = False
        self._timer.stop()
        if self._application is not None:
            self._application.aboutToQuit.disconnect(self._stop)
            self._application = None
        # Let go of the widget: a thread that is still ending must not keep a closed viewer alive.
        # Let go of the result: whoever keeps this object wants to know only that it has ended.
        self._listeners = Listeners(lambda _: None, lambda _: None)
        self._outcome = _Outcome()
        self.deleteLater()


class JobSlot(QObject):
    """Room for one task at a time: what starts here takes the place of what ran before.

    The deletion of its owner stops the task. A `DockWidget` abandons all its slots when it goes.
    """

    def __init__(self, owner: QObject) -> None:
        super().__init__(owner)
        self._worker: Worker | None = None

    @property
    def running(self) -> bool:
        """Whether a task is at work; no more when it is told how it ended."""
        return self._worker is not None and self._worker.running

    @property
    def cancelling(self) -> bool:
        """Whether a task was asked to stop and has not answered yet."""
        return self._worker is not None and self._worker.cancelling

    def start(
        self,
        task: Callable[[JobContext], T],
        *,
        doing: str,
        on_done: Callable[[T], None],
        on_failed: Callable[[str], None],
        on_end: Callable[[], None] | None = None,
        on_cancelled: Callable[[], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_published: Callable[[Any], None] | None = None,
    ) -> None:
        """Abandon what runs here and start a task, see `Worker` and `Listeners`."""
        self.abandon()
        told = Listeners(on_done, on_failed, on_end, on_cancelled, on_progress, on_published)
        self._worker = Worker(task, doing, self, told)

    def cancel(self) -> None:
        """Ask the task to stop; it tells when it has."""
        if self._worker is not None:
            self._worker.cancel()

    def abandon(self) -> None:
        """Ask the task to stop and hear no more of it."""
        worker, self._worker = self._worker, None
        if worker is not None and worker.running:
            worker.abandon()


class SettleTimer(QTimer):
    """Calls once no more changes came for a while: `start` it at each.

    A `DockWidget` stops all its timers when it goes away.
    """

    def __init__(self, owner: QObject, milliseconds: int, call: Callable[[], Any]) -> None:
        super().__init__(owner)
        self.setSingleShot(True)
        self.setInterval(milliseconds)
        self._call = call
        self.timeout.connect(call)

    def settle(self) -> None:
        """Call at once where changes wait."""
        if self.isActive():
            self.stop()
            self._call()
