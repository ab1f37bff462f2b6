"""Fine-tuning: tiles and a preset in, a model with its own trunk out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import Cancelled, DatasetError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_options import DEFAULT_OPTIONS, FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import Stage
from napari_sem_classify.core.finetune.finetune_result import FineTuned, HeldOut, make_card
from napari_sem_classify.core.finetune.finetune_time import batch_size_for
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.network.engine.devices import (
    cpu_has_bfloat16,
    device_title,
    find_device,
)
from napari_sem_classify.core.teach.logistic import fit_temperature

if TYPE_CHECKING:
    import torch
    from fastai.learner import Learner

    from napari_sem_classify.core.finetune.finetune_data import (
        PlainBatches,
        TrainingBatches,
        Units,
    )
    from napari_sem_classify.core.finetune.finetune_learner import EpochReport, Run
    from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork

NOT_TESTED = (
    "It was stopped before the images kept for the last test were scored: the score is that of "
    "the images that chose the best epoch."
)
FITTED_KEPT = (
    "The fitted head is kept: no training was clearly better on the images that choose "
    "(by more than one standard error)."
)
LOWEST_TEMPERATURE = 0.5
"""A handful of held-out images that are all right would fit any confidence, however high."""


def fine_tune(
    data: TrainingSet,
    split: Split,
    options: FineTuneOptions = DEFAULT_OPTIONS,
    *,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_batch: Callable[[float], None] | None = None,
    job: Job | None = None,
) -> FineTuned:
    """Train head and trunk on the tiles of a training set.

    Parameters
    ----------
    data : TrainingSet
    split : Split
        From `plan_split` on the same set.
    options : FineTuneOptions
    on_epoch : callable, optional
        Told an `EpochReport` after every epoch.
    on_batch : callable, optional
        Told the training loss of every batch.
    job : Job, optional
        Told and checked at every batch. A cancelled training gives the best model so far, with
        the score that its best epoch had.

    Raises
    ------
    DatasetError
        When the training comes to no usable model.
    Cancelled
        When it was cancelled before there was any model.
    ModelError, DeviceError
        When the backbone or the device is not there.
    """
    import torch

    place = find_device(options.device)
    devices = [place] if place.type == "cuda" else []
    # The viewer's own random numbers stay as they are.
    with torch.random.fork_rng(devices, device_type=place.type if devices else "cuda"):
        torch.manual_seed(options.seed)
        return _Training(data, split, options, place).run(on_epoch, on_batch, job)


class _Training:
    """One training: the things that all its steps share."""

    def __init__(
        self, data: TrainingSet, split: Split, options: FineTuneOptions, device: torch.device
    ) -> None:
        import torch

        from napari_sem_classify.core.finetune.finetune_data import TrainingTiles, units_of
        from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork

        self.data, self.split, self.options, self.device = data, split, options, device
        self.preset = preset = options.preset
        self.store: TrainingTiles = TrainingTiles(data.tiles, device)
        self.train: Units = units_of(data, split.train)
        self.valid: Units = units_of(data, split.valid)
        self.started = time.perf_counter()
        self.model: TrainedNetwork = TrainedNetwork(
            options.backbone_id,
            len(data.class_names),
            stages=preset.pooled_stages,
            dropout=preset.dropout,
            fixed_norms=preset.fixed_norms,
            dtype=_arithmetic(device),
        )
        # A plain `to` for the types' sake: torch's stubs do not know its memory_format.
        move: Any = self.model.to
        move(device, memory_format=torch.channels_last)

    def run(
        self,
        on_epoch: Callable[[EpochReport], None] | None,
        on_batch: Callable[[float], None] | None,
        job: Job | None,
    ) -> FineTuned:
        from napari_sem_classify.core.finetune.finetune_choice import cases_that_choose
        from napari_sem_classify.core.finetune.finetune_learner import Run
        from napari_sem_classify.core.finetune.finetune_scoring import begin_scoring

        total = sum(stage.epochs * self._batches(stage) for stage in self.preset.stages)
        run = Run(
            run_id=self.options.run_id(self.data, self.split),
            seed=self.options.seed,
            # It tells and does not stop: a cancelled training keeps its best model.
            reporter=Reporter(total, "Training", None if job is None else Job(job.tell)),
            job=job,
            on_epoch=on_epoch,
            on_batch=on_batch,
            checkpoint=self.options.checkpoint,
            choosing=cases_that_choose(self.data, self.valid.image),
        )
        self._train(run, job)
        averaged = bool(self.preset.average and run.start)
        begin_scoring(run, self.data, self.split, job, averaged=averaged)
        if averaged and not run.cancelled:
            self._average(run)
        if not run.best_state:
            if run.cancelled:
                raise Cancelled
            raise DatasetError(
                "The training came to no usable model: its loss is no number. "
                "Take a lower learning rate or another preset."
            )
        self.model.load_state_dict(run.best_state)
        result = self._finish(run)
        if run.checkpoint is not None and not run.cancelled:
            run.checkpoint.unlink(missing_ok=True)
        return result

    def _train(self, run: Run, job: Job | None) -> None:
        from napari_sem_classify.core.finetune.finetune_checkpoint import read_checkpoint
        from napari_sem_classify.core.finetune.finetune_learner import (
            ALL,
            HEAD,
            batches_for,
            fit_phase,
            restore,
        )

        learner = self._learner(0)
        begin = (0, HEAD, 0)
        found = None if run.checkpoint is None else read_checkpoint(run.checkpoint, run.run_id)
        if found is not None:
            begin = restore(learner, run, found)
        elif self.preset.head_first:
            self._fit_head(run, job)
            learner.train_bn = not self.model.fixed_norms
        for number, stage in enumerate(self.preset.stages):
            if number < begin[0]:
                run.reporter.done += stage.epochs * self._batches(stage)
                continue
            train, valid = self._loaders(number)
            learner.dls = batches_for(train, valid, self.device)
            if self.options.search_rate and found is None:
                from napari_sem_classify.core.finetune.finetune_rate import find_rate

                rate = find_rate(learner, job=job)
                if rate is not None:
                    self._use_rate(number, rate)
            for phase in (HEAD, ALL):
                start = 0
                if number == begin[0] and phase == begin[1]:
                    start = begin[2]
                elif number == begin[0] and phase == HEAD and begin[1] == ALL:
                    start = stage.epochs_frozen
                run.reporter.done += start * len(train)
                run.reporter.stage = f"Training at {stage.size} px"
                if run.asked_to_stop:
                    run.cancelled = True
                if run.cancelled:
                    return
                fit_phase(learner, run, self.preset, number, phase, start)

    def _use_rate(self, number: int, rate: float) -> None:
        stages = list(self.preset.stages)
        stage = stages[number]
        scaled = stage.lr_unfrozen * rate / stage.lr_frozen
        stages[number] = replace(stage, lr_frozen=rate, lr_unfrozen=scaled)
        self.preset = replace(self.preset, stages=tuple(stages))

    def _fit_head(self, run: Run, job: Job | None) -> None:
        from napari_sem_classify.core.finetune.finetune_data import PlainBatches
        from napari_sem_classify.core.finetune.finetune_start import (
            sample_for_head,
            start_from_exact_head,
        )

        size, n_classes = self.preset.stages[0].size, len(self.data.class_names)
        chosen = sample_for_head(self.train, n_classes, self.options.seed)
        batches = PlainBatches(self.store, chosen, size, self._batch_size(size))
        valid = self._loaders(0)[1]
        start_from_exact_head(self.model, batches, valid, n_classes, run, job)

    def _average(self, run: Run) -> None:
        """Try weights between the start and the end of the training."""
        from napari_sem_classify.core.finetune.finetune_start import average_with_start

        last = len(self.preset.stages) - 1
        epoch = self.preset.stages[last].epochs_unfrozen - 1
        valid = self._loaders(last)[1]
        average_with_start(
            self.model,
            self.options.backbone_id,
            valid,
            run,
            stage=last,
            epoch=epoch,
            reporter=run.reporter,
        )

    def _finish(self, run: Run) -> FineTuned:
        """Temperature, scores, card and record of the best weights."""
        import torch

        from napari_sem_classify.core.finetune.finetune_data import PlainBatches, units_of
        from napari_sem_classify.core.finetune.finetune_learner import mean_probabilities
        from napari_sem_classify.core.finetune.finetune_scoring import last_scores

        self.model.dtype = torch.float32  # a score that every engine comes to
        size = run.best_size
        valid, test = (
            PlainBatches(self.store, units, size, self._batch_size(size))
            for units in (self.valid, units_of(self.data, self.split.test))
        )
        chose, scored, logits = last_scores(self.model, run, valid, test)
        temperature = max(LOWEST_TEMPERATURE, fit_temperature(chose.numpy(), valid.label))
        held_out = HeldOut(
            image=scored.units.image,
            tile=scored.units.first,
            truth=scored.units.label,
            probabilities=mean_probabilities(logits, scored, temperature),
            uncalibrated=mean_probabilities(logits, scored),
        )
        notes = self._notes(run)
        card = make_card(
            self.data,
            self.split,
            replace(self.options, preset=self.preset),
            held_out,
            network_px=size,
            temperature=temperature,
            record={
                "seed": self.options.seed,
                "device": device_title(self.device),
                "stopped_early": run.cancelled,
                "share_of_trained_weights": run.best_share,
                "notes": list(notes),
                "history": [asdict(report) for report in run.history],
            },
            seconds=time.perf_counter() - self.started,
        )
        classifier = TileClassifier(card, self.model.head.to_head(), self.model.trunk_weights())
        return FineTuned(classifier, tuple(run.history), held_out, run.cancelled, notes)

    def _notes(self, run: Run) -> tuple[str, ...]:
        notes = (*self.data.notes, *self.split.notes)
        if run.cancelled and len(self.split.test):
            notes += (NOT_TESTED,)
        if run.kept_fitted:
            notes += (FITTED_KEPT,)
        if run.checkpoint_problem:
            notes += (f"The training could not be kept on the way: {run.checkpoint_problem}",)
        return notes

    def _learner(self, number: int) -> Learner:
        from napari_sem_classify.core.finetune.finetune_learner import make_learner

        train, valid = self._loaders(number)
        return make_learner(self.model, train, valid, self.preset, self.device)

    def _loaders(self, number: int) -> tuple[TrainingBatches, PlainBatches]:
        from napari_sem_classify.core.finetune.finetune_data import PlainBatches, TrainingBatches

        size = self.preset.stages[number].size
        batch = self._batch_size(size)
        train = TrainingBatches(
            self.store, self.train, size, batch, self.preset.augmentation, self.preset.balance
        )
        return train, PlainBatches(self.store, self.valid, size, 2 * batch)

    def _batches(self, stage: Stage) -> int:
        return max(1, -(-len(self.train.label) // self._batch_size(stage.size)))

    def _batch_size(self, size: int) -> int:
        """Tiles of a batch, as the user wants or as suits device and size."""
        if self.options.batch_size is not None:
            return max(2, self.options.batch_size)
        return batch_size_for(self.device.type, size, len(self.train.label))


def _arithmetic(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor has it, else float32."""
    import torch

    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32
