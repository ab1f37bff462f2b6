"""A training under way: what its epochs came to, and the best weights so far.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.finetune.finetune_choice import Choosing, Evidence
from napari_sem_classify.core.finetune.finetune_data import PlainBatches
from napari_sem_classify.core.finetune.finetune_look import mean_probabilities, predict
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
from napari_sem_classify.core.finetune.finetune_turned import TurnedCases
from napari_sem_classify.core.teach.logistic import fit_temperature


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What an epoch came to.

    Attributes
    ----------
    stage, epoch : int
        Counted from 0; the epoch within its phase.
    size : int
        Of the network's input.
    phase : str
        "head" or "all layers"; "fitted head" for the score of the exact head at the start, and
        "averaged" for that of weights between start and end.
    train_loss, valid_loss : float
        The training loss is NaN where nothing was trained: fitted head and averaged.
    accuracy, macro_f1 : float
        On the images that choose the best weights.
    best : bool
        Whether this is the best so far, see `Choosing`.
    turned_f1 : float or None
        Macro-F1 on the same with other settings of the microscope; None where that was not tried,
        as for all epochs but the last.
    choice_loss : float
        By which the best is chosen, see `Choosing.loss`.
    share : float or None
        Of the last report, which tells what is kept: how far its weights lie from the fitted head
        (0) to the last epoch (1).
    """

    stage: int
    epoch: int
    size: int
    phase: str
    train_loss: float
    valid_loss: float
    accuracy: float
    macro_f1: float
    seconds: float
    best: bool
    turned_f1: float | None = None
    choice_loss: float = float("nan")
    share: float | None = None

    @property
    def title(self) -> str:
        """What was scored, for the user."""
        if self.share is None:
            return self.phase
        kept = {0.0: "the fitted head", 1.0: "the last epoch"}
        return f"kept: {kept.get(self.share, f'{self.share:.0%} of the way from the start')}"


@dataclass(slots=True)
class Run:
    """A training under way: what the callbacks share."""

    run_id: str
    seed: int
    reporter: Reporter
    job: Job | None
    on_epoch: Callable[[EpochReport], None] | None
    on_batch: Callable[[float], None] | None
    checkpoint: Path | None
    choosing: Choosing
    turned: TurnedCases
    history: list[EpochReport] = field(default_factory=list)
    best: Evidence | None = None
    best_size: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    best_logits: Tensor | None = None
    best_share: float | None = None
    start: dict[str, Tensor] = field(default_factory=dict)
    plain: dict[str, Tensor] = field(default_factory=dict)
    fitted: Evidence | None = None
    fitted_logits: Tensor | None = None
    cancelled: bool = False
    checkpoint_problem: str = ""
    saved_at: float = field(default_factory=time.perf_counter)

    def weigh(
        self,
        model: TrainedNetwork,
        valid: PlainBatches,
        logits: Tensor,
        reporter: Reporter | None = None,
    ) -> Evidence:
        """What a network makes of the cases that choose; `logits` are those of their tiles.

        With a reporter, that is told of their tiles, it is shown those that are turned too.

        Raises
        ------
        Cancelled
            Of the wish, where the reporter knows of it.
        """
        every, labels = logits.detach().float().cpu(), valid.label
        if reporter is None:
            temperature = fit_temperature(every.numpy(), labels)
            none = np.empty((0, every.shape[1]), dtype=np.float32)
            return self.choosing.evidence(mean_probabilities(every, valid, temperature), none)
        turned = self.turned.batches(valid.size, valid.batch_size)
        others = predict(model, turned, reporter)
        both = torch.cat([every, others]).numpy()
        # Of both: a handful of cases that are all right would suit any confidence, however high.
        temperature = fit_temperature(both, np.append(labels, turned.label))
        return self.choosing.evidence(
            mean_probabilities(every, valid, temperature),
            mean_probabilities(others, turned, temperature),
        )

    def offer(self, model: TrainedNetwork, size: int, found: Evidence, logits: Tensor) -> bool:
        """Keep these weights, and what they say of the tiles that choose, if they are the best."""
        if not self.choosing.better(found, self.best, simpler=self.best is self.fitted):
            return False
        # Where they are: hundreds of small copies to the computer would each wait for the device.
        self.take(found, size, {k: v.detach().clone() for k, v in model.state_dict().items()})
        self.best_logits = logits.detach().float().cpu()
        return True

    def take(self, found: Evidence, size: int, state: dict[str, Tensor]) -> None:
        """Make these weights the best."""
        self.best, self.best_size, self.best_state = found, size, state

    def tell(self, report: EpochReport) -> None:
        """Tell whoever wants to know about an epoch."""
        if self.on_epoch is not None:
            self.on_epoch(report)

    @property
    def asked_to_stop(self) -> bool:
        """Whether the user wants the training to end."""
        return self.job is not None and self.job.cancelled
