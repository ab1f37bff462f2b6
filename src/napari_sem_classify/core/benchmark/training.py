"""How fast a training is beside the bare step of its network on a batch that never changes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset import ImageRecord
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.set_reading import ImageFacts
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import Preset, make_preset
from napari_sem_classify.core.finetune.finetune_time import batch_size_for
from napari_sem_classify.core.image.intensity import IntensityRecipe

CLASSES = 10
VALID_TILES = 4 * CLASSES
LEAST_BATCHES = 4
_MANY = 1 << 20


def run_training_benchmark(
    size: int, device: str = "auto", seconds: float = 6.0, job: Job | None = None
) -> dict[str, Any]:
    """Measure tiles per second of a training with all layers, and of its network's bare step.

    The bare step is forward, backward and optimiser step of the same network on a batch that lies
    on the device: on an NVIDIA GPU compiled. On other processors training and bare steps take
    turns, batch by batch; there whole epochs are timed.

    Parameters
    ----------
    size : int
        Side of the network's input.
    seconds : float
        Aimed length of the bare steps, from which the number of batches follows.
    job : Job, optional
        Checked at every batch.

    Returns
    -------
    dict
        Plain JSON values: `training_tiles_per_s`, `bare_tiles_per_s`, `training_to_bare`,
        `training_to_bare_processor_time` (None on GPUs; a busy machine disturbs it less),
        `size_px`, `batch_size`, `tiles`, `bare_compiled`, `device`.

    Raises
    ------
    DeviceError
        When the device is not there or has too little memory.
    Cancelled
        When the job was asked to stop.
    """
    from napari_sem_classify.core.network.engine.devices import device_title, find_device

    place = find_device(device)
    batch = batch_size_for(place.type, size, _MANY)
    Reporter(0, "Measuring a training", job)
    preset = _preset(size, 3 if place.type == "cuda" else 1)
    bare = BareStep(preset, size, batch, place)
    seconds_a_step = bare.seconds(2)
    batches = int(np.clip(seconds / seconds_a_step, LEAST_BATCHES, 2000))
    measure = _by_epochs if place.type == "cuda" else _taking_turns
    return {
        **measure(preset, bare, batches, job),
        "size_px": size,
        "batch_size": batch,
        "bare_compiled": bare.compiled,
        "device": device_title(place),
    }


def random_set(count: int, side: int) -> tuple[TrainingSet, Split]:
    """Tiles of noise; `VALID_TILES` of them choose the best weights."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % CLASSES
    one = ImageFacts(ImageRecord(Path("noise"), 0), None, (side, side), None, (0, side, 0, side))
    data = TrainingSet(
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        images=(one,) * count,
        labels=labels,
        tiles=generator.integers(0, 256, (count, side, side), np.uint8),
        tile_image=np.arange(count),
        pairs=np.empty((0, 2), dtype=np.int64),
        tile_px=side,
        whole_images=True,
        recipe=IntensityRecipe(),
        crop=None,
        left_out={},
        notes=(),
        folder=Path("nowhere"),
    )
    none = np.empty(0, dtype=np.int64)
    learned, choosing = np.arange(VALID_TILES, count), np.arange(VALID_TILES)
    return data, Split(learned, choosing, none, none, "noise", 0.0)


class BareStep:
    """Forward, backward and step of a training's network on one batch on the device."""

    def __init__(self, preset: Preset, size: int, batch: int, device: Any) -> None:
        import torch

        from napari_sem_classify.core.finetune.finetune_compiled import compiled_forward
        from napari_sem_classify.core.finetune.finetune_network import (
            TrainedNetwork,
            training_arithmetic,
        )
        from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE

        model = TrainedNetwork(
            DEFAULT_BACKBONE,
            CLASSES,
            stages=preset.pooled_stages,
            dropout=preset.dropout,
            fixed_norms=preset.fixed_norms,
            dtype=training_arithmetic(device),
        ).to(device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.train()
        self.batch, self.device, self.compiled = batch, device, device.type == "cuda"
        self._model: Any = compiled_forward(model) if self.compiled else model
        self._optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
        self._grey = torch.rand(batch, 1, size, size, device=device)
        self._label = torch.arange(batch, device=device) % CLASSES

    def __call__(self) -> None:
        """Forward, backward, step."""
        import torch

        loss = torch.nn.functional.cross_entropy(self._model(self._grey), self._label)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._optimiser.zero_grad()

    def seconds(self, steps: int) -> float:
        """Seconds of a step, after one to warm up."""
        import torch

        def wait() -> None:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)

        self()
        wait()
        begun = time.perf_counter()
        for _ in range(steps):
            self()
        wait()
        return (time.perf_counter() - begun) / steps


def _preset(size: int, epochs: int) -> Preset:
    """All layers from the start, and crops of the whole tile: nothing but the step counts."""
    preset = make_preset("sem", sizes=[size], epochs=epochs)
    preset = replace(preset, head_first=False, average=False)
    return replace(preset, augmentation=replace(preset.augmentation, crop=0.0))


def _taking_turns(preset: Preset, bare: BareStep, batches: int, job: Job | None) -> dict[str, Any]:
    """A batch of the training and a bare one, turn by turn."""
    from napari_sem_classify.core.finetune.finetune import fine_tune

    data, split = random_set(bare.batch * batches + VALID_TILES, preset.stages[0].size)
    spent: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []

    def now() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()

    last = now()

    def after(_loss: float) -> None:
        nonlocal last
        begun = now()
        spent.append((begun[0] - last[0], begun[1] - last[1]))
        bare()
        last = now()
        alone.append((last[0] - begun[0], last[1] - begun[1]))

    options = FineTuneOptions(preset, str(bare.device), batch_size=bare.batch)
    fine_tune(data, split, options, on_batch=after, job=job)
    tiles = bare.batch * (len(spent) - 1)
    mine, theirs = np.sum(spent[1:], axis=0), np.sum(alone[1:], axis=0)  # the first has the start
    return {
        "training_tiles_per_s": round(tiles / mine[1], 2),
        "bare_tiles_per_s": round(tiles / theirs[1], 2),
        "training_to_bare": round(theirs[1] / mine[1], 3),
        "training_to_bare_processor_time": round(theirs[0] / mine[0], 3),
        "tiles": tiles,
    }


def _by_epochs(preset: Preset, bare: BareStep, batches: int, job: Job | None) -> dict[str, Any]:
    """Whole epochs, and as many bare steps."""
    from napari_sem_classify.core.finetune.finetune import fine_tune
    from napari_sem_classify.core.finetune.finetune_compiled import CompiledStep

    data, split = random_set(bare.batch * batches + VALID_TILES, preset.stages[0].size)
    rate = bare.batch / bare.seconds(batches)
    told: list[Any] = []
    options = FineTuneOptions(preset, str(bare.device), batch_size=bare.batch)
    usual = CompiledStep.least_left_s
    CompiledStep.least_left_s = 0.0  # what long trainings have
    try:
        fine_tune(data, split, options, on_epoch=told.append, job=job)
    finally:
        CompiledStep.least_left_s = usual
    training = len(split.train) / min(each.seconds for each in told[1:])
    return {
        "training_tiles_per_s": round(training, 2),
        "bare_tiles_per_s": round(rate, 2),
        "training_to_bare": round(training / rate, 3),
        "training_to_bare_processor_time": None,
        "training_step": CompiledStep.told,
        "tiles": len(split.train),
    }
