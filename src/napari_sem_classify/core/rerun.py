"""Repeat a run from its record, and tell what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.class_map import ClassMap
from napari_sem_classify.core.errors import (
    DeviceError,
    ImageError,
    ModelError,
    RecordError,
    SemClassifyError,
)
from napari_sem_classify.core.image import SemImage
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.progress import CancelToken, ProgressCallback
from napari_sem_classify.core.record import file_sha256, versions
from napari_sem_classify.core.tiles import Area, TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.engine.base import Engine

SUMMARY = ".summary.json"
MAP = ".map.tif"


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came out of repeating a run.

    Attributes
    ----------
    class_map : ClassMap
        The new map.
    image : SemImage
    same : bool or None
        Whether every cell has the class it had; None where the old map was not found.
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
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> Rerun:
    """Classify an image again as a record says, and compare.

    Parameters
    ----------
    record_path : Path
        A ``STEM.summary.json``, or a JSON file with the record alone. The old map is looked for
        beside it as ``STEM.map.tif``.
    image : Path, optional
        Where the image is now; by default where the record says, then beside the record.
    model : Path or str, optional
        The model; by default the one in the catalogue whose numbers have the record's hash.
    engine : Engine, optional
        By default the backend and device of the record, or what there is.
    progress, cancel : optional
        As for `classify.classify_image`.

    Raises
    ------
    RecordError
        When the file is no record of a classification or lacks what it takes.
    ImageError, ModelError
        When image or model are missing or unusable.
    Cancelled
        When `cancel` was set.
    """
    from napari_sem_classify.core.classify import classify_image

    record = read_record(record_path)
    differences = _version_differences(record)
    opened, some = _open(record, record_path, image)
    differences += some
    classifier, some = _classifier(record, record_path, model)
    differences += some
    try:
        grid = _grid(record)
        plane = tuple(int(index) for index in record.get("plane", ()))
    except (KeyError, TypeError, ValueError) as error:
        raise _lacks(record_path, "its grid") from error
    if plane not in set(opened.planes()):
        raise ImageError(
            f"{opened.name} has no plane {list(plane)}, which the record names: say where the "
            "image of the record is."
        )
    opened = _as_recorded(opened, record, grid)
    if engine is None:
        engine, some = _engine(record, classifier)
        differences += some
    class_map = classify_image(
        opened, classifier, grid, engine=engine, plane=plane, progress=progress, cancel=cancel
    )
    differences += _result_differences(record, class_map.record)
    old = _old_labels(record_path, class_map.grid.shape)
    if old is None:
        differences.append(
            f"The map of the first run is not beside {record_path.name}, so the cells could not "
            "be compared."
        )
        return Rerun(class_map, opened, None, 0, tuple(differences))
    changed = int((old != class_map.labels()).sum())
    if changed:
        differences.append(f"{changed} of {old.size} cells have another class.")
    return Rerun(class_map, opened, changed == 0, changed, tuple(differences))


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a classification from a summary or a file of its own.

    Raises
    ------
    RecordError
        When the file cannot be read or holds none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"The record {path} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise RecordError(
            f"{path} is no record of this program: choose a file that ends in {SUMMARY}."
        ) from error
    if isinstance(value, dict) and isinstance(value.get("record"), dict):
        value = value["record"]
    if not isinstance(value, dict) or value.get("job") != "classify":
        raise RecordError(
            f"{path} is no record of a classification: choose a file that ends in {SUMMARY}."
        )
    for part in ("image", "model", "grid"):
        if not isinstance(value.get(part), dict):
            raise _lacks(path, f"its {part}")
    return value


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


def _open(
    record: Mapping[str, Any], record_path: Path, given: Path | None
) -> tuple[SemImage, list[str]]:
    from napari_sem_classify.core.sem_io import open_image

    known = record["image"]
    name = str(known.get("name", "the image"))
    if given is None and not known.get("path"):
        raise ImageError(f"{record_path} names no file for {name}: say where the image is.")
    places = [given] if given is not None else [Path(known["path"])]
    if given is None:
        places.append(record_path.parent / places[0].name)
    path = next((place for place in places if place is not None and place.exists()), None)
    if path is None:
        raise ImageError(f"The image {places[0]} of this record is not there: say where it is.")
    opened = open_image(path, int(known.get("level", 0)))
    expected = known.get("sha256")
    if expected is None:
        return opened, ["The record holds no hash of the image, so it may be another one."]
    if file_sha256(path) != expected:
        return opened, [f"{path.name} is not the file of the record: its content differs."]
    return opened, []


def _classifier(
    record: Mapping[str, Any], record_path: Path, given: Path | str | None
) -> tuple[TileClassifier, list[str]]:
    from napari_sem_classify.core.model.file import head_sha256, load_model

    known = record["model"]
    expected = known.get("head_sha256")
    if given is None:
        found = _in_catalogue(expected)
        if found is None:
            raise ModelError(
                f"The model {known.get('name')!r} of {record_path.name} is not in the catalogue: "
                "give its file."
            )
        return found, []
    classifier = load_model(given)
    differs = []
    if expected is None or head_sha256(classifier.head) != expected:
        differs.append(f"The model {classifier.card.name!r} is not the one of the record.")
    elif classifier.card.backbone_sha256 != known.get("backbone_sha256"):
        differs.append("The network under the model is not the one of the record.")
    return classifier, differs


def _in_catalogue(expected: object) -> TileClassifier | None:
    from napari_sem_classify.core.model.catalogue import catalogue
    from napari_sem_classify.core.model.file import head_sha256, load_model

    for entry in catalogue():
        if entry.card is None:
            continue
        try:
            classifier = load_model(entry.path)
        except SemClassifyError:
            continue  # a damaged file in the user's folder is not the one looked for
        if head_sha256(classifier.head) == expected:
            return classifier
    return None


def _grid(record: Mapping[str, Any]) -> TileGrid:
    grid = record["grid"]
    top, bottom, left, right = (int(value) for value in grid["area"])
    return TileGrid(Area(top, bottom, left, right), int(grid["tile_px"]), int(grid["stride_px"]))


def _as_recorded(image: SemImage, record: Mapping[str, Any], grid: TileGrid) -> SemImage:
    """The image with the area and the pixel size that the first run used."""
    if image.area != grid.area:
        image = image.with_area(grid.area, "as in the record")
    size = record["image"].get("pixel_size_nm")
    if size is not None and size != image.pixel_size_nm:
        image = image.with_pixel_size(float(size), "as in the record")
    return image


def _engine(record: Mapping[str, Any], classifier: TileClassifier) -> tuple[Engine, list[str]]:
    from napari_sem_classify.core.engine import engine_for

    known = record.get("engine") or {}
    device, backend = str(known.get("device", "auto")), str(known.get("backend", "auto"))
    try:
        engine = engine_for(classifier, device=device, backend=backend)
    except (DeviceError, ValueError):
        engine = engine_for(classifier)
    differs = [
        f"{what.capitalize()} {known[what]} → {now}."
        for what, now in (
            ("backend", engine.backend),
            ("device", engine.device),
            ("dtype", engine.dtype),
        )
        if known.get(what) not in (None, now)
    ]
    return engine, differs


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
                f"{b} tiles were classified instead of {a}: tiles that a person left out are not "
                "in the record."
            )
    return differs


def _old_labels(record_path: Path, shape: tuple[int, int]) -> NDArray[np.uint16] | None:
    from tifffile import TiffFileError, imread

    name = record_path.name
    if not name.endswith(SUMMARY):
        return None
    path = record_path.with_name(name.removesuffix(SUMMARY) + MAP)
    try:
        labels: NDArray[np.uint16] = np.asarray(imread(path)).astype(np.uint16)
    except (OSError, ValueError, TiffFileError):
        return None
    return labels if labels.shape == shape else None


def _lacks(path: Path, what: str) -> RecordError:
    return RecordError(f"{path} lacks {what}, so the run cannot be repeated.")
