"""Holds a training to the time that there is.

A one-cycle schedule that is cut off in the middle, at its highest rates, leaves a bad network. So
the schedule itself is shortened as soon as the batches done show that it will not fit: from then on
each batch goes further along it, and its end is reached in time.

Imports fastai: import this module inside functions only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fastai.callback.core import Callback, CancelFitException, CancelTrainException

from napari_sem_classify.core.finetune.finetune_time import (
    FIRST_BATCHES,
    LEARNING,
    LOOKING,
    TimeLeft,
)

SHORTENED = "To end in time the training at {size} px took {done:.1f} of its {planned} epochs."


RECENT = 5
NO_TIME = "No time was left for the training at {size} px."


@dataclass(slots=True)
class TrainingClock:
    """How much time each part of a training has.

    Parameters
    ----------
    ends_at : float or None
        When all has to be done, by `time.perf_counter`; None for whenever.
    left : TimeLeft
        Of the whole training.
    """

    ends_at: float | None
    left: TimeLeft
    told: list[str] = field(default_factory=list)

    def watch(self, done: int, batches: int, epochs: int, begun: int) -> InTime | None:
        """What holds a phase to its time, None without any end.

        It has as large a part of the time that is left as of the work that is left.

        Parameters
        ----------
        done, batches : int
            Batches of the whole training before it, and its own.
        epochs, begun : int
            See `InTime`.
        """
        if self.ends_at is None:
            return None
        before, after = self.left.work_until(done), self.left.work_until(done + batches)
        share = (after - before) / max(1.0 - before, 1e-9)
        return InTime(share * (self.ends_at - time.perf_counter()), epochs, begun)

    def tell(self, phase: InTime | None, size: int) -> None:
        """Note what a phase that is done had to leave out."""
        if phase is not None and phase.shortened:
            self.told.append(SHORTENED.format(size=size, done=phase.done, planned=phase.epochs))

    def leaves_out(self, size: int) -> bool:
        """Whether there is no time for a stage; that is then noted."""
        if self.is_over:
            self.told.append(NO_TIME.format(size=size))
        return self.is_over

    @property
    def is_over(self) -> bool:
        """Whether there is no time for more than what has to be done."""
        return self.ends_at is not None and time.perf_counter() > self.ends_at


class InTime(Callback):  # type: ignore[misc]
    """Ends a phase in time, with its schedule at its end.

    Parameters
    ----------
    seconds : float
        From now, for the batches and for what follows each epoch.
    epochs : int
        As planned.
    begun : int
        Epochs that were done before.

    Attributes
    ----------
    done : float
        Epochs that were trained, as a decimal number.
    shortened : bool
        Whether these are fewer than planned.
    """

    order = -5
    """After fastai counted a batch, before it takes the rates from the place in the schedule."""

    def __init__(self, seconds: float, epochs: int, begun: int = 0) -> None:
        super().__init__()
        self.ends_at = time.perf_counter() + seconds
        self.epochs, self.begun = epochs, begun
        self.took: list[float] = []
        self.scoring_s: float | None = None
        self.trained_at: float | None = None
        self.place, self.done = 0.0, float(begun)
        self.shortened = False

    def before_epoch(self) -> None:
        """Begin no further epoch once the end of the schedule is reached."""
        if self.shortened and self.place >= 1.0:
            raise CancelFitException

    def before_train(self) -> None:
        """Go on in the schedule from where it is."""
        now = time.perf_counter()
        if self.trained_at is not None:
            self.scoring_s = now - self.trained_at
        self.last = now
        if self.shortened:
            self.learn.pct_train = self.place

    def before_batch(self) -> None:
        """Learn from no further batch once the end of the schedule is reached."""
        if self.training and self.shortened and self.place >= 1.0:
            raise CancelTrainException

    def after_batch(self) -> None:
        """Move on in the schedule, as far as the time that is left demands."""
        if not self.training:
            return
        now = time.perf_counter()
        self.took.append(now - self.last)  # with the drawing of the batch
        self.last = now
        self.done = self.begun + len(self.took) / len(self.dls.train)
        planned = (self.epochs - self.begun) * len(self.dls.train) - len(self.took)
        steps = min(planned, self._batches_that_fit(now))
        if len(self.took) >= FIRST_BATCHES and steps < planned:
            self.shortened = True
        if self.shortened:
            self.place = min(1.0, self.place + (1.0 - self.place) / (steps + 1))
            self.learn.pct_train = self.place
        else:
            self.place = self.learn.pct_train

    def after_train(self) -> None:
        """Note when the scoring of an epoch begins."""
        self.trained_at = time.perf_counter()

    def _batches_that_fit(self, now: float) -> int:
        """How many further batches there is time for, and for the scoring that follows."""
        # The last ones alone: the first one gets the processor ready, and others may need it now.
        later = self.took[1:][-RECENT:] or self.took
        each = sum(later) / len(later)
        scoring = self.scoring_s
        if scoring is None:
            looks = LOOKING / LEARNING * len(self.dls.valid.tile)
            scoring = each * looks / self.dls.train.batch_size
        amortised = each + scoring / len(self.dls.train)
        return max(0, int((self.ends_at - now - scoring) / max(amortised, 1e-9)))
