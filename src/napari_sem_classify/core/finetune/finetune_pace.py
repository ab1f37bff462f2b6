"""A training for the time one has: a minute, a coffee, a night. No torch.

What is cut first where time is short follows what was measured on tiles: half of the epochs cost
little, small epochs of tiles drawn anew cost more, and a smaller size of the network's input costs
most (`benchmarks/RESULTS.md`, "Fine-tuning"). Small sizes on the way to the largest one go before
the largest one does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_sem_classify.core.common.durations import duration_text
from napari_sem_classify.core.common.errors import DatasetError
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import Preset, Stage
from napari_sem_classify.core.finetune.finetune_trial import Parts, trial_rate, work_of
from napari_sem_classify.core.finetune.place_weights import tiles_of_epoch

BEFORE_S, AFTER_S = 3.0, 3.0
"""To import what trains and get the network ready; to save the model."""

PLANNED = 0.8
"""Share of the time that is planned: a computer that does other things meanwhile is slower."""

FURTHER_ROUNDS = 3
LEAST_PER_CLASS, LEAST_EPOCHS = 10, 2
SMALLER = 0.7


@dataclass(frozen=True, slots=True)
class Pace:
    """A time that somebody has.

    Attributes
    ----------
    name, title : str
        For the command line and for forms.
    seconds : float
        From the start to the model.
    most_images : int or None
        So many images at most are read; to read more would take longer than to learn from them.
    rounds : int
        Further rounds at the largest size, as long as each makes the model better.
    """

    name: str
    title: str
    seconds: float
    most_images: int | None
    rounds: int = 0


PACES = {
    pace.name: pace
    for pace in (
        Pace("minute", "A minute", 60.0, 600),
        Pace("coffee", "A coffee (10 minutes)", 600.0, 6000),
        Pace("overnight", "Overnight (8 hours at most)", 8 * 3600.0, None, FURTHER_ROUNDS),
    )
}


def pace_named(name: str) -> Pace:
    """The pace of this name.

    Raises
    ------
    DatasetError
        When there is none.
    """
    if name not in PACES:
        raise DatasetError(f"There is no time {name!r}: choose {', '.join(PACES)}.")
    return PACES[name]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training does with its time.

    Attributes
    ----------
    preset : Preset
    seconds : float
        About how long it takes.
    tiles : int
        That an epoch draws.
    """

    pace: Pace
    preset: Preset
    seconds: float
    tiles: int

    def sentence(self, what: str = "tiles") -> str:
        """For the user, before the start: "About 50 s: 64 → 128 px, 3 + 2 epochs of 150 tiles"."""
        if not self.preset.epochs:
            px = self.preset.stages[-1].size
            return (
                f"About {duration_text(self.seconds)}: the fitted head alone, at {px} px; there is "
                "no time to train the network."
            )
        further = self.preset.further_rounds
        stages = self.preset.stages[: len(self.preset.stages) - further]
        sizes = " → ".join(str(stage.size) for stage in stages)
        epochs = " + ".join(str(stage.epochs) for stage in stages)
        rounds = f", then up to {further} further rounds while they help" if further else ""
        one = epochs == "1"
        about = "At most about" if further else "About"
        return (
            f"{about} {duration_text(self.seconds)}: {sizes} px, {epochs} "
            f"epoch{'' if one else 's'} of {self.tiles} {what}{rounds}."
        )


def plan_training(
    pace: Pace,
    parts: Parts,
    n_classes: int,
    full: Preset,
    *,
    device: str,
    rate: float,
    seconds: float | None = None,
) -> Plan:
    """Choose sizes, epochs and tiles of an epoch so that a training ends in time.

    Parameters
    ----------
    parts : (int, int, int)
        Tiles (or images) to learn from, to choose by, and to score.
    full : Preset
        What is trained where there is time enough.
    device : {"cpu", "mps", "cuda"}
    rate : float
        From `trial_rate`.
    seconds : float, optional
        That are left of the pace's; all of them where None.

    Returns
    -------
    Plan
        The most that fits; where nothing does, the least there is.
    """
    there = pace.seconds if seconds is None else seconds
    least = LEAST_PER_CLASS * n_classes

    def made(preset: Preset) -> Plan:
        about = BEFORE_S + work_of(preset, parts, device) / rate + AFTER_S
        return Plan(pace, preset, about, preset.in_epoch(parts[0]))

    plan = made(full)
    for preset in _richest_first(full, pace.rounds, parts, least):
        plan = made(preset)
        if plan.seconds <= PLANNED * there:
            break
    return plan


