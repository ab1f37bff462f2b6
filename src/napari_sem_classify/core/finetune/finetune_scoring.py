"""The scores of the finished model, or of the best so far where its training was cancelled.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from napari_sem_classify.core.common.errors import Cancelled
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_data import PlainBatches
from napari_sem_classify.core.finetune.finetune_learner import Run, predict
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
from napari_sem_classify.core.finetune.finetune_time import SCORING, times_scored


def begin_scoring(
    run: Run,
    data: TrainingSet,
    split: Split,
    job: Job | None,
    *,
    averaged: bool,
) -> None:
    """From here on the run counts tiles, not batches; a cancelled one looks at none."""
    if run.cancelled:
        return
    valid, test = (int(np.isin(data.tile_image, part).sum()) for part in (split.valid, split.test))
    total = times_scored(averaged=averaged) * valid + test
    run.reporter = Reporter(total, SCORING, job)


def last_scores(
    model: TrainedNetwork, run: Run, valid: PlainBatches, test: PlainBatches
) -> tuple[Tensor, PlainBatches, Tensor]:
    """Logits of the tiles that chose; the tiles that are scored, and theirs.

    A training that is cancelled, now or before, is scored by what its best epoch said: who pressed
    Cancel does not wait for another look at every tile.

    Parameters
    ----------
    model : TrainedNetwork
        With the best weights.
    run : Run
        Its reporter is told of every tile.
    valid, test : PlainBatches
        Tiles that choose, and those of the last test; without any, `valid` is scored.
    """
    if not run.cancelled:
        try:
            chose = predict(model, valid, run.reporter)
            if not len(test.tile):
                return chose, valid, chose
            return chose, test, predict(model, test, run.reporter)
        except Cancelled:
            run.cancelled = run.asked_to_stop  # raises again where the window was closed
    assert run.best_logits is not None  # kept with the best weights
    return run.best_logits, valid, run.best_logits
