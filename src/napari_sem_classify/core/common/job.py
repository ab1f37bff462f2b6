"""How far a long job is, and how it is asked to stop.

One type carries progress from core to whoever shows it, and one object is handed down through a
job: told how far it is, asked whether it shall stop.
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


class Job:
    """One long piece of work, as those who do it see it.

    Functions take ``job: Job | None`` and hand it on; they check it at least once per batch.

    Parameters
    ----------
    on_progress : callable, optional
        Told each `Progress`, in the thread that works.
    """

    def __init__(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._stop = threading.Event()
        self._on_progress = on_progress

    def cancel(self) -> None:
        """Ask the job to stop; safe from any thread, any number of times."""
        self._stop.set()

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise `Cancelled` when the job was asked to stop."""
        if self.cancelled:
            raise Cancelled

    def tell(self, progress: Progress) -> None:
        """Tell how far the job is."""
        if self._on_progress is not None:
            self._on_progress(progress)

    def telling(self, on_progress: Callable[[Progress], None]) -> Job:
        """Give a part of this job: stopped with it, its progress told to `on_progress`."""
        return _Part(self, on_progress)

    def part(self, number: int, count: int, start: float) -> Job:
        """Give part `number` (from 0) of `count` equal ones; progress is told as that of them all.

        `start` is when the first part began, by `time.perf_counter`.
        """
        if count == 1:
            return self

        def tell(reading: Progress) -> None:
            done = reading.done + number * reading.total
            elapsed = time.perf_counter() - start
            self.tell(Progress(done, reading.total * count, reading.stage, elapsed))

        return self.telling(tell)


class _Part(Job):
    """A part of a larger job: it stops when that stops, or alone."""

    def __init__(self, whole: Job, on_progress: Callable[[Progress], None]) -> None:
        super().__init__(on_progress)
        self._whole = whole

    @property
    def cancelled(self) -> bool:
        """Whether this part or the whole was asked to stop."""
        return super().cancelled or self._whole.cancelled


class Reporter:
    """Counts units of one stage of a job, tells, and checks for a wish to stop.

    Parameters
    ----------
    total : int
        Units in all.
    stage : str
        What is being done, in the user's words.
    job : Job, optional
        Told a `Progress` at the start and after each `advance`; checked at each `advance` and
        `check`.
    """

    def __init__(self, total: int, stage: str, job: Job | None = None) -> None:
        self.total = total
        self.stage = stage
        self.done = 0
        self._job = job
        self._start = time.perf_counter()
        self._tell()

    def check(self) -> None:
        """Raise `Cancelled` when the job was asked to stop."""
        if self._job is not None:
            self._job.check()

    def advance(self, units: int = 1) -> None:
        """Count `units` more as done, tell, and check for a wish to stop."""
        self.done += units
        self._tell()
        self.check()

    def _tell(self) -> None:
        if self._job is not None:
            elapsed = time.perf_counter() - self._start
            self._job.tell(Progress(self.done, self.total, self.stage, elapsed))
