"""The main job: image and model in, class maps out; the one way for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.agreement import agreement_with_tiles
from napari_sem_classify.core.classify.engine_choice import engine_for_images
from napari_sem_classify.core.classify.judgement import judgement_of
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.classify.record import (
    EngineNames,
    content_hash,
    image_facts,
    pack_mask,
    run_record,
)
from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap, map_sha256, tiles_to_cells
from napari_sem_classify.core.model.engines import network_of
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import PlaneScores, scores_on
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.network.features import KnownFeatures, Reading, features_to
from napari_sem_classify.core.outlines.outline import with_outlines
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.tile_rules import FLAT_BELOW, check_tiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

UPDATES_PER_S = 4.0
UPDATES_SHARE = 0.2
"""Of the time at most, where the probabilities of a large plane take long."""

UpdateCallback = Callable[[NDArray[np.float32]], None]


def classify_planes(
    image: SemImage,
    classifier: TileClassifier,
    options: ClassifyOptions,
    *,
    chosen: ChosenTiles | None = None,
    engine: Engine | None = None,
    job: Job | None = None,
    on_update: Callable[[tuple[int, ...], NDArray[np.float32]], None] | None = None,
) -> Iterator[ClassMap]:
    """Classify a stack plane by plane; a single image is a stack of one.

    Parameters
    ----------
    image, classifier, options
    chosen : ChosenTiles, optional
        Tiles and planes to look at in place of those of the options.
    engine : Engine, optional
        Chosen by the options where none is given.
    job : Job, optional
        Told and checked once per batch; progress counts the tiles of all planes.
    on_update : callable, optional
        Given the plane and a copy of its tiles' probabilities so far, see `classify_tiles`.

    Yields
    ------
    ClassMap
        One a plane, in the order of ``image.planes()`` or as chosen.

    Raises
    ------
    ImageError, GridError
        When the image cannot be read, its tiles cannot be laid, or no tile is left.
    ModelError, DeviceError
        When the model or the device cannot be used.
    Cancelled
        When the job was asked to stop.
    """
    if chosen is None:
        chosen = ChosenTiles(options.grid_for(image, classifier.card).grid)
    if engine is None:
        engine = engine_for_images(classifier, [image], options, job, chosen)
    cache = EmbeddingCache() if options.cache else None
    planes = list(image.planes()) if chosen.planes is None else chosen.planes
    start = time.perf_counter()
    for number, plane in enumerate(planes):
        tiles = PlaneTiles(image, chosen.grid, chosen.keep, plane)
        if options.skip_flat:
            flat = check_tiles(image, chosen.grid, plane=plane, job=job).flat()
            tiles = replace(tiles, keep=~flat if chosen.keep is None else chosen.keep & ~flat)
        part = None if job is None else job.part(number, len(planes), start)
        class_map = classify_tiles(
            tiles,
            classifier,
            engine,
            cache=cache,
            dense=options.dense,
            job=part,
            on_update=None if on_update is None else partial(on_update, plane),
        )
        if options.skip_flat:
            told_flat = {"contrast_below": FLAT_BELOW, "tiles": int(flat.sum())}
            class_map = replace(class_map, record={**class_map.record, "skipped_flat": told_flat})
        if options.outlines is not None:
            class_map = with_outlines(class_map, image, options.outlines, part)
        yield class_map


def classify_image(
    image: SemImage,
    classifier: TileClassifier,
    grid: TileGrid | None = None,
    *,
    options: ClassifyOptions | None = None,
    engine: Engine | None = None,
    job: Job | None = None,
) -> ClassMap:
    """Classify an image, the first plane of a stack; see `classify_planes`.

    Without a grid tiles are laid by the options; without options tiles have the physical size that
    the model learned from, and no features are looked up or kept.
    """
    options = options or ClassifyOptions(cache=False)
    grid = grid or options.grid_for(image, classifier.card).grid
    first = ChosenTiles(grid, planes=(next(iter(image.planes())),))
    return next(classify_planes(image, classifier, options, chosen=first, engine=engine, job=job))


def classify_tiles(
    tiles: PlaneTiles,
    classifier: TileClassifier,
    engine: Engine,
    *,
    cache: EmbeddingCache | None = None,
    dense: bool = False,
    job: Job | None = None,
    on_update: UpdateCallback | None = None,
) -> ClassMap:
    """Classify the tiles of one plane.

    Parameters
    ----------
    tiles, classifier, engine
    cache : EmbeddingCache, optional
        Where features are looked up and kept.
    dense : bool
        As in `ClassifyOptions`.
    job : Job, optional
        Told and checked once per batch.
    on_update : callable, optional
        Given a copy of the tiles' probabilities so far, float32 of shape (tile rows, tile columns,
        classes) with NaN for tiles not done, at most `UPDATES_PER_S` times a second and at the end.

    Returns
    -------
    ClassMap
        NaN in cells left out; its record tells how to repeat the run.

    Raises
    ------
    ImageError, ModelError, DeviceError, Cancelled
        As `classify_planes`.
    """
    start = time.perf_counter()
    reporter = tiles.reporter("Classifying tiles", job)
    _check_features(classifier, engine)
    tiles = tiles.seen_by(classifier.card.intensity).in_memory()
    intensity = tiles.measure(classifier.card.intensity)
    known = None if cache is None else KnownFeatures(cache, network_of(classifier))
    scores, from_cache = tile_scores(
        tiles,
        classifier,
        engine,
        intensity,
        reporter=reporter,
        known=known,
        dense=dense,
        on_update=on_update,
    )
    more: dict[str, Any] = {"features_from_cache": from_cache}
    if dense:
        if not scores.known.any():
            raise tiles.none_left()
        more["dense"] = agreement_with_tiles(tiles, engine, intensity, classifier, scores)
        reporter.check()
    more["seconds"] = round(time.perf_counter() - start, 3)
    return map_of_tiles(tiles, classifier, scores, intensity, engine, more)


def tile_scores(
    tiles: PlaneTiles,
    classifier: TileClassifier,
    engine: Engine,
    intensity: IntensityRange,
    *,
    reporter: Reporter,
    known: KnownFeatures | None = None,
    dense: bool = False,
    on_update: UpdateCallback | None = None,
) -> tuple[PlaneScores, bool]:
    """What the model says of a plane's tiles, and whether their features came from the cache.

    Parameters
    ----------
    intensity : IntensityRange
        Of the whole plane, also where the tiles are a block of it.
    reporter, known
        As for `features_to`; the others as for `classify_tiles`.
    """
    scores = scores_on(classifier, tiles.grid)
    due = 0.0

    def sink(index: NDArray[np.int64], features: NDArray[Any]) -> None:
        scores.add(index, features)
        tell()

    def read(index: NDArray[np.int64], numbers: NDArray[Any]) -> None:
        scores.add_read(index, numbers)
        tell()

    def tell() -> None:
        nonlocal due
        begin = time.perf_counter()
        if on_update is not None and begin >= due:
            on_update(scores.probabilities())
            took = time.perf_counter() - begin
            due = begin + max(1.0 / UPDATES_PER_S, took / UPDATES_SHARE)

    reading = Reading(scores.readout(), read)
    from_cache = features_to(tiles, engine, intensity, sink, reporter, known, dense, reading)
    if on_update is not None and scores.known.any():
        on_update(scores.probabilities())
    reporter.check()
    return scores, from_cache


def map_of_tiles(
    tiles: PlaneTiles,
    classifier: TileClassifier,
    scores: PlaneScores,
    intensity: IntensityRange,
    engine: EngineNames,
    more: Mapping[str, Any],
) -> ClassMap:
    """Make the class map of a plane from what the model says of its tiles, and the run's record.

    Parameters
    ----------
    scores : PlaneScores
        Of the whole plane.
    intensity : IntensityRange
        As measured on the plane.
    more : mapping
        Further entries of the record.

    Raises
    ------
    ImageError
        When all tiles were left out.
    """
    image, grid = tiles.image, tiles.grid
    done = int(np.count_nonzero(scores.known))
    if not done:
        raise tiles.none_left()
    record: dict[str, Any] = {
        **_record(tiles, classifier, intensity, engine),
        "plane": list(tiles.plane),
        "seeds": {},  # nothing is drawn at random here; a model's own are in its card
        "tiles": {"in_grid": grid.n_tiles, "classified": done, "left_out": grid.n_tiles - done},
        "chosen_tiles": None if tiles.keep is None else pack_mask(tiles.keep),
        **more,
    }
    agreement = scores.agreement()
    if agreement is not None:
        agreement = tiles_to_cells(grid, agreement[..., None])[..., 0]
    class_map = ClassMap(
        probabilities=tiles_to_cells(grid, scores.probabilities()),
        grid=grid,
        classes=classifier.card.classes,
        pixel_size_nm=image.pixel_size_nm,
        image_name=image.name,
        plane=tiles.plane,
        record=record,
        agreement=agreement,
    )
    record |= judgement_of(classifier, image, scores).to_dict()
    record["map_sha256"] = map_sha256(class_map)
    return class_map


def _check_features(classifier: TileClassifier, engine: Engine) -> None:
    wanted = len(classifier.head.mean) // (1 + classifier.card.surroundings.context)
    if engine.feature_size != wanted:
        raise ModelError(
            f"The model {classifier.card.name!r} needs {wanted} features of a tile and the network "
            f"gives {engine.feature_size}: choose the network that the model names."
        )


def _record(
    tiles: PlaneTiles, classifier: TileClassifier, intensity: IntensityRange, engine: EngineNames
) -> dict[str, Any]:
    record = run_record(job="classify", card=classifier.card, engine=engine)
    record["image"] = image_facts(tiles.image)
    grid, path = tiles.grid, classifier.path
    record["model"] |= {
        "path": None if path is None else str(path.absolute()),
        "file_sha256": content_hash(path)["sha256"],
        "head_sha256": head_sha256(classifier.head),
        "network_px": classifier.card.network_px,
        "classes": list(classifier.card.class_names),
        "surroundings": asdict(classifier.card.surroundings),
    }
    record["grid"] = {"area": grid.area.as_list(), "tile_px": grid.tile, "stride_px": grid.stride}
    record["intensity"] = asdict(intensity) | tiles.evened_over
    checked = getattr(engine, "checked", None)
    if checked is not None:
        record["engine"]["checked"] = dict(checked)
    return record
