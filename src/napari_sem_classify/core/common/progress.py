"""How far a long job is, and how it is asked to stop.

One type carries progress from core to whoever shows it, one token carries the wish to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from napari_sem_classify.core.common.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Progress:
    """A reading of a job under way.

    Attributes
    ----------
    done, total : int
        Units finished and units in all (tiles, images, batches); ``0 <= done <= total``.
    stage : str
        What is being done, in the user's words ("Classifying tiles").
    elapsed_s : float
        Seconds since the stage began.
    """

    done: int
    total: int
    stage: str
    elapsed_s: float = 0.0

    @property
    def fraction(self) -> float:
        """Share done, 0 to 1; 1 for an empty job."""
        return self.done / self.total if self.total else 1.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the mean rate so far, or None before the first unit."""
        if self.done <= 0 or self.elapsed_s <= 0:
            return None
        return self.elapsed_s * (self.total - self.done) / self.done


ProgressCallback = Callable[[Progress], None]


class CancelToken:
    """A wish to stop, set from any thread and checked by the job once per batch."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the job to stop; safe from any thread, any number of times."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` when the job was asked to stop."""
        if self._event.is_set():
            raise Cancelled


class Reporter:
    """Counts units of one stage, tells the callback, and checks the token.

    Parameters
    ----------
    total : int
        Units in all.
    stage : str
        What is being done, in the user's words.
    progress : callable, optional
        Told a `Progress` at the start and after each `advance`.
    cancel : CancelToken, optional
        Checked at each `advance` and `check`; raises `Cancelled`.
    """

    def __init__(
        self,
        total: int,
        stage: str,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.total = total
        self.stage = stage
        self.done = 0
        self._progress = progress
        self._cancel = cancel
        self._start = time.perf_counter()
        self._tell()

    def check(self) -> None:
        """Raise `Cancelled` when the job was asked to stop."""
        if self._cancel is not None:
            self._cancel.raise_if_cancelled()

    def advance(self, units: int = 1) -> None:
        """Count `units` more as done, tell, and check for a wish to stop."""
        self.done += units
        self._tell()
        self.check()

    def _tell(self) -> None:
        if self._progress is not None:
            elapsed = time.perf_counter() - self._start
            self._progress(Progress(self.done, self.total, self.stage, elapsed))
