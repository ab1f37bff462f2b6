"""What a run is repeated from: the image, the model, the grid and the engine of a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.record import content_hash, unpack_mask
from napari_sem_classify.core.common.errors import (
    DeviceError,
    ImageError,
    ModelError,
    SemClassifyError,
)
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.model.card import ModelCard
    from napari_sem_classify.core.network.engine.base import Engine


def open_recorded(
    record: Mapping[str, Any], record_path: Path, given: Path | None
) -> tuple[SemImage, list[str]]:
    """Open the image of a record, and tell where it is not the same file."""
    from napari_sem_classify.core.sem_io import open_image

    known = record["image"]
    name = str(known.get("name", "the image"))
    if given is None and not known.get("path"):
        raise ImageError(f"{record_path} names no file for {name}: say where the image is.")
    where = Path(known["path"]) if given is None else given
    places = [where] if given is not None else [where, record_path.parent / where.name]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise ImageError(f"The image {where} of this record is not there: say where it is.")
    opened = open_image(path, int(known.get("level", 0)))
    now = content_hash(path)
    expected = {key: known.get(key) for key in now if known.get(key) is not None}
    if not expected:
        return opened, ["The record holds no hash of the image, so it may be another one."]
    if any(now[key] != value for key, value in expected.items()):
        return opened, [f"{path.name} is not the file of the record: its content differs."]
    return opened, []


def find_classifier(
    record: Mapping[str, Any], record_path: Path, given: Path | str | None
) -> tuple[TileClassifier, list[str]]:
    """The model of a record, and what is not as it was."""
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.file import head_sha256

    known = record["model"]
    expected = known.get("head_sha256")
    if given is None:
        found = _recorded_model(known)
        if found is None:
            place = f"at {known['path']} nor " if known.get("path") else ""
            raise ModelError(
                f"The model {known.get('name')!r} of {record_path.name} is "
                f"{'neither ' if place else 'not '}{place}in the catalogue: give its file."
            )
        return found, []
    classifier = load_model(given)
    differs = []
    if expected is None or head_sha256(classifier.head) != expected:
        differs.append(f"The model {classifier.card.name!r} is not the one of the record.")
    elif classifier.card.backbone_sha256 != known.get("backbone_sha256"):
        differs.append("The network under the model is not the one of the record.")
    return classifier, differs


def recorded_card(model: Mapping[str, Any]) -> ModelCard | None:
    """The card of a record's model, where its file is found and still holds that model."""
    found = _recorded_model(model)
    return None if found is None else found.card


def _recorded_model(model: Mapping[str, Any]) -> TileClassifier | None:
    """The model with the numbers that a record names: where it was, else in the catalogue."""
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.file import head_sha256

    expected = model.get("head_sha256")
    if not isinstance(expected, str):
        return None
    for path in _model_files(model.get("path")):
        try:
            classifier = load_model(path)
        except SemClassifyError:
            continue  # another file lies there by now, or a damaged one
        if head_sha256(classifier.head) == expected:
            return classifier
    return None


def _model_files(path: object) -> Iterator[Path]:
    from napari_sem_classify.core.model.catalogue import catalogue

    if isinstance(path, str) and Path(path).is_file():
        yield Path(path)
    yield from (entry.path for entry in catalogue() if entry.card is not None)


def recorded_grid(record: Mapping[str, Any]) -> TileGrid:
    """The tiles of a record."""
    grid = record["grid"]
    top, bottom, left, right = (int(value) for value in grid["area"])
    return TileGrid(Area(top, bottom, left, right), int(grid["tile_px"]), int(grid["stride_px"]))


def recorded_tiles(record: Mapping[str, Any], grid: TileGrid) -> NDArray[np.bool_] | None:
    """The tiles that a person or a rule had chosen."""
    chosen = record.get("chosen_tiles")
    if chosen is None:
        return None
    if tuple(chosen["shape"]) != grid.tile_shape:
        raise ValueError("chosen tiles of another grid")
    return unpack_mask(chosen)


def as_recorded(image: SemImage, record: Mapping[str, Any], grid: TileGrid) -> SemImage:
    """The image with the area and the pixel size that the first run used."""
    if image.area != grid.area:
        image = image.with_area(grid.area, "as in the record")
    size = record["image"].get("pixel_size_nm")
    if size is not None and size != image.pixel_size_nm:
        image = image.with_pixel_size(float(size), "as in the record")
    return image


def engine_like(record: Mapping[str, Any], classifier: TileClassifier) -> tuple[Engine, list[str]]:
    """The engine of a record where it can be had, else what there is; and what differs."""
    from napari_sem_classify.core.model.engines import engine_for

    known = record.get("engine") or {}
    try:
        if known.get("dtype") == "int8":
            from napari_sem_classify.core.classify.int8 import int8_as_recorded

            engine = int8_as_recorded(classifier, known.get("checked") or {})
        else:
            engine = engine_for(
                classifier,
                device=_device_id(str(known.get("device", ""))),
                backend=str(known.get("backend", "auto")),
                dtype=str(known.get("dtype", "auto")),
            )
    except (DeviceError, ValueError):
        engine = engine_for(classifier)
    differs = [
        f"{what.capitalize()} {known[what]} → {getattr(engine, what)}."
        for what in ("backend", "device", "dtype")
        if known.get(what) not in (None, getattr(engine, what))
    ]
    return engine, differs


def _device_id(shown: str) -> str:
    """The device behind the name that a record gives it, see `devices.device_title`."""
    if shown.startswith("CPU"):
        return "cpu"
    return {"": "auto", "Apple GPU": "mps"}.get(shown, "cuda")
