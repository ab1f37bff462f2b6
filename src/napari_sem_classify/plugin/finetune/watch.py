"""How a training goes, told from its thread a few times a second. No Qt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import Preset
from napari_sem_classify.core.finetune.finetune_time import SCORING, TimeLeft
from napari_sem_classify.plugin.app.jobs import JobContext

if TYPE_CHECKING:
    from napari_sem_classify.core.evaluate.dataset_split import Split
    from napari_sem_classify.core.evaluate.training_set import TrainingSet
    from napari_sem_classify.core.finetune.finetune_run import EpochReport

TRAINING = "Training"


@dataclass(frozen=True, slots=True)
class TrainingSnapshot:
    """A training under way, of which a `fraction` from 0 to 1 is done.

    `batches` are pairs of epochs done, as a decimal number, and training loss, shape (N, 2). The
    seconds that remain are None while it is too early to tell; `scoring` follows the last epoch.
    """

    preset: Preset
    batches: NDArray[np.float64]
    epochs: tuple[EpochReport, ...]
    remaining_s: float | None
    fraction: float
    scoring: bool = False


class TrainingWatch:
    """Follows a training in its thread and publishes how it goes."""

    def __init__(
        self, options: FineTuneOptions, data: TrainingSet, split: Split, context: JobContext
    ) -> None:
        from napari_sem_classify.core.finetune.finetune_pace import parts_of_split
        from napari_sem_classify.core.network.engine.devices import find_device

        self._context = context
        self._preset = options.preset
        device = find_device(options.device).type
        n_train, n_valid, n_test = parts_of_split(data, split, options.preset)
        self._clock = TimeLeft(options.preset, n_train, n_valid, device, n_test)
        self._batches: list[tuple[float, float]] = []
        self._epochs: list[EpochReport] = []
        self._batch, self._scored = 0, 0.0
        self._scoring = False
        self._loss: float | None = None
        self._remaining: float | None = None

    def progress(self, progress: Progress) -> None:
        """Hear that a batch is done, of work before the first one, or of the scoring at the end."""
        if progress.stage == SCORING:
            # A training that had enough of some phase did not come to its last batch.
            self._batch, self._scored = self._clock.batches, progress.fraction
            self._scoring = True
        elif progress.stage.startswith(TRAINING):
            self._batch = progress.done
            if self._loss is None:
                return
            # Only here is the place known: one that goes on does not begin at its first batch.
            self._batches.append((self._clock.epochs_until(progress.done), self._loss))
            self._loss = None
        else:
            self._context.tell(progress)
            return
        self._remaining = self._clock.seconds(self._batch, time.perf_counter(), self._scored)
        if self._context.wants_publication:
            self._context.publish(self.snapshot(tuple(self._epochs)))

    def batch(self, loss: float) -> None:
        """Hear of the training loss of the batch that is just being done."""
        self._loss = loss

    def epoch(self, report: EpochReport) -> None:
        """Hear of an epoch."""
        self._epochs.append(report)
        self._context.publish(self.snapshot(tuple(self._epochs)))

    def snapshot(self, epochs: tuple[EpochReport, ...]) -> TrainingSnapshot:
        """How it goes."""
        return TrainingSnapshot(
            self._preset,
            np.array(self._batches, dtype=np.float64).reshape(-1, 2),
            epochs,
            self._remaining,
            self._clock.work_until(self._batch, self._scored),
            self._scoring,
        )
