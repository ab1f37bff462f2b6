"""Repeat a run from its record, and tell what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.record import versions
from napari_sem_classify.core.classify.record_file import MAP, SUMMARY, lacks, read_record
from napari_sem_classify.core.classify.rerun_inputs import (
    as_recorded,
    engine_like,
    find_classifier,
    open_recorded,
    recorded_grid,
    recorded_tiles,
)
from napari_sem_classify.core.common.checked import Malformed
from napari_sem_classify.core.common.errors import GridError, ImageError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.intensity import recorded_recipe
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.outlines.options import OutlineOptions
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came out of repeating a run.

    Attributes
    ----------
    class_map : ClassMap
        The new map.
    image : SemImage
    same : bool or None
        Whether every cell has the class it had; None where neither the old map nor its hash was
        found.
    cells_changed : int
        Cells with another class, 0 where the old map was not found.
    differences : tuple of str
        What is not as it was (versions, files, device), a sentence each; also when the map is the
        same.
    """

    class_map: ClassMap
    image: SemImage
    same: bool | None
    cells_changed: int
    differences: tuple[str, ...]


def rerun(
    record_path: Path,
    *,
    image: Path | None = None,
    model: Path | str | None = None,
    engine: Engine | None = None,
    job: Job | None = None,
) -> Rerun:
    """Classify an image again as a record says, and compare.

    Parameters
    ----------
    record_path : Path
        A ``STEM.summary.json``, a JSON file with the record alone, or a ``STEM.map.tif``, which
        carries its record. The old map is looked for beside a summary as ``STEM.map.tif``.
    image : Path, optional
        Where the image is now; by default where the record says, then beside the record.
    model : Path or str, optional
        The model; by default the one whose numbers have the record's hash: where the record says,
        then in the catalogue.
    engine : Engine, optional
        By default the backend and device of the record, or what there is.
    job : Job, optional
        Told and checked once per batch.

    Raises
    ------
    RecordError
        When the file is no record of a classification or lacks what it takes.
    ImageError, ModelError
        When image or model are missing or unusable.
    Cancelled
        When the job was asked to stop.
    """
    from napari_sem_classify.core.classify.driver import classify_tiles
    from napari_sem_classify.core.outlines.outline import with_outlines

    record = read_record(record_path)
    differences = _version_differences(record)
    opened, some = open_recorded(record, record_path, image)
    differences += some
    classifier, some = find_classifier(record, record_path, model)
    differences += some
    try:
        grid = recorded_grid(record)
        # First, as the mask of chosen tiles is no larger than the image allows.
        as_before = as_recorded(opened, record, grid)
        keep = recorded_tiles(record, grid)
    except (ValueError, GridError) as error:
        raise lacks(record_path, f"its grid ({error})") from error
    try:
        look = recorded_recipe(record.get("intensity"))
    except Malformed as error:
        raise lacks(record_path, f"its stretch of grey values ({error})") from error
    classifier = replace(classifier, card=classifier.card.looking(look))
    plane = tuple(record.get("plane") or ())
    if plane not in set(opened.planes()):
        raise ImageError(
            f"{opened.name} has no plane {list(plane)}, which the record names: say where the "
            "image of the record is."
        )
    opened = as_before
    if engine is None:
        engine, some = engine_like(record, classifier)
        differences += some
    tiles = PlaneTiles(opened, grid, keep, plane)
    class_map = classify_tiles(tiles, classifier, engine, dense="dense" in record, job=job)
    if "outlines" in record:
        drawn = OutlineOptions(record["outlines"]["step_px"])
        class_map = with_outlines(class_map, opened, drawn, job)
    differences += _result_differences(record, class_map.record)
    old = _old_labels(record_path, class_map.grid.shape)
    if old is None:
        known = record.get("map_sha256")
        same = None if known is None else bool(known == class_map.record["map_sha256"])
        if same is None:
            differences.append(
                f"The map of the first run is not beside {record_path.name}, so the cells could "
                "not be compared."
            )
        elif not same:
            differences.append(
                "Some cells have another class; how many is not known, as the map of the first "
                f"run is not beside {record_path.name}."
            )
        return Rerun(class_map, opened, same, 0, tuple(differences))
    changed = int((old != class_map.labels()).sum())
    if changed:
        differences.append(f"{changed} of {old.size} cells have another class.")
    return Rerun(class_map, opened, changed == 0, changed, tuple(differences))


def _version_differences(record: Mapping[str, Any]) -> list[str]:
    then, now = record.get("versions"), versions()
    if not isinstance(then, dict):
        return ["The record names no versions."]
    changed = [
        f"{name} {then[name] or 'not installed'} → {now[name] or 'not installed'}"
        for name in now
        if name in then and then[name] != now[name]
    ]
    return [f"Versions differ: {', '.join(changed)}."] if changed else []


def _result_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    differs = []
    old, new = then.get("intensity"), now.get("intensity")
    if isinstance(old, dict) and isinstance(new, dict):
        was = [float(old.get(key, np.nan)) for key in ("low", "high")]
        is_now = [float(new.get(key, np.nan)) for key in ("low", "high")]
        if not np.allclose(was, is_now, rtol=1e-6):
            differs.append(
                f"Grey values were stretched from {is_now[0]:g} to {is_now[1]:g} instead of "
                f"{was[0]:g} to {was[1]:g}."
            )
    old, new = then.get("tiles"), now.get("tiles")
    if isinstance(old, dict) and isinstance(new, dict):
        a, b = old.get("classified"), new.get("classified")
        if a != b:
            differs.append(
                f"{b} tiles were classified instead of {a}: which ones were left out is not in the "
                "record."
            )
    return differs


def _old_labels(record_path: Path, shape: tuple[int, int]) -> NDArray[np.uint16] | None:
    from napari_sem_classify.core.maps.map_file import read_map

    name = record_path.name
    if not name.endswith((SUMMARY, MAP)):
        return None
    path = record_path.with_name(name.removesuffix(SUMMARY).removesuffix(MAP) + MAP)
    try:
        saved = read_map(path)
    except ImageError:
        return None
    if saved is None or len(saved.maps) != 1:
        return None
    labels = saved.first.labels()
    return labels if labels.shape == shape else None
