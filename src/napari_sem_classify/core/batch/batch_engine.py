"""The engine for a batch: 8-bit arithmetic only after a check on some of the batch's own tiles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from napari_sem_classify.core.batch.batch_state import Item
from napari_sem_classify.core.batch.classify_many import GridWish
from napari_sem_classify.core.classify.grid_choice import grid_for_model
from napari_sem_classify.core.common.errors import DeviceError, SemClassifyError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine
    from napari_sem_classify.core.network.engine.pipeline import PreparingEngine

LOOKED_AT = 4
"""Images of a batch whose tiles are used for the check."""

WORTH_IT_TILES = 20_000
"""From so many tiles on the check takes less time than 8-bit arithmetic saves."""

_log = logging.getLogger(__name__)


def engine_for_batch(
    classifier: TileClassifier,
    paths: Sequence[Item],
    wish: GridWish,
    *,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
    job: Job | None = None,
) -> Engine:
    """Give the engine for a model and the images that it is to classify.

    Parameters
    ----------
    classifier : TileClassifier
    paths : sequence of Path or SemImage
    wish : GridWish
    device, backend
        As for `engine_for`.
    dtype : {"auto", "float32", "bfloat16", "float16", "int8"}
        Arithmetic. "auto" takes 8-bit integers only for many tiles on a CPU, where they keep the
        classes of a sample of them and are faster.
    job : Job, optional

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

    on_cpu = find_device(device).type == "cpu" and backend in ("auto", "openvino")
    if dtype == "int8":
        if not on_cpu:
            raise DeviceError("8-bit arithmetic is there with OpenVINO on the CPU alone.")
        return _checked(classifier, _look(classifier, paths, wish), job)
    engine = engine_for(classifier, device, backend, dtype)
    if dtype != "auto" or not on_cpu or not has_openvino():
        return engine
    try:
        looked = _look(classifier, paths, wish)
    except SemClassifyError:
        return engine  # images that cannot be opened are told of later
    tiles = sum(grid.n_tiles for _, grid in looked) * len(paths) / max(1, len(looked))
    if tiles < WORTH_IT_TILES or wish.dense:
        return engine
    return _faster(classifier, engine, looked, job)


def _faster(
    classifier: TileClassifier,
    engine: Engine,
    looked: list[tuple[SemImage, TileGrid]],
    job: Job | None,
) -> Engine:
    from napari_sem_classify.core.network.engine.trial import tiles_per_s

    try:
        small = _checked(classifier, looked, job)
    except DeviceError as refused:
        _log.info("%s", refused)
        return engine
    rates = [tiles_per_s(cast("PreparingEngine", each)) for each in (small, engine)]
    return small if rates[0] > rates[1] else engine


def _checked(
    classifier: TileClassifier, looked: list[tuple[SemImage, TileGrid]], job: Job | None
) -> Engine:
    from napari_sem_classify.core.classify.int8 import int8_engine

    return int8_engine(classifier, looked, job=job)


def _look(
    classifier: TileClassifier, paths: Sequence[Item], wish: GridWish
) -> list[tuple[SemImage, TileGrid]]:
    """Open a few images, spread over the batch; a bad one is passed over."""
    from napari_sem_classify.core.sem_io import open_for_scale

    step = max(1, len(paths) // LOOKED_AT)
    found = []
    problem: SemClassifyError | None = None
    for path in paths[::step][:LOOKED_AT]:
        try:
            image = path
            if not isinstance(image, SemImage):
                image = open_for_scale(image, classifier.card.pixel_size_nm)
            choice = grid_for_model(
                image, classifier.card, wish.tile_px, wish.tile_um, wish.stride_px, wish.overlap
            )
        except SemClassifyError as error:
            problem = error
            continue
        found.append((image, choice.grid))
    if not found and problem is not None:
        raise problem
    return found
