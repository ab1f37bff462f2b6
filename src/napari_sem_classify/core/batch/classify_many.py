"""Many images, one model: goes on after a bad file, and resumes where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.batch.batch_outcome import (
    BatchReport,
    ImageOutcome,
    as_json,
    resumed_outcome,
    scale_note,
    strange_problem,
    summary,
)
from napari_sem_classify.core.batch.batch_state import (
    EARLIER_NAME,
    BatchState,
    Item,
    item_path,
    settings_digest,
    sweep_notes,
)
from napari_sem_classify.core.common.errors import (
    Cancelled,
    DeviceError,
    OutputError,
    SemClassifyError,
)
from napari_sem_classify.core.common.files import ensure_folder
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.export.kinds import USUAL, in_order
from napari_sem_classify.core.export.outputs import write_outputs
from napari_sem_classify.core.model.head import TileClassifier

if TYPE_CHECKING:
    from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
    from napari_sem_classify.core.network.engine.base import Engine

__all__ = [
    "BatchReport",
    "GridWish",
    "ImageOutcome",
    "as_json",
    "batch_digest",
    "classify_many",
    "classify_one",
    "resumed_outcome",
    "scale_note",
    "strange_problem",
    "summary",
]


@dataclass(frozen=True, slots=True)
class GridWish:
    """What the user asked for; `grid_for_model` makes a grid of it for each image.

    Attributes
    ----------
    tile_px, tile_um, stride_px, overlap
        As in `grid_for_model`.
    dense : bool
        Run the network over blocks, at a fine stride unless `stride_px` is given.
    skip_flat : bool
        Leave out tiles of hardly any contrast.
    """

    tile_px: int | None = None
    tile_um: float | None = None
    stride_px: int | None = None
    overlap: float = 0.0
    dense: bool = False
    skip_flat: bool = False


def batch_digest(classifier: TileClassifier, wish: GridWish, kinds: Sequence[str] = USUAL) -> str:
    """Name the model and the user's choices, for `BatchState`."""
    chosen = asdict(wish)
    if in_order(kinds) != USUAL:
        chosen["kinds"] = list(in_order(kinds))
    return settings_digest(classifier, chosen)


def classify_many(
    paths: Sequence[Item],
    classifier: TileClassifier,
    out: Path,
    *,
    wish: GridWish | None = None,
    engine: Engine | None = None,
    cache: EmbeddingCache | None = None,
    kinds: Sequence[str] = USUAL,
    resume: bool = True,
    job: Job | None = None,
    on_image: Callable[[ImageOutcome], None] | None = None,
) -> BatchReport:
    """Classify images one after the other and write each one's files.

    What is finished is noted in the output folder after each image. A later run with the same model
    and settings takes up there; an image that changed, or whose files are gone, is done again.

    Parameters
    ----------
    paths : sequence of Path or SemImage
        Files, or images that are open already and are taken as they are: with the user's
        calibration, area and level.
    classifier : TileClassifier
    out : Path
        Folder for the files; made when it is not there.
    wish : GridWish, optional
        Without one, tiles have the physical size that the model learned from.
    engine : Engine, optional
        Made for the classifier where none is given, once for all images.
    cache : EmbeddingCache, optional
    kinds : names in `kinds.EACH`
        Files to write of each image, besides `kinds.ALWAYS`.
    resume : bool
        False to do every image again.
    job : Job, optional
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
        When the job was asked to stop; finished images stay.
    """
    start = time.perf_counter()
    wish = wish or GridWish()
    ensure_folder(out)
    sweep_notes(out, EARLIER_NAME)
    state = BatchState.open(out, batch_digest(classifier, wish, kinds))
    outcomes = []
    for number, (item, stem) in enumerate(state.with_stems(paths), start=1):
        if job is not None:
            job.check()
        path = item_path(item)
        known = state.finished(item) if resume else None
        if known is not None:
            outcome = resumed_outcome(path, out, known)
        else:
            if engine is None:
                from napari_sem_classify.core.model.engines import engine_for

                engine = engine_for(classifier)
            told = _named(job, f"{path.name} ({number} of {len(paths)})")
            try:
                outcome = classify_one(
                    item, stem, classifier, out, wish, engine, cache, told, kinds
                )
            except (Cancelled, OutputError, DeviceError):
                raise
            except SemClassifyError as error:
                outcome = ImageOutcome(path, stem, problem=str(error))
            except Exception as error:
                outcome = ImageOutcome(path, stem, problem=strange_problem(path, error))
            if not outcome.problem:
                state.note(item, as_json(outcome))
        outcomes.append(outcome)
        if on_image is not None:
            on_image(outcome)
    return BatchReport(tuple(outcomes), time.perf_counter() - start)


def classify_one(
    item: Item,
    stem: str,
    classifier: TileClassifier,
    out: Path,
    wish: GridWish,
    engine: Engine,
    cache: EmbeddingCache | None = None,
    job: Job | None = None,
    kinds: Sequence[str] = USUAL,
) -> ImageOutcome:
    """Classify one image, every plane of it, and write its files; see `classify_many`."""
    from napari_sem_classify.core.classify.driver import classify_planes, grid_for_model
    from napari_sem_classify.core.sem_io import open_for_scale

    path, image = item_path(item), item
    if isinstance(image, Path):
        image = open_for_scale(image, classifier.card.pixel_size_nm)
    choice = grid_for_model(
        image, classifier.card, wish.tile_px, wish.tile_um, wish.stride_px, wish.overlap, wish.dense
    )
    files: list[Path] = []
    planes = []
    maps = classify_planes(
        image,
        classifier,
        choice.grid,
        engine=engine,
        cache=cache,
        job=job,
        dense=wish.dense,
        skip_flat=wish.skip_flat,
    )
    for class_map in maps:
        files += write_outputs(class_map, image, out, stem, in_order(kinds))
        planes.append(summary(class_map))
    note = scale_note(image, choice)
    return ImageOutcome(path, stem, tuple(files), tuple(planes), note, choice.scale_warning)


def _named(job: Job | None, stage: str) -> Job | None:
    if job is None:
        return None
    return job.telling(lambda reading: job.tell(replace(reading, stage=stage)))
