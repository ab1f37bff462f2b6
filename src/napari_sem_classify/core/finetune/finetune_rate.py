"""A learning rate for the data at hand: raise it until the loss explodes (Smith 2017).

Imports torch and fastai: import this module inside functions only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from fastai.callback.schedule import ParamScheduler, SchedExp
from fastai.learner import Learner
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job

LOWEST, HIGHEST = 1e-6, 1.0


def find_rate(learner: Learner, *, batches: int = 60, job: Job | None = None) -> float | None:
    """A learning rate at which the loss falls fastest (Smith 2017, arXiv 1506.01186).

    The weights stay as they are.

    Returns
    -------
    float or None
        The point two thirds down the longest valley of the loss, None where there is none.
    """
    before = {k: v.detach().clone() for k, v in learner.model.state_dict().items()}
    trial = RateTrial(batches, job)
    learner.opt = None
    epochs = -(-batches // len(learner.dls.train))
    schedule = ParamScheduler({"lr": SchedExp(LOWEST, HIGHEST)})
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs, cbs=[trial, schedule])
    learner.model.load_state_dict(before)
    learner.opt = None
    return steepest(np.array(trial.rates), np.array(trial.losses))


def steepest(rates: NDArray[Any], losses: NDArray[Any]) -> float | None:
    """The rate two thirds down the longest run of falling losses, smoothed."""
    if len(rates) < 8 or not np.isfinite(losses[:-1]).all():
        return None
    smooth = np.convolve(losses[:-1], np.ones(5) / 5, mode="valid")
    middle = rates[2 : 2 + len(smooth)]
    longest, start = (0, 0), 0
    for index in range(1, len(smooth) + 1):
        if index == len(smooth) or smooth[index] >= smooth[index - 1]:
            if index - start > longest[1] - longest[0]:
                longest = (start, index)
            start = index
    if longest[1] - longest[0] < 3:
        return None
    return float(middle[longest[0] + 2 * (longest[1] - longest[0]) // 3])


class RateTrial(Callback):  # type: ignore[misc]
    """Raises the learning rate from batch to batch until the loss explodes."""

    order = 80

    def __init__(self, batches: int, job: Job | None) -> None:
        super().__init__()
        self.batches, self.job = batches, job
        self.rates: list[float] = []
        self.losses: list[float] = []

    def before_batch(self) -> None:
        """Set the schedule's place by the batches in all, over epochs."""
        self.learn.pct_train = min(1.0, len(self.losses) / self.batches)

    def after_batch(self) -> None:
        """Note rate and loss; stop when it explodes, or is finished."""
        self.rates.append(float(self.opt.hypers[-1]["lr"]))
        self.losses.append(float(self.loss.detach()))
        stop = self.job is not None and self.job.cancelled
        exploded = not self.losses[-1] < 4 * min(self.losses)
        if stop or exploded or len(self.losses) >= self.batches:
            raise CancelFitException

    def before_validate(self) -> None:
        """Nothing is scored during a trial."""
        raise CancelValidException
