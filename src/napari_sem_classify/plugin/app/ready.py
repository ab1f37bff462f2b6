"""Worker tasks that get a model ready on a device. Nothing here knows a widget or a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.network.engine.devices import DeviceChoice
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.app.session import ReadyModel

LONG_TRIAL_S = 2.0


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model on a device, and the devices there are."""

    ready: ReadyModel
    devices: list[DeviceChoice]


def prepare(path: Path, device: DeviceChoice, tile: int) -> Callable[[JobContext], PreparedModel]:
    """Task: load a model, get it onto the device, and time a few tiles."""

    def task(context: JobContext) -> PreparedModel:
        from napari_sem_classify.core.network.engine.trial import tiles_per_s

        ready = load_ready(path, device.id, device.backend, context)
        context.tell(Progress(0, 0, "Timing a few tiles"))
        engine = ready.engine
        speed = tiles_per_s(engine, tile, engine.batch_size, LONG_TRIAL_S, context)
        return PreparedModel(ReadyModel(ready.classifier, engine, speed), find_devices(context))

    return task


def find_devices(_context: JobContext) -> list[DeviceChoice]:
    """Task: the devices there are."""
    from napari_sem_classify.core.network.engine.devices import available_devices

    return available_devices()


def load_ready(path: Path, device: str, backend: str, job: Job) -> ReadyModel:
    """Load a model and get it onto a device; its speed is not known yet."""
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.engines import engine_for

    job.tell(Progress(0, 0, "Getting the model ready"))
    # napari needs it for the first layer with features; here it does not hold the window up.
    import pandas  # noqa: F401

    classifier = load_model(path)
    job.check()
    engine = engine_for(classifier, device=device, backend=backend)
    job.check()
    return ReadyModel(classifier, engine, float("nan"))
