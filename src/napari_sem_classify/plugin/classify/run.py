"""What the worker thread of *Classify* does. Nothing here knows a widget, a layer or a viewer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.int8_memory import int8_sentence
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap, tiles_to_cells
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.app.ready import load_ready
from napari_sem_classify.plugin.app.session import ReadyModel
from napari_sem_classify.plugin.layers.run_layers import MapInView


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    """What a run made: a map per plane, how long it took, and the model ready for the next."""

    maps: dict[tuple[int, ...], MapInView]
    seconds: float
    ready: ReadyModel


@dataclass(frozen=True, slots=True)
class Filling:
    """A map under way, and which of its tiles are done; None for a whole plane that is finished."""

    map: MapInView
    tiles: NDArray[np.bool_] | None


def classify_task(
    image: SemImage,
    chosen: ChosenTiles,
    options: ClassifyOptions,
    path: Path,
    ready: ReadyModel | None,
) -> Callable[[JobContext], ClassifyResult]:
    """Task: classify the chosen planes as the command line does, publishing the map as it fills."""
    planes = tuple(image.planes()) if chosen.planes is None else chosen.planes

    def task(context: JobContext) -> ClassifyResult:
        from napari_sem_classify.core.classify.driver import classify_planes

        model = ready or load_ready(path, options.device, options.backend, context)
        card = model.classifier.card
        start = time.perf_counter()
        done: dict[tuple[int, ...], MapInView] = {}
        # Making a layer takes the window a while: it is there, empty, before the work starts.
        nothing = np.full((*chosen.grid.tile_shape, len(card.classes)), np.nan, dtype=np.float32)
        context.publish_and_wait(_so_far(image, chosen, card, planes[0], nothing))

        def publish(plane: tuple[int, ...], tiles: NDArray[np.float32]) -> None:
            context.publish(_so_far(image, chosen, card, plane, tiles))

        maps = classify_planes(
            image, model.classifier, options, chosen=chosen, job=context, on_update=publish
        )
        for class_map in maps:
            done[class_map.plane] = MapInView.of(class_map)
            context.publish(Filling(done[class_map.plane], None))
        seconds = time.perf_counter() - start
        return ClassifyResult(done, seconds, _timed(model, options, done, seconds))

    return task


def approximation(maps: list[ClassMap]) -> str:
    """What to tell of dense maps: their agreement with single tiles, the lowest of all planes."""
    agreed = [each.record["dense"]["same_class"] for each in maps if "dense" in each.record]
    if not agreed:
        return ""
    share = min(agreed)
    return f" The fine map is an approximation: {share:.0%} of tiles checked one by one agree."


def arithmetic(maps: list[ClassMap]) -> str:
    """What to tell of 8-bit arithmetic, which all planes of a run have or none."""
    told = int8_sentence(maps[0].record["engine"].get("checked")) if maps else ""
    return f" {told}." if told else ""


def _timed(
    model: ReadyModel,
    options: ClassifyOptions,
    done: dict[tuple[int, ...], MapInView],
    seconds: float,
) -> ReadyModel:
    """The model with its speed in a run, where that tells something of the next one."""
    records = [each.class_map.record for each in done.values()]
    # Tiles of a fine map, and those that the cache knew, say nothing of what the network takes.
    other = any(record["engine"]["dtype"] != model.engine.dtype for record in records)
    if options.dense or other or any(record["features_from_cache"] for record in records):
        return model
    tiles = sum(int(record["tiles"]["classified"]) for record in records)
    # A few tiles tell little: the last batch is filled up, and starting takes its time.
    if tiles < 2 * model.engine.batch_size and not np.isnan(model.tiles_per_s):
        return model
    return ReadyModel(model.classifier, model.engine, tiles / max(seconds, 1e-6))


def _so_far(
    image: SemImage,
    chosen: ChosenTiles,
    card: ModelCard,
    plane: tuple[int, ...],
    tiles: NDArray[np.float32],
) -> Filling:
    """The map of the tiles that are done, without a record."""
    so_far = ClassMap(
        probabilities=tiles_to_cells(chosen.grid, tiles),
        grid=chosen.grid,
        classes=card.classes,
        pixel_size_nm=image.pixel_size_nm,
        image_name=image.name,
        plane=plane,
    )
    return Filling(MapInView.of(so_far), ~np.isnan(tiles[..., 0]))
