"""The engine for a job: 8-bit arithmetic only after a check on some of the job's own tiles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import DeviceError, SemClassifyError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

LOOKED_AT = 4
"""Images of a job whose tiles are used for the check."""

WORTH_IT_TILES = 20_000
"""From so many tiles on the check takes less time than 8-bit arithmetic saves."""

_log = logging.getLogger(__name__)


def engine_for_images(
    classifier: TileClassifier,
    images: Sequence[Path | SemImage],
    options: ClassifyOptions,
    job: Job | None = None,
) -> Engine:
    """Give the engine for a model and the images that it is to classify.

    The arithmetic "auto" takes 8-bit integers only for many tiles on a CPU, where they keep the
    classes of a sample of them and are faster.

    Raises
    ------
    DeviceError
        When the device or backend is not there, or 8-bit arithmetic was asked for and does not
        keep the classes.
    ImageError, ModelError
        When no image can be opened, for 8-bit arithmetic, or the weights cannot be read.
    Cancelled
        When the job was asked to stop.
    """
    from napari_sem_classify.core.model.engines import engine_for
    from napari_sem_classify.core.network.engine.devices import find_device, has_openvino
    from napari_sem_classify.core.network.engine.trial import tiles_per_s

    device, backend, dtype = options.device, options.backend, options.dtype
    on_cpu = find_device(device).type == "cpu" and backend in ("auto", "openvino")
    if dtype == "int8":
        if not on_cpu:
            raise DeviceError("8-bit arithmetic is there with OpenVINO on the CPU alone.")
        return _checked(classifier, _look(classifier, images, options), job)
    engine = engine_for(classifier, device=device, backend=backend, dtype=dtype)
    if dtype != "auto" or options.dense or not on_cpu or not has_openvino():
        return engine
    try:
        looked = _look(classifier, images, options)
    except SemClassifyError:
        return engine  # images that cannot be opened are told of later
    tiles = sum(grid.n_tiles for _, grid in looked) * len(images) / max(1, len(looked))
    if tiles < WORTH_IT_TILES:
        return engine
    try:
        small = _checked(classifier, looked, job)
    except DeviceError as refused:
        _log.info("%s", refused)
        return engine
    return small if tiles_per_s(small) > tiles_per_s(engine) else engine


def _checked(
    classifier: TileClassifier, looked: list[tuple[SemImage, TileGrid]], job: Job | None
) -> Engine:
    from napari_sem_classify.core.classify.int8 import int8_engine

    return int8_engine(classifier, looked, job=job)


def _look(
    classifier: TileClassifier, images: Sequence[Path | SemImage], options: ClassifyOptions
) -> list[tuple[SemImage, TileGrid]]:
    """Open a few images, spread over all of them; a bad one is passed over."""
    from napari_sem_classify.core.sem_io import open_for_scale

    step = max(1, len(images) // LOOKED_AT)
    singly = replace(options, dense=False)
    found = []
    problem: SemClassifyError | None = None
    for image in images[::step][:LOOKED_AT]:
        try:
            if not isinstance(image, SemImage):
                image = open_for_scale(image, classifier.card.pixel_size_nm)
            found.append((image, singly.grid_for(image, classifier.card).grid))
        except SemClassifyError as error:
            problem = error
    if not found and problem is not None:
        raise problem
    return found
