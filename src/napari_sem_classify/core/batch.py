"""Many images, one model: goes on after a bad file, and resumes where it stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.batch_state import BatchState, settings_digest
from napari_sem_classify.core.class_map import ClassMap
from napari_sem_classify.core.errors import Cancelled, DeviceError, OutputError, SemClassifyError
from napari_sem_classify.core.files import ensure_folder
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.progress import CancelToken, Progress, ProgressCallback

if TYPE_CHECKING:
    from napari_sem_classify.core.embedding_cache import EmbeddingCache
    from napari_sem_classify.core.engine.base import Engine
    from napari_sem_classify.core.grid_choice import GridChoice
    from napari_sem_classify.core.image import SemImage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GridWish:
    """What the user asked for; `grid_for_model` makes a grid of it for each image.

    Attributes
    ----------
    tile_px, tile_um, stride_px, overlap
        As in `grid_for_model`.
    """

    tile_px: int | None = None
    tile_um: float | None = None
    stride_px: int | None = None
    overlap: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What became of one image.

    Attributes
    ----------
    path : Path
    stem : str
        Start of the names of its files.
    files : tuple of Path
        What was written.
    planes : tuple of mapping
        A summary of each plane's map: ``plane``, ``cells``, ``cells_left_out``, ``tile_px``,
        ``stride_px``, ``classes`` (name, cells, fraction, area_um2), ``features_from_cache``,
        ``seconds``.
    note : str
        About the tile size, from `grid_for_model`.
    scale_warning : bool
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
    """What became of each image, in the order given.

    Attributes
    ----------
    images : tuple of ImageOutcome
    seconds : float
    """

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


def classify_many(
    paths: Sequence[Path],
    classifier: TileClassifier,
    out: Path,
    *,
    wish: GridWish | None = None,
    engine: Engine | None = None,
    cache: EmbeddingCache | None = None,
    resume: bool = True,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    on_image: Callable[[ImageOutcome], None] | None = None,
) -> BatchReport:
    """Classify images one after the other and write each one's files.

    What is finished is noted in the output folder after each image. A later run with the same model
    and settings takes up there; an image that changed, or whose files are gone, is done again.

    Parameters
    ----------
    paths : sequence of Path
    classifier : TileClassifier
    out : Path
        Folder for the files; made when it is not there.
    wish : GridWish, optional
        Without one, tiles have the physical size that the model learned from.
    engine : Engine, optional
        Made for the classifier where none is given, once for all images.
    cache : EmbeddingCache, optional
    resume : bool
        False to do every image again.
    progress, cancel : optional
        Progress counts the tiles of the image at work; its stage names the image.
    on_image : callable, optional
        Told each image's outcome as soon as it is known.

    Returns
    -------
    BatchReport
        Failed images included: a bad file does not stop the others.

    Raises
    ------
    OutputError, DeviceError
        When nothing can be written or computed any more, for any image.
    Cancelled
        When `cancel` was set; finished images stay.
    """
    start = time.perf_counter()
    wish = wish or GridWish()
    ensure_folder(out)
    state = BatchState.open(out, settings_digest(classifier, asdict(wish)))
    outcomes = []
    for number, (path, stem) in enumerate(state.with_stems(paths), start=1):
        if cancel is not None:
            cancel.raise_if_cancelled()
        known = state.finished(path) if resume else None
        if known is not None:
            outcome = resumed_outcome(path, out, known)
        else:
            if engine is None:
                from napari_sem_classify.core.engine import engine_for

                engine = engine_for(classifier)
            told = _named(progress, f"{path.name} ({number} of {len(paths)})")
            try:
                outcome = classify_one(
                    path, stem, classifier, out, wish, engine, cache, told, cancel
                )
            except (Cancelled, OutputError, DeviceError):
                raise
            except SemClassifyError as error:
                outcome = ImageOutcome(path, stem, problem=str(error))
            except Exception as error:
                outcome = ImageOutcome(path, stem, problem=strange_problem(path, error))
            if not outcome.problem:
                state.note(path, as_json(outcome))
        outcomes.append(outcome)
        if on_image is not None:
            on_image(outcome)
    return BatchReport(tuple(outcomes), time.perf_counter() - start)


def classify_one(
    path: Path,
    stem: str,
    classifier: TileClassifier,
    out: Path,
    wish: GridWish,
    engine: Engine,
    cache: EmbeddingCache | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> ImageOutcome:
    """Classify one image, every plane of it, and write its files; see `classify_many`."""
    from napari_sem_classify.core.classify import classify_planes, grid_for_model
    from napari_sem_classify.core.export.outputs import write_outputs
    from napari_sem_classify.core.sem_io import open_for_scale

    image = open_for_scale(path, classifier.card.pixel_size_nm)
    choice = grid_for_model(
        image, classifier.card, wish.tile_px, wish.tile_um, wish.stride_px, wish.overlap
    )
    files: list[Path] = []
    planes = []
    maps = classify_planes(
        image,
        classifier,
        choice.grid,
        engine=engine,
        cache=cache,
        progress=progress,
        cancel=cancel,
    )
    for class_map in maps:
        files += write_outputs(class_map, image, out, stem)
        planes.append(summary(class_map))
    note = scale_note(image, choice)
    return ImageOutcome(path, stem, tuple(files), tuple(planes), note, choice.scale_warning)


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
        "classes": [
            {
                "name": share.name,
                "cells": share.cells,
                "fraction": share.fraction,
                "area_um2": share.area_um2,
            }
            for share in class_map.fractions()
        ],
        "features_from_cache": class_map.record.get("features_from_cache"),
        "seconds": class_map.record.get("seconds"),
    }


def strange_problem(path: Path, error: Exception) -> str:
    """Word a failure that nobody foresaw, of one image among many.

    A library may fail on a strange file in any way; the night's other images go on.
    """
    _log.error("%s could not be classified", path, exc_info=error)
    return f"{path} could not be classified ({error!r}): look at it by itself."


def _named(progress: ProgressCallback | None, stage: str) -> ProgressCallback | None:
    if progress is None:
        return None

    def tell(reading: Progress) -> None:
        progress(replace(reading, stage=stage))

    return tell


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
