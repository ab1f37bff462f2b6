"""Many images, one model: goes on after a bad file, and resumes where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.batch.batch_outcome import (
    BatchReport,
    ImageOutcome,
    failed_outcome,
    resumed_outcome,
    scale_note,
    summary,
)
from napari_sem_classify.core.batch.batch_state import (
    BatchState,
    BatchTarget,
    Item,
    item_path,
    settings_digest,
)
from napari_sem_classify.core.classify.engine_choice import engine_for_images
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions, GridChoice
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.export.kinds import OUTLINES, USUAL, in_order
from napari_sem_classify.core.export.outputs import stage_outputs
from napari_sem_classify.core.model.head import TileClassifier

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage
    from napari_sem_classify.core.maps.class_map import ClassMap
    from napari_sem_classify.core.network.engine.base import Engine


def batch_digest(
    classifier: TileClassifier, options: ClassifyOptions, kinds: Sequence[str] = USUAL
) -> str:
    """Name the model and the user's choices, for `BatchState`; not what computes it."""
    chosen = asdict(options.of_result)
    if in_order(kinds) != USUAL:
        chosen["kinds"] = list(in_order(kinds))
    return settings_digest(classifier, chosen)


def classify_many(
    paths: Sequence[Item],
    classifier: TileClassifier,
    target: BatchTarget,
    options: ClassifyOptions,
    *,
    engine: Engine | None = None,
    folder: OutputFolder | None = None,
    job: Job | None = None,
    on_image: Callable[[ImageOutcome], None] | None = None,
) -> BatchReport:
    """Classify images one after the other and write each one's files.

    What is finished is noted in the output folder with each image. A later run with the same model
    and settings takes up there; an image that changed, or whose files are gone or not as they were
    written, is done again. A bad file does not stop the others: the report tells of failed images
    too.

    Parameters
    ----------
    paths : sequence of Path or SemImage
        Files, or images that are open already and are taken as they are: with the user's
        calibration, area and level.
    engine : Engine, optional
        Chosen by the options where none is given, once for all images.
    folder : OutputFolder, optional
        The target's folder, where the caller has it open and goes on to write into it.
    job : Job, optional
        Progress counts the tiles of the image at work; its stage names the image.
    on_image : callable, optional
        Told each image's outcome as soon as it is known.

    Raises
    ------
    OutputError, DeviceError
        When nothing can be written or computed any more, for any image.
    Cancelled
        When the job was asked to stop; finished images stay.
    """
    start = time.perf_counter()
    outcomes = []
    with output_folder(folder or target.folder) as folder:
        state = BatchState(folder.record, batch_digest(classifier, options, target.kinds))
        for number, (item, stem) in enumerate(state.with_stems(paths), start=1):
            if job is not None:
                job.check()
            path = item_path(item)
            known = state.finished(item) if target.resume else None
            if known is not None:
                outcome = resumed_outcome(path, folder.path, known)
            else:
                engine = engine or engine_for_images(classifier, paths, options, job)
                told = _named(job, f"{path.name} ({number} of {len(paths)})")
                try:
                    with folder.staging() as staging:
                        staged = BatchTarget(staging, target.kinds)
                        made = classify_one(item, stem, classifier, staged, options, engine, told)
                        outcome = state.put(folder, staging, item, stem, made)
                except Exception as error:
                    outcome = failed_outcome(path, stem, error)
            outcomes.append(outcome)
            if on_image is not None:
                on_image(outcome)
    return BatchReport(tuple(outcomes), time.perf_counter() - start)


def classify_one(
    item: Item,
    stem: str,
    classifier: TileClassifier,
    target: BatchTarget,
    options: ClassifyOptions,
    engine: Engine,
    job: Job | None = None,
) -> ImageOutcome:
    """Classify one image, every plane of it, and write its files into a folder of its own."""
    from napari_sem_classify.core.classify.driver import classify_planes
    from napari_sem_classify.core.sem_io import open_for_scale

    wanted_nm = classifier.card.pixel_size_nm
    image = open_for_scale(item, wanted_nm) if isinstance(item, Path) else item
    choice = options.grid_for(image, classifier.card)
    chosen = ChosenTiles(choice.grid)
    maps = classify_planes(image, classifier, options, chosen=chosen, engine=engine, job=job)
    return replace(write_maps(maps, image, choice, stem, target), path=item_path(item))


def write_maps(
    maps: Iterable[ClassMap], image: SemImage, choice: GridChoice, stem: str, target: BatchTarget
) -> ImageOutcome:
    """Write the files of an image's maps into an empty folder, each map as it comes.

    Raises
    ------
    OutputError, ImageError
        When they cannot be written, or the image not be read for its picture.
    """
    planes = []
    for class_map in maps:
        drawn = () if class_map.outlines is None else (OUTLINES,)
        kinds = in_order((*target.kinds, *drawn))
        stage_outputs(class_map, image, target.folder, stem, kinds)
        planes.append(summary(class_map))
    note, warning = scale_note(image, choice), choice.scale_warning
    return ImageOutcome(item_path(image), stem, (), tuple(planes), note, warning)


def _named(job: Job | None, stage: str) -> Job | None:
    if job is None:
        return None
    return job.telling(lambda reading: job.tell(replace(reading, stage=stage)))
