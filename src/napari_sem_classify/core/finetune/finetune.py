"""Fine-tuning: tiles and a preset in, a model with its own trunk out.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from fastai.learner import Learner
from torch import Tensor

from napari_sem_classify.core.common.errors import Cancelled, DatasetError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_checkpoint import read_checkpoint
from napari_sem_classify.core.finetune.finetune_choice import ALL, HEAD, cases_that_choose
from napari_sem_classify.core.finetune.finetune_clock import TrainingClock
from napari_sem_classify.core.finetune.finetune_data import (
    PlainBatches,
    TrainingBatches,
    TrainingTiles,
    thinned,
    units_of,
)
from napari_sem_classify.core.finetune.finetune_learner import (
    batches_for,
    fit_phase,
    make_learner,
    restore,
)
from napari_sem_classify.core.finetune.finetune_look import (
    mean_probabilities,
    predict,
    temperature_of,
)
from napari_sem_classify.core.finetune.finetune_network import (
    TrainedNetwork,
    training_arithmetic,
)
from napari_sem_classify.core.finetune.finetune_options import DEFAULT_OPTIONS, FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import Stage
from napari_sem_classify.core.finetune.finetune_rate import find_rate
from napari_sem_classify.core.finetune.finetune_result import (
    FineTuned,
    HeldOut,
    kept_sentence,
    make_card,
)
from napari_sem_classify.core.finetune.finetune_run import EpochReport, Run
from napari_sem_classify.core.finetune.finetune_start import (
    average_with_start,
    looks_to_choose,
    sample_for_head,
    start_from_exact_head,
    take_to_size,
)
from napari_sem_classify.core.finetune.finetune_time import (
    SCORING,
    TimeLeft,
    batch_size_for,
)
from napari_sem_classify.core.finetune.finetune_turned import turned_cases
from napari_sem_classify.core.finetune.place_weights import (
    place_notes,
    place_weights,
    tiles_of_epoch,
)
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.network.engine import devices

NOT_TESTED = (
    "It was stopped before the images kept for the last test were scored: the score is that of "
    "the images that chose the best epoch."
)


def fine_tune(
    data: TrainingSet,
    split: Split,
    options: FineTuneOptions = DEFAULT_OPTIONS,
    *,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_batch: Callable[[float], None] | None = None,
    job: Job | None = None,
    ends_at: float | None = None,
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
    ends_at : float, optional
        When to be done, by `time.perf_counter`. A training that would take longer shortens its
        schedule, and says so.

    Raises
    ------
    DatasetError
        When the training comes to no usable model.
    Cancelled
        When it was cancelled before there was any model.
    ModelError, DeviceError
        When the backbone or the device is not there.
    """
    place = devices.find_device(options.device)
    gpus = [place] if place.type == "cuda" else []
    # The viewer's own random numbers stay as they are.
    with torch.random.fork_rng(gpus, device_type="cuda"):
        torch.manual_seed(options.seed)
        return _Training(data, split, options, place, ends_at).run(on_epoch, on_batch, job)


