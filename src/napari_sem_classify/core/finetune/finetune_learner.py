"""fastai's Learner, told what to do and watched: epochs, best weights, cancel, checkpoints.

Imports torch and fastai: import this module inside functions only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from fastai.callback import schedule as _one_cycle  # noqa: F401  gives Learner its fit_one_cycle
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.mixup import MixUp
from fastai.data.core import DataLoaders
from fastai.learner import Learner, Recorder
from fastai.losses import LabelSmoothingCrossEntropyFlat
from fastai.optimizer import OptimWrapper
from torch import Tensor

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.finetune.finetune_checkpoint import (
    Checkpoint,
    pack_optimiser,
    unpack_optimiser,
    write_checkpoint,
)
from napari_sem_classify.core.finetune.finetune_choice import (
    ALL,
    HEAD,
    Evidence,
)
from napari_sem_classify.core.finetune.finetune_compiled import CompiledStep
from napari_sem_classify.core.finetune.finetune_data import PlainBatches, TrainingBatches
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork, layer_groups
from napari_sem_classify.core.finetune.finetune_presets import Preset
from napari_sem_classify.core.finetune.finetune_run import EpochReport, Run
from napari_sem_classify.core.network.engine.compiled import compiles_on

CHECKPOINT_EVERY_S = 60.0
LOSSES_EVERY_S = 0.25


class EpochWatch(Callback):  # type: ignore[misc]
    """Seeds every epoch, counts batches, scores every epoch, keeps the best, stops when asked."""

    order = 80

    def __init__(self, run: Run, stage: int, phase: str, size: int, start_epoch: int) -> None:
        super().__init__()
        self.job, self.stage, self.phase, self.size = run, stage, phase, size
        self.start_epoch = start_epoch
        self.since_best, self.lowest = 0, float("inf")
        self.outputs: list[Tensor] = []
        self.untold: list[Tensor] = []
        self.due = 0.0

    def before_epoch(self) -> None:
        """Make the epoch depend on the seed and its own number alone."""
        if self.epoch < self.start_epoch:
            return
        key = (self.job.seed, self.stage, int(self.phase == ALL), self.epoch)
        self.dls.train.start_epoch(*key)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        self.started = time.perf_counter()

    def before_train(self) -> None:
        """Begin a mean of the training loss."""
        self.loss_sum, self.seen = torch.zeros((), device=self.dls.device), 0

    def tell_losses(self) -> None:
        """Tell the losses of the batches since the last time.

        To ask a GPU for a number is to wait until it is done with all that it was given: not at
        every batch.
        """
        self.due = time.perf_counter() + LOSSES_EVERY_S
        untold, self.untold = self.untold, []
        if self.job.on_batch is not None and untold:
            for loss in torch.stack(untold).tolist():
                self.job.on_batch(loss)

    def after_train(self) -> None:
        """Tell the last losses."""
        self.tell_losses()

    def before_validate(self) -> None:
        """Begin to collect logits."""
        self.outputs = []
        self.valid_loss_sum = torch.zeros((), device=self.dls.device)

    def after_pred(self) -> None:
        """Keep the logits of held-out tiles."""
        if not self.training:
            self.outputs.append(self.pred.detach())

    def after_batch(self) -> None:
        """Count the batch, tell, and stop within it when asked."""
        count = len(self.yb[0])
        if self.training:
            self.loss_sum += self.loss.detach() * count
            self.seen += count
            self.untold.append(self.loss.detach())
            if self.dls.device.type == "cpu" or time.perf_counter() > self.due:
                self.tell_losses()
            self.job.reporter.advance()
        else:
            self.valid_loss_sum += self.loss.detach() * count
        if self.job.asked_to_stop:
            self.job.cancelled = True
            raise CancelFitException

    def after_epoch(self) -> None:
        """Score the epoch, keep the best weights, write a checkpoint."""
        if self.epoch < self.start_epoch or not self.outputs:
            return
        batches: PlainBatches = self.dls.valid
        logits = torch.cat(self.outputs)
        found = self.job.weigh(self.learn.model, batches, logits)
        loss = self.job.choosing.loss(found)
        better = self.job.offer(self.learn.model, self.size, found, logits)
        # The best of the training itself: it may still be on its way past the fitted head.
        self.since_best = 0 if loss < self.lowest else self.since_best + 1
        self.lowest = min(self.lowest, loss)
        report = EpochReport(
            stage=self.stage,
            epoch=self.epoch,
            size=self.size,
            phase=self.phase,
            train_loss=float(self.loss_sum) / max(1, self.seen),
            valid_loss=float(self.valid_loss_sum) / len(batches.tile),
            accuracy=found.accuracy,
            macro_f1=found.macro_f1,
            seconds=time.perf_counter() - self.started,
            best=better,
            choice_loss=loss,
        )
        self.job.history.append(report)
        self._save()
        self.job.tell(report)

    def _save(self) -> None:
        run = self.job
        if run.checkpoint is None or time.perf_counter() - run.saved_at < CHECKPOINT_EVERY_S:
            return
        model = {f"model.{k}": v for k, v in self.learn.model.state_dict().items()}
        best = {f"best.{k}": v for k, v in run.best_state.items()}
        start = {f"start.{k}": v for k, v in run.start.items()}
        if run.plain is not run.start:
            start |= {f"plain.{k}": v for k, v in run.plain.items()}
        said = {"best": run.best_logits, "fitted": run.fitted_logits}
        start |= {f"logits.{name}": v.clone() for name, v in said.items() if v is not None}
        weighed = {"best": run.best, "fitted": run.fitted}
        known = {name: each for name, each in weighed.items() if each is not None}
        # Copies: the best may be the fitted head, and a file holds no tensor twice.
        start |= {f"losses.{name}": torch.tensor(each.losses) for name, each in known.items()}
        position = {
            "stage": self.stage,
            "phase": self.phase,
            "epochs_done": self.epoch + 1,
            "best_size": run.best_size,
            "fitted_is_best": run.best is run.fitted,
            "evidence": {
                name: [each.accuracy, each.macro_f1, each.turned_f1] for name, each in known.items()
            },
            "fixed_norms": self.learn.model.fixed_norms,
            "history": [asdict(report) for report in run.history],
        }
        tensors = model | best | start | pack_optimiser(self.opt.opt.state_dict())
        try:
            write_checkpoint(run.checkpoint, Checkpoint(run.run_id, position, tensors))
        except OutputError as error:
            # The training itself is unharmed: go on, and tell at the end.
            run.checkpoint_problem = str(error)
        run.saved_at = time.perf_counter()


class Patience(Callback):  # type: ignore[misc]
    """Ends a phase after so many epochs without a better one."""

    order = 90

    def __init__(self, watch: EpochWatch, epochs: int) -> None:
        super().__init__()
        self.watch, self.epochs = watch, epochs

    def after_epoch(self) -> None:
        """Stop the phase when nothing gets better."""
        if self.watch.since_best >= self.epochs:
            raise CancelFitException


def make_learner(
    model: TrainedNetwork,
    train: TrainingBatches,
    valid: PlainBatches,
    preset: Preset,
    device: torch.device,
) -> Learner:
    """The learner of fastai on these batches, silent, writing no file."""
    optimiser = partial(
        OptimWrapper,
        opt=torch.optim.AdamW,
        weight_decay=preset.weight_decay,
        fused=device.type in ("cuda", "cpu"),
    )
    learner = Learner(
        batches_for(train, valid, device),
        model,
        loss_func=LabelSmoothingCrossEntropyFlat(eps=preset.label_smoothing),
        opt_func=optimiser,
        splitter=layer_groups,
        train_bn=not preset.fixed_norms,
        cbs=[MixUp(preset.mixup)] if preset.mixup > 0 else None,
    )
    # It fetches the loss at every batch, and a GPU idles meanwhile; `EpochWatch` keeps the losses.
    learner.remove_cb(Recorder)
    return learner


def batches_for(train: TrainingBatches, valid: PlainBatches, device: torch.device) -> DataLoaders:
    """Both kinds of batches as fastai wants them."""
    loaders = DataLoaders(train, valid)
    loaders._device = device
    return loaders


def fit_phase(
    learner: Learner,
    run: Run,
    preset: Preset,
    stage: int,
    phase: str,
    start_epoch: int = 0,
    in_time: Callback | None = None,
) -> None:
    """Train one phase of a stage, from an epoch on, until it is done or cancelled.

    `in_time` shortens its schedule where there is too little time for it.
    """
    settings = preset.stages[stage]
    watch = EpochWatch(run, stage, phase, settings.size, start_epoch)
    callbacks: list[Callback] = [watch]
    if preset.patience is not None:
        callbacks.append(Patience(watch, preset.patience))
    if phase == HEAD:
        learner.freeze()
        epochs, top = settings.epochs_frozen, settings.lr_frozen
        rates = slice(top, top)
    else:
        learner.unfreeze()
        epochs, top = settings.epochs_unfrozen, settings.lr_unfrozen
        rates = slice(top * preset.earlier_layers, top)
    if epochs <= start_epoch:
        return
    if in_time is not None:
        callbacks.append(in_time)
    if compiles_on(learner.dls.device):
        callbacks.append(CompiledStep())
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, rates, cbs=callbacks, start_epoch=start_epoch)


def restore(learner: Learner, run: Run, checkpoint: Checkpoint) -> tuple[int, str, int]:
    """Take up a checkpoint; gives stage, phase and epochs done."""
    position = checkpoint.position
    if position["fixed_norms"]:
        learner.model.fix_norms()
        learner.train_bn = False
    learner.model.load_state_dict(_named(checkpoint, "model."))
    run.best_state = _named(checkpoint, "best.")
    run.best_logits = checkpoint.tensors.get("logits.best")
    run.fitted_logits = checkpoint.tensors.get("logits.fitted")
    run.start = _named(checkpoint, "start.")
    run.plain = _named(checkpoint, "plain.") or run.start
    known = {
        name: Evidence(
            checkpoint.tensors[f"losses.{name}"].numpy(),
            *(float("nan") if value is None else value for value in scores),
        )
        for name, scores in position["evidence"].items()
    }
    run.best, run.fitted = known.get("best"), known.get("fitted")
    if position["fitted_is_best"]:
        run.best = run.fitted
    run.best_size = int(position["best_size"])
    run.history[:] = [_report(values) for values in position["history"]]
    learner.create_opt()
    groups = learner.opt.opt.state_dict()["param_groups"]
    learner.opt.opt.load_state_dict(unpack_optimiser(checkpoint.tensors, groups))
    return int(position["stage"]), str(position["phase"]), int(position["epochs_done"])


def _report(values: Mapping[str, Any]) -> EpochReport:
    # JSON has no NaN: it comes back as None.
    none = {"turned_f1", "share"}
    known: dict[str, Any] = {
        k: float("nan") if v is None and k not in none else v for k, v in values.items()
    }
    return EpochReport(**known)


def _named(checkpoint: Checkpoint, start: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(start): value
        for name, value in checkpoint.tensors.items()
        if name.startswith(start)
    }
