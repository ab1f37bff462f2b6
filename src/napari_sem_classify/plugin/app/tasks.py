"""What the worker threads do. Nothing here knows a widget, a layer or a viewer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap, tiles_to_cells
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.app.session import ReadyModel

LONG_TRIAL_S = 2.0


@dataclass(frozen=True, slots=True)
class DeviceWish:
    """A device and backend as the user chose them; "auto" leaves it to the program."""

    id: str = "auto"
    backend: str = "auto"

    @property
    def key(self) -> str:
        """One word for both."""
        return f"{self.id}/{self.backend}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A class map under way or finished, with what its display needs worked out.

    Attributes
    ----------
    class_map : ClassMap
    labels : uint16, shape (rows, cols)
    shares : list of ClassFraction
    """

    class_map: ClassMap
    labels: NDArray[np.uint16]
    shares: list[ClassFraction]

    @classmethod
    def of(cls, class_map: ClassMap) -> Snapshot:
        """Work out labels and fractions."""
        return cls(class_map, class_map.labels(), class_map.fractions())


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run made: a map per plane, how long it took, and the model ready for the next."""

    snapshots: dict[tuple[int, ...], Snapshot]
    seconds: float
    ready: ReadyModel


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model on a device, and the devices there are."""

    ready: ReadyModel
    devices: list[Any]


def prepare(path: Path, wish: DeviceWish, tile: int) -> Callable[[JobContext], Prepared]:
    """Task: load a model, get it onto the device, and time a few tiles."""

    def task(context: JobContext) -> Prepared:
        from napari_sem_classify.core.network.engine.devices import available_devices

        return Prepared(_ready(path, wish, tile, context), available_devices())

    return task


def find_devices(_context: JobContext) -> list[Any]:
    """Task: the devices there are."""
    from napari_sem_classify.core.network.engine.devices import available_devices

    return available_devices()


def run(
    image: SemImage,
    grid: TileGrid,
    keep: NDArray[np.bool_] | None,
    planes: list[tuple[int, ...]],
    path: Path,
    wish: DeviceWish,
    ready: ReadyModel | None,
    *,
    dense: bool = False,
) -> Callable[[JobContext], RunResult]:
    """Task: classify the planes, publishing the map as it fills."""

    def task(context: JobContext) -> RunResult:
        from napari_sem_classify.core.classify.driver import classify_image

        model = ready or _ready(path, wish, grid.tile, context, trial=False)
        card = model.classifier.card
        start = time.perf_counter()
        done: dict[tuple[int, ...], Snapshot] = {}
        # Making a layer takes the window a while: it is there, empty, before the work starts.
        nothing = np.full((*grid.tile_shape, len(card.classes)), np.nan, dtype=np.float32)
        context.publish_and_wait(_provisional(image, grid, card, planes[0], nothing))
        for number, plane in enumerate(planes):

            def publish(so_far: NDArray[np.float32], plane: tuple[int, ...] = plane) -> None:
                if context.wants_publication:
                    context.publish(_provisional(image, grid, card, plane, so_far))

            class_map = classify_image(
                image,
                model.classifier,
                grid,
                engine=model.engine,
                keep=keep,
                plane=plane,
                job=context.part(number, len(planes), start),
                on_update=publish,
                dense=dense,
            )
            done[plane] = Snapshot.of(class_map)
            context.publish(done[plane])
        seconds = time.perf_counter() - start
        tiles = (grid.n_tiles if keep is None else int(keep.sum())) * len(planes)
        # A few tiles tell little: the last batch is filled up, and starting takes its time.
        # Tiles of a dense map cost far less than single ones and say nothing of these.
        tells = tiles >= 2 * model.engine.batch_size or np.isnan(model.tiles_per_s)
        if tells and not dense:
            speed = tiles / max(seconds, 1e-6)
            model = ReadyModel(model.classifier, model.engine, speed)
        return RunResult(done, seconds, model)

    return task


def approximation(maps: list[ClassMap]) -> str:
    """What to tell of dense maps: their agreement with single tiles, the lowest of all planes."""
    agreed = [each.record["dense"]["same_class"] for each in maps if "dense" in each.record]
    if not agreed:
        return ""
    return (
        f" The fine map is an approximation: {min(agreed):.0%} of tiles checked one by one agree."
    )


def _ready(
    path: Path, wish: DeviceWish, tile: int, context: JobContext, *, trial: bool = True
) -> ReadyModel:
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.engines import engine_for

    context.tell(Progress(0, 0, "Getting the model ready"))
    # napari needs it for the first layer with features; here it does not hold the window up.
    import pandas  # noqa: F401

    classifier = load_model(path)
    context.check()
    engine = engine_for(classifier, device=wish.id, backend=wish.backend)
    context.check()
    speed = _trial(engine, tile, context) if trial else float("nan")
    return ReadyModel(classifier, engine, speed)


def _trial(engine: Any, tile: int, context: JobContext) -> float:
    """Tiles per second of a batch of noise, after one to warm up."""
    from napari_sem_classify.core.image.intensity import IntensityRange

    context.tell(Progress(0, 0, "Timing a few tiles"))
    noise = np.random.default_rng(0)
    batch = noise.integers(0, 255, (engine.batch_size, tile, tile), dtype=np.uint8)
    for _ in range(2):
        context.check()
        start = time.perf_counter()
        engine.embed(batch, IntensityRange(0.0, 255.0))
        seconds = time.perf_counter() - start
        if seconds > LONG_TRIAL_S:  # a slow device: warming up is a small part of it
            break
    return float(len(batch) / max(seconds, 1e-6))


def _provisional(
    image: SemImage,
    grid: TileGrid,
    card: ModelCard,
    plane: tuple[int, ...],
    so_far: NDArray[np.float32],
) -> Snapshot:
    return Snapshot.of(
        ClassMap(
            probabilities=tiles_to_cells(grid, so_far),
            grid=grid,
            classes=card.classes,
            pixel_size_nm=image.pixel_size_nm,
            image_name=image.name,
            plane=plane,
        )
    )
