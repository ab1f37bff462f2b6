"""The engine for a job: 8-bit arithmetic where it pays, after a check on some of its tiles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.classify.int8_memory import Int8Check, recall
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.common.errors import DeviceError, SemClassifyError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.engines import network_of
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.network.features import is_known
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

LOOKED_AT = 4
"""Images of a job whose tiles are used for the check."""

LEAST_GAIN = 1.3
"""How many times as fast as the usual arithmetic 8 bits have to be."""

COST_TILES = {"float32": 600, "bfloat16": 950}
COST_TILES_KNOWN = {"float32": 200, "bfloat16": 250}
"""Tiles that the usual arithmetic does while 8 bits are measured and checked, and while what is
known of them is looked at again: runs of fewer are over before. With 64 tiles for the ranges and
256 for the check in float32, of which one takes as long as two in bfloat16, and the making of two
engines."""

EXACT_TIMES = {"float32": 1.0, "bfloat16": 1.85}
"""How many times as long as the usual arithmetic full precision takes, of OpenVINO."""

_log = logging.getLogger(__name__)


def engine_for_images(
    classifier: TileClassifier,
    images: Sequence[Path | SemImage],
    options: ClassifyOptions,
    job: Job | None = None,
    chosen: ChosenTiles | None = None,
) -> Engine:
    """Give the engine for a model and the images that it is to classify.

    The arithmetic "auto" takes 8-bit integers only on a CPU, for more tiles than the check takes,
    where they keep the classes of a sample of them, are clearly faster, and the cache does not know
    the tiles in full precision.

    Parameters
    ----------
    chosen : ChosenTiles, optional
        Of the only image, in place of those of the options.

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

    device, backend, dtype = options.device, options.backend, options.dtype
    if dtype == "int8":
        if not _on_cpu(options):
            raise DeviceError("8-bit arithmetic is there with OpenVINO on the CPU alone.")
        return _in_8_bits(classifier, _look(classifier, images, options, chosen), None, job)
    engine = engine_for(classifier, device=device, backend=backend, dtype=dtype)
    if not may_be_in_8_bits(options):
        return engine
    try:
        looked = _look(classifier, images, options, chosen)
        if not looked or not pays_in_8_bits(classifier, looked, len(images), engine, options):
            return engine
        return _faster(_in_8_bits(classifier, looked, engine, job), engine)
    except DeviceError as refused:
        _log.info("%s", refused)
    except SemClassifyError as error:  # images that cannot be opened are told of later
        _log.info("8-bit arithmetic is not tried: %s", error)
    return engine


def may_be_in_8_bits(options: ClassifyOptions) -> bool:
    """Whether a run takes 8-bit arithmetic by itself where that pays."""
    from napari_sem_classify.core.network.engine.devices import has_openvino

    return options.dtype == "auto" and not options.dense and _on_cpu(options) and has_openvino()


def _on_cpu(options: ClassifyOptions) -> bool:
    from napari_sem_classify.core.network.engine.devices import find_device

    return find_device(options.device).type == "cpu" and options.backend in ("auto", "openvino")


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A plane of an image, and how many there are to classify."""

    tiles: PlaneTiles
    planes: int


def pays_in_8_bits(
    classifier: TileClassifier,
    looked: Sequence[LookedAt],
    n_images: int,
    engine: Engine,
    options: ClassifyOptions,
) -> bool:
    """Whether 8 bits are worth a try, from what is known beforehand."""
    from napari_sem_classify.core.network.engine.trial import known_gain

    check = known_check(classifier)
    cost = cost_in_8_bits(check, engine)
    n_tiles = sum(each.tiles.count * each.planes for each in looked) * n_images / len(looked)
    if cost is None or n_tiles <= cost or (check is not None and not check.keeps_classes):
        return False
    alone = known_gain("openvino", "int8", engine, default=LEAST_GAIN)
    if gain_in_8_bits(alone, 0.0 if check is None else check.close_share, engine) < LEAST_GAIN:
        return False
    if not options.cache:
        return True
    cache, network = EmbeddingCache(), network_of(classifier)
    intensity = classifier.card.intensity
    return not all(is_known(each.tiles, engine, intensity, cache, network) for each in looked)


def gain_in_8_bits(alone: float, close_share: float, engine: Engine) -> float:
    """How many times as fast as an engine 8 bits are with a share of close calls looked at again.

    `alone` is what they are without.
    """
    return 1.0 / (1.0 / alone + close_share * EXACT_TIMES.get(engine.dtype, 1.0))


def cost_in_8_bits(check: Int8Check | None, engine: Engine) -> int | None:
    """Tiles that an engine does while 8 bits are checked; None where that is not known of it."""
    return (COST_TILES if check is None else COST_TILES_KNOWN).get(engine.dtype)


def known_check(classifier: TileClassifier) -> Int8Check | None:
    """What is known of a model's classes in 8 bits."""
    memory = recall(network_of(classifier))
    return None if memory is None else memory.heads.get(head_sha256(classifier.head))


def _faster(small: Engine, engine: Engine) -> Engine:
    from napari_sem_classify.core.network.engine.trial import times_as_fast

    close = (small.checked or {}).get("close_calls") or {}
    gain = gain_in_8_bits(times_as_fast(small, engine), close.get("share", 0.0), engine)
    _log.info("8-bit arithmetic is %.2f times as fast as %s", gain, engine.dtype)
    return small if gain >= LEAST_GAIN else engine


def _in_8_bits(
    classifier: TileClassifier, looked: Sequence[LookedAt], exact: Engine | None, job: Job | None
) -> Engine:
    from napari_sem_classify.core.classify.int8 import int8_engine

    return int8_engine(classifier, [each.tiles for each in looked], exact=exact, job=job)


def _look(
    classifier: TileClassifier,
    images: Sequence[Path | SemImage],
    options: ClassifyOptions,
    chosen: ChosenTiles | None,
) -> list[LookedAt]:
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
            some = chosen or ChosenTiles(singly.grid_for(image, classifier.card).grid)
            planes = tuple(image.planes()) if some.planes is None else some.planes
            tiles = PlaneTiles(image, some.grid, some.keep, planes[0])
            found.append(LookedAt(tiles, len(planes)))
        except SemClassifyError as error:
            problem = error
    if not found and problem is not None:
        raise problem
    return found
