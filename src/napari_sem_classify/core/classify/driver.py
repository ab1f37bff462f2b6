"""The main job: image, grid and model in, class map out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.agreement import agreement_with_tiles
from napari_sem_classify.core.classify.grid_choice import GridChoice, grid_for_model
from napari_sem_classify.core.classify.record import (
    EngineNames,
    content_hash,
    image_facts,
    pack_mask,
    run_record,
)
from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.image.sem_image import SemImage, hold_plane
from napari_sem_classify.core.maps.class_map import ClassMap, map_sha256, tiles_to_cells
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.network.features import (
    embed_image,
    features_to,
    measure_in,
    no_tiles,
    tile_reporter,
)
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_rules import FLAT_BELOW, check_tiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
    from napari_sem_classify.core.network.engine.base import Engine

__all__ = ["GridChoice", "classify_image", "classify_planes", "embed_image", "grid_for_model"]

UPDATES_PER_S = 4.0

UpdateCallback = Callable[[NDArray[np.float32]], None]


def classify_image(
    image: SemImage,
    classifier: TileClassifier,
    grid: TileGrid,
    *,
    engine: Engine | None = None,
    keep: NDArray[np.bool_] | None = None,
    plane: tuple[int, ...] = (),
    job: Job | None = None,
    on_update: UpdateCallback | None = None,
    cache: EmbeddingCache | None = None,
    dense: bool = False,
) -> ClassMap:
    """Classify the tiles of one plane.

    Parameters
    ----------
    image : SemImage
    classifier : TileClassifier
    grid : TileGrid
        See `grid_for_model`.
    engine : Engine, optional
        Made for the classifier where none is given.
    keep : bool, shape ``grid.tile_shape``, optional
        False for tiles to leave out. Tiles without data are left out anyway.
    plane : tuple of int
        Index along the leading axes of a stack.
    job : Job, optional
        Told and checked once per batch.
    on_update : callable, optional
        Given a copy of the tiles' probabilities so far, float32 of shape (tile rows, tile columns,
        classes) with NaN for tiles not done, at most `UPDATES_PER_S` times a second and at the end.
    cache : EmbeddingCache, optional
        Where features are looked up and kept, so that another model's head needs no network run.
    dense : bool
        Run the network over large blocks instead of tiles: an approximation for fine strides, see
        `network.dense`. The record tells how far it agrees with single tiles.

    Returns
    -------
    ClassMap
        NaN in cells left out; its record tells how to repeat the run.

    Raises
    ------
    ImageError
        When the image cannot be read or no tile is left.
    ModelError, DeviceError
        When the model or the device cannot be used.
    Cancelled
        When the job was asked to stop.
    """
    start = time.perf_counter()
    reporter = tile_reporter(grid, keep, "Classifying tiles", job)
    if engine is None:
        from napari_sem_classify.core.model.engines import engine_for

        engine = engine_for(classifier)
    head, card = classifier.head, classifier.card
    if engine.feature_size != len(head.mean):
        raise ModelError(
            f"The model {card.name!r} needs {len(head.mean)} features of a tile and the network "
            f"gives {engine.feature_size}: choose the network that the model names."
        )
    held = hold_plane(image, plane)
    intensity = measure_in(held, image, card.intensity, plane)
    shape = (*grid.tile_shape, len(card.classes))
    probabilities = np.full(shape, np.nan, dtype=np.float32)
    flat = probabilities.reshape(-1, len(card.classes))
    publish = _at_most(UPDATES_PER_S, on_update)

    def sink(index: NDArray[np.int64], features: NDArray[Any]) -> None:
        flat[index] = head.probabilities(features, card.temperature)
        publish(probabilities)

    network = None
    if cache is not None:
        from napari_sem_classify.core.model.network_name import network_of

        network = network_of(classifier)
    from_cache = features_to(
        image, grid, engine, intensity, sink, reporter, keep, plane, cache, network, held, dense
    )
    if on_update is not None and not np.isnan(flat[:, 0]).all():
        on_update(probabilities.copy())
    reporter.check()
    more: dict[str, Any] = {
        "chosen_tiles": None if keep is None else pack_mask(keep),
        "features_from_cache": from_cache,
    }
    if dense:
        if np.isnan(flat[:, 0]).all():
            raise no_tiles(image)
        source, place = (image, plane) if held is None else (held, ())
        more["dense"] = agreement_with_tiles(
            source, grid, engine, intensity, classifier, probabilities, place
        )
        reporter.check()
    more["seconds"] = round(time.perf_counter() - start, 3)
    return map_of_tiles(image, classifier, grid, probabilities, intensity, engine, plane, more)


def map_of_tiles(
    image: SemImage,
    classifier: TileClassifier,
    grid: TileGrid,
    probabilities: NDArray[np.float32],
    intensity: IntensityRange,
    engine: EngineNames,
    plane: tuple[int, ...],
    more: Mapping[str, Any],
) -> ClassMap:
    """Make the class map of a plane from its tiles' probabilities, and the record of the run.

    Parameters
    ----------
    image, classifier, grid, plane
        As for `classify_image`.
    probabilities : float32, shape (tile rows, tile columns, classes)
        NaN for tiles left out.
    intensity : IntensityRange
        As measured on the plane.
    engine : EngineNames
        What the tiles were classified with.
    more : mapping
        Further entries of the record.

    Raises
    ------
    ImageError
        When all tiles were left out.
    """
    done = int(np.count_nonzero(~np.isnan(probabilities[..., 0])))
    if not done:
        raise no_tiles(image)
    record: dict[str, Any] = {
        **_record(image, classifier, grid, intensity, engine),
        "plane": list(plane),
        "seeds": {},  # nothing is drawn at random here; a model's own are in its card
        "tiles": {"in_grid": grid.n_tiles, "classified": done, "left_out": grid.n_tiles - done},
        **more,
    }
    class_map = ClassMap(
        probabilities=tiles_to_cells(grid, probabilities),
        grid=grid,
        classes=classifier.card.classes,
        pixel_size_nm=image.pixel_size_nm,
        image_name=image.name,
        plane=plane,
        record=record,
    )
    record["map_sha256"] = map_sha256(class_map)
    return class_map


def classify_planes(
    image: SemImage,
    classifier: TileClassifier,
    grid: TileGrid,
    *,
    engine: Engine | None = None,
    keep: NDArray[np.bool_] | None = None,
    job: Job | None = None,
    on_update: Callable[[tuple[int, ...], NDArray[np.float32]], None] | None = None,
    cache: EmbeddingCache | None = None,
    dense: bool = False,
    skip_flat: bool = False,
) -> Iterator[ClassMap]:
    """Classify a stack plane by plane; a single image is a stack of one.

    Parameters are those of `classify_image`; progress counts the tiles of all planes, and
    `on_update` is told the plane first. With `skip_flat` tiles of hardly any contrast are left out
    too, see `TileChecks.flat`; the pixels are read once more for it.

    Yields
    ------
    ClassMap
        One a plane, in the order of ``image.planes()``.
    """
    if engine is None:
        from napari_sem_classify.core.model.engines import engine_for

        engine = engine_for(classifier)
    planes = list(image.planes())
    start = time.perf_counter()
    for number, plane in enumerate(planes):
        told: UpdateCallback | None = None
        if on_update is not None:

            def told(so_far: NDArray[np.float32], plane: tuple[int, ...] = plane) -> None:
                on_update(plane, so_far)

        wanted = keep
        if skip_flat:
            flat = check_tiles(image, grid, plane=plane, job=job).flat()
            wanted = ~flat if keep is None else keep & ~flat
        class_map = classify_image(
            image,
            classifier,
            grid,
            engine=engine,
            keep=wanted,
            plane=plane,
            job=None if job is None else job.part(number, len(planes), start),
            on_update=told,
            cache=cache,
            dense=dense,
        )
        if skip_flat:
            told_flat = {"contrast_below": FLAT_BELOW, "tiles": int(flat.sum())}
            class_map = replace(class_map, record={**class_map.record, "skipped_flat": told_flat})
        yield class_map


def _at_most(per_second: float, call: UpdateCallback | None) -> UpdateCallback:
    """Pass on a copy of an array, leaving out calls that come too soon after the last one."""
    last = -float("inf")

    def publish(array: NDArray[np.float32]) -> None:
        nonlocal last
        if call is not None and time.perf_counter() - last >= 1.0 / per_second:
            call(array.copy())
            last = time.perf_counter()

    return publish


def _record(
    image: SemImage,
    classifier: TileClassifier,
    grid: TileGrid,
    intensity: IntensityRange,
    engine: EngineNames,
) -> dict[str, Any]:
    record = run_record(job="classify", card=classifier.card, engine=engine)
    record["image"] = image_facts(image)
    path = classifier.path
    record["model"] |= {
        "path": None if path is None else str(path.absolute()),
        "file_sha256": content_hash(path)["sha256"],
        "head_sha256": head_sha256(classifier.head),
        "network_px": classifier.card.network_px,
        "classes": list(classifier.card.class_names),
    }
    record["grid"] = {
        "area": grid.area.as_list(),
        "tile_px": grid.tile,
        "stride_px": grid.stride,
    }
    record["intensity"] = asdict(intensity)
    checked = getattr(engine, "checked", None)
    if checked is not None:
        record["engine"]["checked"] = dict(checked)
    return record