def parts_of_split(data: TrainingSet, split: Split, preset: Preset) -> Parts:
    """How many tiles an epoch has, how many choose, and how many are scored."""
    valid, test = (
        int(np.isin(data.tile_image, images).sum()) for images in (split.valid, split.test)
    )
    return tiles_of_epoch(data, split.train, preset), valid, test


def plan_for(
    pace: Pace,
    data: TrainingSet,
    split: Split,
    options: FineTuneOptions,
    begun: float,
    rate: float | None = None,
) -> Plan:
    """The plan for a set that is read, with the time that is left.

    Parameters
    ----------
    begun : float
        When the time began, by `time.perf_counter`.
    rate : float, optional
        From `trial_rate`, which is asked where None.

    Raises
    ------
    DeviceError, ModelError
        When the device or the network cannot be used.
    """
    from napari_sem_classify.core.network.engine.devices import find_device

    if rate is None:
        rate = trial_rate(options.device, options.backbone_id)
    parts, n_classes = parts_of_split(data, split, options.preset), len(data.class_names)
    device, left = find_device(options.device).type, pace.seconds - (time.perf_counter() - begun)
    preset = options.preset
    return plan_training(pace, parts, n_classes, preset, device=device, rate=rate, seconds=left)


def paced(options: FineTuneOptions, plan: Plan) -> FineTuneOptions:
    """Options for a planned training; only a long one looks for a learning rate first."""
    long = plan.pace.rounds > 0
    return replace(options, preset=plan.preset, search_rate=long, time=plan.pace.name)


def _richest_first(full: Preset, rounds: int, parts: Parts, least: int) -> Iterator[Preset]:
    """The full training, and what is left when more and more of it is cut."""
    for further in range(rounds, 0, -1):
        stages = (*full.stages, *[full.stages[-1]] * further)
        yield replace(full, stages=stages, further_rounds=further)
    for largest in range(len(full.stages), 0, -1):
        for stages in (full.stages[:largest], full.stages[largest - 1 : largest]):
            for share in (1.0, 0.75, 0.5):
                fewer = tuple(_with_share(stage, share) for stage in stages)
                yield replace(full, stages=fewer)
            yield from _with_fewer_tiles(replace(full, stages=fewer), parts, least)
        one = replace(full.stages[largest - 1], epochs_frozen=0, epochs_unfrozen=1)
        few = replace(full, stages=(one,), epoch_tiles=least, scored_tiles=least)
        yield few
        none = replace(one, epochs_unfrozen=0)
        yield replace(few, stages=(none,), average=False)


def _with_fewer_tiles(preset: Preset, parts: Parts, least: int) -> Iterator[Preset]:
    """Smaller and smaller epochs down to the least, of which a few have to fit."""
    count = preset.in_epoch(parts[0])
    while count > least:
        count = max(least, int(SMALLER * count))
        scored = max(least, round(count * max(parts[1:]) / parts[0]))
        yield replace(preset, epoch_tiles=count, scored_tiles=scored)


def _with_share(stage: Stage, share: float) -> Stage:
    """A stage with this share of its epochs, yet not fewer than a few."""
    epochs = min(stage.epochs, max(LEAST_EPOCHS, round(share * stage.epochs)))
    unfrozen = max(1, round(epochs * stage.epochs_unfrozen / stage.epochs))
    return replace(stage, epochs_frozen=epochs - unfrozen, epochs_unfrozen=unfrozen)