class _Training:
    """One training: the things that all its steps share."""

    def __init__(
        self,
        data: TrainingSet,
        split: Split,
        options: FineTuneOptions,
        device: torch.device,
        ends_at: float | None = None,
    ) -> None:
        self.data, self.split, self.options, self.device = data, split, options, device
        self.preset = preset = options.preset
        self.store = TrainingTiles(data.tiles, device)
        self.train = units_of(data, split.train)
        self.valid, self.test = (
            thinned(units_of(data, images), preset.scored_tiles, options.seed)
            for images in (split.valid, split.test)
        )
        # Images of one place weigh as one.
        self.weight = place_weights(data, self.train.image)
        self.epoch_tiles = tiles_of_epoch(data, split.train, preset)
        n_valid, n_test = (int(units.count.sum()) for units in (self.valid, self.test))
        left = TimeLeft(preset, self.epoch_tiles, n_valid, device.type, n_test)
        self.clock = TrainingClock(ends_at, left)
        self.turned = turned_cases(data, self.valid, device)
        self.started = time.perf_counter()
        self.model = TrainedNetwork(
            options.backbone_id,
            len(data.class_names),
            stages=preset.pooled_stages,
            dropout=preset.dropout,
            fixed_norms=preset.fixed_norms,
            dtype=training_arithmetic(device),
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
            choosing=cases_that_choose(self.data, self.valid.image, self.turned.of),
            turned=self.turned,
        )
        self._train(run)
        if not run.cancelled:
            self._after_the_last_epoch(run)
        if not run.best_state:
            if run.cancelled:
                raise Cancelled
            raise DatasetError(
                "The training came to no usable model: its loss is no number. "
                "Take a lower learning rate or another preset."
            )
        self.model.load_state_dict(run.best_state)
        return self._finish(run)

    def _train(self, run: Run) -> None:
        learner = self._learner(0)
        begin = (0, HEAD, 0)
        found = None if run.checkpoint is None else read_checkpoint(run.checkpoint, run.run_id)
        if found is not None:
            begin = restore(learner, run, found)
        elif self.preset.head_first:
            self._fit_head(run)
            learner.train_bn = not self.model.fixed_norms
        for number, stage in enumerate(self.preset.stages):
            if number < begin[0] or not self._pays(number, run) or self._no_time(stage, run):
                run.reporter.done += stage.epochs * self._batches(stage)
                continue
            grows = number > begin[0] and stage.size != self.preset.stages[number - 1].size
            if grows and self.preset.head_first and not run.cancelled:
                self._take_to_size(stage.size, run)
            train, valid = self._loaders(number)
            learner.dls = batches_for(train, valid, self.device)
            if self.options.search_rate and found is None:
                rate = find_rate(learner, job=run.job)
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
                epochs = stage.epochs_frozen if phase == HEAD else stage.epochs_unfrozen
                done, batches = run.reporter.done, (epochs - start) * len(train)
                in_time = self.clock.watch(done, batches, epochs, start)
                fit_phase(learner, run, self.preset, number, phase, start, in_time)
                if not run.cancelled:
                    self.clock.tell(in_time, stage.size)
                    run.reporter.done = done + batches  # also where it was shorter

    def _pays(self, number: int, run: Run) -> bool:
        """Whether a stage is to be trained: a further round only after one that made it better."""
        if number < len(self.preset.stages) - self.preset.further_rounds:
            return True
        return any(report.best for report in run.history if report.stage == number - 1)

    def _no_time(self, stage: Stage, run: Run) -> bool:
        """Whether a stage is left out, as there is a model and no time for a better one."""
        return bool(stage.epochs and run.best_state) and self.clock.leaves_out(stage.size)

    def _use_rate(self, number: int, rate: float) -> None:
        stages = list(self.preset.stages)
        stage = stages[number]
        scaled = stage.lr_unfrozen * rate / stage.lr_frozen
        stages[number] = replace(stage, lr_frozen=rate, lr_unfrozen=scaled)
        self.preset = replace(self.preset, stages=tuple(stages))

    def _fit_head(self, run: Run) -> None:
        """Fit the exact head at the last size, which is that of use, then one to train from."""
        first, last = self.preset.stages[0].size, self.preset.stages[-1].size
        start_from_exact_head(self.model, self._for_head(last), self._loaders(-1)[1], run)
        if first != last:
            self._take_to_size(first, run, fit=True)

    def _take_to_size(self, size: int, run: Run, *, fit: bool = False) -> None:
        try:
            take_to_size(self.model, self._for_head(size), run.job, fit=fit)
        except Cancelled:
            run.cancelled = run.asked_to_stop  # raises again where the window was closed

    def _for_head(self, size: int) -> PlainBatches:
        n_classes, seed = len(self.data.class_names), self.options.seed
        chosen = sample_for_head(self.train, n_classes, seed, self.preset.epoch_tiles)
        return PlainBatches(self.store, chosen, size, self._batch_size(size))

    def _after_the_last_epoch(self, run: Run) -> None:
        """Count tiles, no longer batches; try weights between start and end of the training."""
        averaged = bool(self.preset.average and run.start)
        valid, test = (int(units.count.sum()) for units in (self.valid, self.test))
        weighed = valid + int(self.turned.units.count.sum())
        total = looks_to_choose(run) * averaged * weighed + valid + test
        run.reporter = Reporter(total, SCORING, run.job)
        if averaged:
            last = len(self.preset.stages) - 1
            epoch = self.preset.stages[last].epochs_unfrozen - 1
            tiles, backbone_id = self._loaders(last)[1], self.options.backbone_id
            average_with_start(
                self.model,
                backbone_id,
                tiles,
                run,
                stage=last,
                epoch=epoch,
                is_over=lambda: self.clock.is_over,
            )

    def _last_scores(
        self, run: Run, valid: PlainBatches, test: PlainBatches
    ) -> tuple[Tensor, PlainBatches, Tensor]:
        """Logits of the tiles that chose; the tiles that are scored (`test`, if any), and theirs.

        A training that is cancelled, now or before, is scored by what its best epoch said: who
        pressed Cancel does not wait for another look at every tile.
        """
        if not run.cancelled:
            try:
                chose = predict(self.model, valid, run.reporter)
                if not len(test.tile):
                    return chose, valid, chose
                return chose, test, predict(self.model, test, run.reporter)
            except Cancelled:
                run.cancelled = run.asked_to_stop  # raises again where the window was closed
        assert run.best_logits is not None  # kept with the best weights
        return run.best_logits, valid, run.best_logits

    def _finish(self, run: Run) -> FineTuned:
        """Temperature, scores, card and record of the best weights."""
        self.model.dtype = torch.float32  # a score that every engine comes to
        size = run.best_size
        valid, test = (
            PlainBatches(self.store, units, size, self._batch_size(size))
            for units in (self.valid, self.test)
        )
        chose, scored, logits = self._last_scores(run, valid, test)
        temperature = temperature_of(chose, valid)
        image = scored.units.image
        held_out = HeldOut(
            class_names=self.data.class_names,
            truth=scored.units.label,
            probabilities=mean_probabilities(logits, scored, temperature),
            uncalibrated=mean_probabilities(logits, scored),
            groups=image if self.data.blocks is None else self.data.blocks[image],
            what="images" if self.data.whole_images else "tiles",
            image=image,
            tile=scored.units.first,
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
                "device": devices.device_title(self.device),
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
        notes = (*self.data.notes, *self.split.notes, *place_notes(self.data, self.split.train))
        if run.cancelled and len(self.split.test):
            notes += (NOT_TESTED,)
        told = self.split.speaks_for
        notes += (kept_sentence(run.history, told),)
        notes += tuple(self.clock.told)
        if run.checkpoint_problem:
            notes += (f"The training could not be kept on the way: {run.checkpoint_problem}",)
        return notes

    def _learner(self, number: int) -> Learner:
        train, valid = self._loaders(number)
        return make_learner(self.model, train, valid, self.preset, self.device)

    def _loaders(self, number: int) -> tuple[TrainingBatches, PlainBatches]:
        size = self.preset.stages[number].size
        batch = self._batch_size(size)
        train = TrainingBatches(
            self.store,
            self.train,
            size,
            batch,
            self.preset.augmentation,
            self.preset.balance,
            self.weight,
            self.epoch_tiles,
        )
        return train, PlainBatches(self.store, self.valid, size, 2 * batch)

    def _batches(self, stage: Stage) -> int:
        return max(1, -(-self.epoch_tiles // self._batch_size(stage.size)))

    def _batch_size(self, size: int) -> int:
        """Tiles of a batch, as the user wants or as suits device and size."""
        if self.options.batch_size is not None:
            return max(2, self.options.batch_size)
        return batch_size_for(self.device.type, size, self.epoch_tiles)
