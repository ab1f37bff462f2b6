"""What became of each image of a batch, in plain values that a later run reads back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.classify.int8_memory import int8_sentence
from napari_sem_classify.core.classify.options import GridChoice
from napari_sem_classify.core.common.checked import Fields, Malformed
from napari_sem_classify.core.common.errors import (
    Cancelled,
    DeviceError,
    OutputError,
    SemClassifyError,
)
from napari_sem_classify.core.common.folder_record import Written
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import MOST_CLASSES, PIXEL_SIZE_NM, classes_from
from napari_sem_classify.core.model.transfer import Judgement, judgement_in, least

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
        area_um2), ``features_from_cache``, ``seconds``, and the judgement, see `judgement_in`.
    note : str
        About the tile size, see `GridChoice`.
    problem : str
        Why it failed, in one sentence; empty for a classified image.
    resumed : bool
        Whether an earlier run had classified it.
    renamed : str
        Which file of the user's stood in the way, so that its files got other names; a sentence.
    """

    path: Path
    stem: str
    files: tuple[Path, ...] = ()
    planes: tuple[Mapping[str, Any], ...] = ()
    note: str = ""
    scale_warning: bool = False
    problem: str = ""
    resumed: bool = False
    renamed: str = ""

    @property
    def judgement(self) -> Judgement:
        """Whether the model holds on the image; of a stack that of the plane it does worst on."""
        return least([judgement_in(plane) for plane in self.planes])


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
        "outlines": class_map.record.get("outlines"),
        "approximation": class_map.record.get("dense", {}).get("approximation"),
        "arithmetic": int8_sentence(class_map.record.get("engine", {}).get("checked")) or None,
        **judgement_in(class_map.record).to_dict(),
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
    """What the output folder's record says of an image besides its files."""
    return {
        "planes": list(outcome.planes),
        "note": outcome.note,
        "scale_warning": outcome.scale_warning,
    }


_MOST = 2**62


def is_noted(about: Mapping[str, Any]) -> bool:
    """Whether a record holds an image's outcome: `as_json`, and what a batch notes with it."""
    told = Fields(about)
    try:
        for name in ("image", "settings", "state", "note"):
            told.text(name)
        told.flag("scale_warning")
        for plane in told.objects("planes"):
            _check_plane(plane)
    except Malformed:
        return False
    return True


def _check_plane(plane: Fields) -> None:
    """Raise `Malformed` where a plane's `summary` is none."""
    plane.wholes("plane", 0, _MOST)
    for name in ("cells", "cells_left_out", "tile_px", "stride_px"):
        plane.whole(name, 0, _MOST)
    if plane.has("pixel_size_nm"):
        plane.number("pixel_size_nm", *PIXEL_SIZE_NM)
    plane.given("pixel_size_nm")
    shares = list(plane.objects("classes", MOST_CLASSES))
    classes_from(shares, least=2)
    some = False
    for share in shares:
        share.whole("cells", 0, _MOST)
        some |= share.whole("area_px", 0, _MOST) > 0
    for share in shares:
        # Null where there is no scale, or where all of a plane was left out.
        measured = plane.has("pixel_size_nm") and not share.has("contains")
        for name, known in (("area_um2", measured), ("fraction", some)):
            if known or share.given(name) is not None:
                share.number(name, 0.0, 1e30)
    if plane.has("outlines"):
        _check_outlines(plane.object("outlines"))


def _check_outlines(told: Fields) -> None:
    """Raise `Malformed` where what is told of outlines is none."""
    for share in told.objects("classes", MOST_CLASSES):
        share.text("name")
        if share.has("fraction"):
            share.number("fraction", 0.0, 1.0)
        share.given("fraction")
    if not all(isinstance(each, str) for each in told.items("doubts")):
        raise Malformed(f"{told.place}doubts are no sentences")


def resumed_outcome(path: Path, out: Path, written: Written) -> ImageOutcome:
    """What an earlier run left, from the output folder's record."""
    return ImageOutcome(
        path,
        written.stem,
        tuple(out / name for name in written.files),
        tuple(written.about["planes"]),
        written.about["note"],
        written.about["scale_warning"],
        resumed=True,
    )
