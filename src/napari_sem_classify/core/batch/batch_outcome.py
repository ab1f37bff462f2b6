"""What became of each image of a batch, in plain values that a later run reads back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.classify.options import GridChoice
from napari_sem_classify.core.common.errors import (
    Cancelled,
    DeviceError,
    OutputError,
    SemClassifyError,
)
from napari_sem_classify.core.maps.class_map import ClassMap

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What became of one image.

    Attributes
    ----------
    stem : str
        Start of the names of its files.
    files : tuple of Path
        What was written.
    planes : tuple of mapping
        A summary of each plane's map: ``plane``, ``cells``, ``cells_left_out``, ``tile_px``,
        ``stride_px``, ``pixel_size_nm``, ``classes`` (name, colour, cells, fraction, area_px,
        area_um2), ``features_from_cache``, ``seconds``.
    note : str
        About the tile size, see `GridChoice`.
    problem : str
        Why it failed, in one sentence; empty for a classified image.
    resumed : bool
        Whether an earlier run had classified it.
    """

    path: Path
    stem: str
    files: tuple[Path, ...] = ()
    planes: tuple[Mapping[str, Any], ...] = ()
    note: str = ""
    scale_warning: bool = False
    problem: str = ""
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of each image, in the order given, and how many seconds it took."""

    images: tuple[ImageOutcome, ...]
    seconds: float

    @property
    def done(self) -> tuple[ImageOutcome, ...]:
        """Images that are classified, now or by an earlier run."""
        return tuple(image for image in self.images if not image.problem)

    @property
    def failed(self) -> tuple[ImageOutcome, ...]:
        """Images that could not be classified, each with its problem."""
        return tuple(image for image in self.images if image.problem)


def scale_note(image: SemImage, choice: GridChoice) -> str:
    """About the tile size, and the resolution that is read where an image has several."""
    if not image.level:
        return choice.note
    rows, cols = image.shape
    return f"{choice.note}; resolution level {image.level} is read ({cols} × {rows} px)"


def summary(class_map: ClassMap) -> dict[str, Any]:
    """A map in a few numbers, as plain JSON values; see `ImageOutcome.planes`."""
    rows, cols = class_map.grid.shape
    return {
        "plane": list(class_map.plane),
        "cells": rows * cols,
        "cells_left_out": int(class_map.left_out.sum()),
        "tile_px": class_map.grid.tile,
        "stride_px": class_map.grid.stride,
        "pixel_size_nm": class_map.pixel_size_nm,
        "classes": [asdict(share) for share in class_map.fractions()],
        "features_from_cache": class_map.record.get("features_from_cache"),
        "seconds": class_map.record.get("seconds"),
        "approximation": class_map.record.get("dense", {}).get("approximation"),
    }


def failed_outcome(path: Path, stem: str, error: Exception) -> ImageOutcome:
    """What a failure leaves of one image among many, in one sentence.

    A library may fail on a strange file in any way; the night's other images go on.

    Raises
    ------
    Cancelled, OutputError, DeviceError
        `error` itself, where it concerns the other images too.
    """
    if isinstance(error, (Cancelled, OutputError, DeviceError)):
        raise error
    problem = str(error)
    if not isinstance(error, SemClassifyError):
        _log.error("%s could not be classified", path, exc_info=error)
        problem = f"{path} could not be classified ({error!r}): look at it by itself."
    return ImageOutcome(path, stem, problem=problem)


def as_json(outcome: ImageOutcome) -> dict[str, Any]:
    """What the output folder's note says of an image."""
    return {
        "stem": outcome.stem,
        "files": [path.name for path in outcome.files],
        "planes": list(outcome.planes),
        "note": outcome.note,
        "scale_warning": outcome.scale_warning,
    }


def resumed_outcome(path: Path, out: Path, known: Mapping[str, Any]) -> ImageOutcome:
    """What an earlier run left, from the output folder's note."""
    return ImageOutcome(
        path,
        known["stem"],
        tuple(out / name for name in known["files"]),
        tuple(known["planes"]),
        known["note"],
        known["scale_warning"],
        resumed=True,
    )
