"""The record of a classification read from a file, with all that a rerun reads of it checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.checked import Fields, Malformed, read_json
from napari_sem_classify.core.common.errors import RecordError
from napari_sem_classify.core.model.card import PIXEL_SIZE_NM

SUMMARY = ".summary.json"
MAP = ".map.tif"
_MOST_PX = 2**31
_MOST_GREY = 1e40
_MOST_LEVELS = 64


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a classification from a summary, a map or a file of its own.

    Raises
    ------
    RecordError
        When the file cannot be read or holds none, or a damaged one.
    ImageError
        When it is a damaged class map.
    """
    from napari_sem_classify.core.maps.map_file import read_map

    try:
        saved = read_map(path) if path.name.endswith(MAP) else None
        value = read_json(path) if saved is None else dict(saved.first.record)
    except OSError as error:
        raise RecordError(f"The record {path} cannot be read ({error.strerror}).") from error
    except Malformed as error:
        raise RecordError(
            f"{path} is no record of this program ({error}): choose a file that ends in {SUMMARY}."
        ) from error
    if isinstance(value, dict) and isinstance(value.get("record"), dict):
        value = value["record"]
    if not isinstance(value, dict) or value.get("job") != "classify":
        raise RecordError(
            f"{path} is no record of a classification: choose a file that ends in {SUMMARY}."
        )
    for part in ("image", "model", "grid"):
        if not isinstance(value.get(part), dict):
            raise lacks(path, f"its {part}")
    try:
        _check(Fields(value))
    except Malformed as error:
        raise RecordError(
            f"The record {path} is damaged ({error}): choose another, or classify anew."
        ) from error
    return value


def lacks(path: Path, what: str) -> RecordError:
    """The error of a record without one of its parts."""
    return RecordError(f"{path} lacks {what}, so the run cannot be repeated.")


def _check(record: Fields) -> None:
    grid = record.object("grid")
    grid.wholes("area", 0, _MOST_PX, count=4)
    grid.whole("tile_px", 1, _MOST_PX)
    grid.whole("stride_px", 1, _MOST_PX)
    if record.has("plane"):
        record.wholes("plane", 0, _MOST_PX)
    image = record.object("image")
    if image.has("level"):
        image.whole("level", 0, _MOST_LEVELS)
    if image.has("pixel_size_nm"):
        image.number("pixel_size_nm", *PIXEL_SIZE_NM)
    for part in (image, record.object("model")):
        if part.has("path"):
            part.path("path")
        _check_texts(part, "name", "sha256", "sampled_sha256", "head_sha256", "backbone_sha256")
    for name in ("versions", "engine", "tiles", "intensity", "chosen_tiles", "dense"):
        if record.has(name):
            record.object(name)
    if record.has("engine"):
        _check_texts(record.object("engine"), "backend", "device", "dtype")
    if record.has("versions"):
        versions = record.object("versions")
        _check_texts(versions, *versions.value)
    if record.has("intensity"):
        intensity = record.object("intensity")
        for name in ("low", "high"):
            if intensity.has(name):
                intensity.number(name, -_MOST_GREY, _MOST_GREY)
    if record.has("outlines"):
        record.object("outlines").whole("step_px", 1, _MOST_PX)
    if record.has("chosen_tiles"):
        chosen = record.object("chosen_tiles")
        chosen.wholes("shape", 1, _MOST_PX, count=2)
        chosen.text("bits")


def _check_texts(part: Fields, *names: str) -> None:
    for name in names:
        if part.has(name):
            part.text(name)
