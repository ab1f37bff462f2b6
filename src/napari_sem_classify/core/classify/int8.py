"""8-bit arithmetic for a model: measured on the user's own tiles, and only where it keeps classes.

Integers of 8 bits are up to three times as fast as float32 on CPUs with VNNI, and round so coarsely
that some tiles change class. How many depends on the specimen and on the model, so it is measured:
some of the tiles that are to be classified set the ranges, others are classified in 8 bits and in
float32, and too many changes are a refusal. What was found is kept for the next run, which only
looks whether it holds on its own tiles.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sem_classify.core.classify.close_calls import SecondLook, limit_for
from napari_sem_classify.core.classify.int8_memory import (
    LEAST_AGREEMENT,
    Int8Check,
    Int8Memory,
    arithmetic_sha256,
    ranges_from,
    recall,
    remember,
)
from napari_sem_classify.core.classify.sample_tiles import (
    SampleTiles,
    count_of,
    samples_of,
    two_parts,
)
from napari_sem_classify.core.common.checked import Fields, Malformed
from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.model.engines import network_of
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import alone_probabilities
from napari_sem_classify.core.network.backbone import backbone_info
from napari_sem_classify.core.network.engine.base import Engine
from napari_sem_classify.core.network.engine.devices import has_openvino
from napari_sem_classify.core.network.engine.factory import keep_engine, load_network
from napari_sem_classify.core.network.engine.network import GreyTrunk, network_input
from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine, int8_companion
from napari_sem_classify.core.network.engine.prepare import stretch_and_resize, to_device
from napari_sem_classify.core.network.engine.quantise import (
    EXACT_STAGES,
    activation_ranges,
    from_stage,
)
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

FIRST_STAGES = (EXACT_STAGES + 1, EXACT_STAGES + 2)
"""Of the network, from which on it computes in 8 bits: the next one where classes change."""
CALIBRATION_TILES = 64
CHECKED_TILES = 256
LOOKED_AGAIN_TILES = 32
"""Of the images of a later run."""
MOST_CHANGED_AGAIN = 1
LARGER_ERROR = 1.5
"""Known ranges hold where features miss by at most so many times what they missed by before."""
STAGE = "Checking 8-bit arithmetic"
_BATCH = 16
_CPU = torch.device("cpu")


def int8_engine(
    classifier: TileClassifier,
    images: Sequence[PlaneTiles],
    *,
    exact: Engine | None = None,
    seed: int = 0,
    job: Job | None = None,
) -> Engine:
    """Make an engine of 8-bit arithmetic for a model and the images that it is to classify.

    Ranges that are known of the network are used again: for a model that was checked on them a few
    tiles of these images tell whether they hold here too; for another one its classes are checked.

    Parameters
    ----------
    images : sequence of PlaneTiles
        A few of the planes.
    exact : Engine, optional
        Of the same network in full precision; made where it is none in float32.
    seed : int
        Of the random choice of tiles.
    job : Job, optional
        Told and checked once per batch.

    Returns
    -------
    Engine
        Its `checked` holds ``ranges`` and ``ranges_sha256``, ``calibration_tiles``, and of the
        check ``images``, ``checked_tiles``, ``same_class`` (share with the class that float32
        gives, 0 to 1) and ``largest_difference`` of a probability; where that is an earlier run's
        also ``looked_again``, the same of tiles of these images.

    Raises
    ------
    DeviceError
        When OpenVINO is not installed, there are no tiles to measure on, or less than
        `LEAST_AGREEMENT` of the tiles keep their class.
    ImageError, ModelError
        When an image or the weights cannot be read.
    Cancelled
        When the job was asked to stop.
    """
    if not has_openvino():
        raise DeviceError(
            "8-bit arithmetic needs OpenVINO: run pip install 'napari-sem-classify[cpu]', or "
            "leave the arithmetic to the program."
        )
    network, head = network_of(classifier), head_sha256(classifier.head)
    known = recall(network)
    if exact is None or exact.dtype != "float32":
        exact = _engine(classifier, None)
    before = None if known is None else known.heads.get(head)
    if known is not None and before is not None and before.keeps_classes:
        engine = _looked_again(classifier, images, exact, known, before, seed, job)
        if engine is not None:
            return engine
    n_tiles = CALIBRATION_TILES + CHECKED_TILES
    for_ranges, for_check = two_parts(
        samples_of(classifier, images, n_tiles, seed), CALIBRATION_TILES / n_tiles
    )
    names = _names(images)
    n_ranges, n_check = count_of(for_ranges), count_of(for_check)
    if not n_check:
        raise DeviceError(
            "The images have too few tiles to check 8-bit arithmetic on: leave the arithmetic to "
            "the program."
        )
    most_checks = (len(FIRST_STAGES) + 2) * (1 if known is None else 2)
    reporter = Reporter(n_ranges + n_check * (1 + most_checks), STAGE, job)
    truth = _features(exact, for_check, reporter)
    if known is not None:
        engine, check = _checked(classifier, known.ranges, for_check, truth, names, reporter)
        usual = min((each.error for each in known.heads.values()), default=check.error)
        if check.keeps_classes and check.error <= LARGER_ERROR * usual:
            return _noted(engine, network, known.with_check(head, check), head)
    ranges = _measured(classifier, for_ranges, reporter)
    engine, check = _checked(classifier, ranges, for_check, truth, names, reporter)
    memory = Int8Memory(ranges, n_ranges, {head: check})
    if not check.keeps_classes:
        remember(network, memory if known is None else known.with_check(head, check))
        raise DeviceError(
            f"In 8-bit arithmetic only {check.same_class:.1%} of {n_check} tiles keep the class "
            f"that this model gives them, and {LEAST_AGREEMENT:.0%} are asked: leave the "
            "arithmetic to the program."
        )
    return _noted(engine, network, memory, head)


def int8_as_recorded(classifier: TileClassifier, checked: Mapping[str, Any]) -> Engine:
    """The engine of a record, from what it says under ``checked``.

    Raises
    ------
    Malformed
        When that holds no ranges of this network.
    DeviceError
        When OpenVINO is not installed.
    """
    if not has_openvino():
        raise DeviceError("8-bit arithmetic needs OpenVINO.")
    ranges = ranges_from(checked.get("ranges"))
    try:
        engine = _engine(classifier, ranges)
    except KeyError as missing:
        raise Malformed(f"its 8-bit ranges lack {missing}") from missing
    if checked.get("close_calls") is not None:
        close = Fields.of(checked).object("close_calls")
        _look_again(engine, classifier, close.number("below", 0.0, 1.0))
    engine.checked = dict(checked)
    return engine


def _look_again(engine: Any, classifier: TileClassifier, below: float) -> None:
    """Have an engine look at close calls in full precision."""
    if below > 0.0:
        engine.second_look = SecondLook(classifier, below, _engine(classifier, None))


def _looked_again(
    classifier: TileClassifier,
    images: Sequence[PlaneTiles],
    exact: Engine,
    known: Int8Memory,
    before: Int8Check,
    seed: int,
    job: Job | None,
) -> Engine | None:
    """The engine of known ranges, where they hold on some tiles of these images too."""
    samples = samples_of(classifier, images, LOOKED_AGAIN_TILES, seed)
    n_tiles = count_of(samples)
    reporter = Reporter(2 * n_tiles, STAGE, job)
    engine = _engine(classifier, from_stage(known.ranges, before.first_stage))
    _look_again(engine, classifier, before.close_below)
    engine.checked = _told(known, before, head_sha256(classifier.head))
    if not n_tiles:
        return engine
    truth = _features(exact, samples, reporter)
    names = _names(images)
    again = _against(classifier, engine, samples, truth, before.first_stage, names, reporter)
    changed = round((1.0 - again.same_class) * n_tiles)
    if changed > MOST_CHANGED_AGAIN or again.error > LARGER_ERROR * before.error:
        return None
    told = {"images": list(names), "checked_tiles": n_tiles, "same_class": again.same_class}
    engine.checked = {**engine.checked, "looked_again": told}
    return engine


def _checked(
    classifier: TileClassifier,
    ranges: Mapping[str, float],
    samples: Sequence[SampleTiles],
    truth: NDArray[np.float32],
    images: tuple[str, ...],
    reporter: Reporter,
) -> tuple[Engine, Int8Check]:
    """An engine that keeps the classes, else the best there is, and how it did.

    Where too many tiles change class, most of the error comes from the second stage: without it
    features miss by a quarter less, and most of the time is still saved. What the last stage adds
    is small. Where that does not help either, close calls are looked at in full precision.
    """
    best: tuple[Engine, Int8Check] | None = None
    for first in FIRST_STAGES:
        some = from_stage(ranges, first)
        if not some and best is not None:
            break
        engine = _engine(classifier, some)
        check = _against(classifier, engine, samples, truth, first, images, reporter)
        if best is None or check.same_class > best[1].same_class:
            best = engine, check
        if check.keeps_classes:
            break
    assert best is not None
    if not best[1].keeps_classes:
        best = _with_close_calls(classifier, ranges, samples, truth, images, reporter) or best
    return best


def _with_close_calls(
    classifier: TileClassifier,
    ranges: Mapping[str, float],
    samples: Sequence[SampleTiles],
    truth: NDArray[np.float32],
    images: tuple[str, ...],
    reporter: Reporter,
) -> tuple[Engine, Int8Check] | None:
    """The fastest engine with a second look at close calls, where a few of them save the model."""
    first = FIRST_STAGES[0]
    engine = _engine(classifier, from_stage(ranges, first))
    features = _features(engine, samples, reporter)
    found = limit_for(*(alone_probabilities(classifier, each) for each in (features, truth)))
    if found is None:
        return None
    below, share = found
    _look_again(engine, classifier, below)
    check = _against(classifier, engine, samples, truth, first, images, reporter)
    return engine, replace(check, close_below=below, close_share=share)


def _measured(
    classifier: TileClassifier, samples: Sequence[SampleTiles], reporter: Reporter
) -> dict[str, float]:
    """Ranges of the activations on some tiles."""
    card = classifier.card
    network = load_network(card.backbone_id, classifier.trunk)
    trunk = GreyTrunk(network, dtype=int8_companion(), **_look(classifier))
    return activation_ranges(trunk, _prepared(samples, card.network_px, reporter))


def _noted(engine: Engine, network: str, memory: Int8Memory, head: str) -> Engine:
    remember(network, memory)
    engine.checked = _told(memory, memory.heads[head], head)
    return engine


def _told(memory: Int8Memory, check: Int8Check, head: str) -> dict[str, Any]:
    """What a record says."""
    ranges = from_stage(memory.ranges, check.first_stage)
    close = {"below": check.close_below, "share": check.close_share}
    return {
        **({"close_calls": close} if check.close_below else {}),
        "images": list(check.images),
        "calibration_tiles": memory.calibration_tiles,
        "checked_tiles": check.tiles,
        "same_class": check.same_class,
        "largest_difference": check.largest_difference,
        "first_stage": check.first_stage,
        "ranges": ranges,
        "ranges_sha256": arithmetic_sha256(ranges, check, head),
    }


def _names(images: Sequence[PlaneTiles]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.image.name for each in images))


def _look(classifier: TileClassifier) -> dict[str, Any]:
    card = classifier.card
    return {"stages": card.stages, "scaling": backbone_info(card.backbone_id).scaling}


def _engine(classifier: TileClassifier, ranges: Mapping[str, float] | None) -> Engine:
    """An engine of 8 bits, or without ranges one in float32; kept for the next time."""
    card = classifier.card

    def make() -> Engine:
        network = load_network(card.backbone_id, classifier.trunk)
        dtype = "float32" if ranges is None else "int8"
        look = {"network_px": card.network_px, **_look(classifier)}
        return OpenVinoEngine(network, dtype=dtype, ranges=ranges, **look)

    held = None if ranges is None else tuple(sorted(ranges.items()))
    key = ("int8", card.network_px, card.stages, card.backbone_id, id(classifier.trunk), held)
    # Of its own, as `checked` is: runs beside each other may come with other models.
    return copy.copy(keep_engine(key, classifier.trunk, make))


def _prepared(
    samples: Sequence[SampleTiles], network_px: int, reporter: Reporter
) -> Iterator[torch.Tensor]:
    """Network input of tiles, as 8-bit arithmetic gets it, in float32."""
    for each in samples:
        for start in range(0, len(each.pixels), _BATCH):
            raw = to_device(each.pixels[start : start + _BATCH], _CPU)
            grey = stretch_and_resize(raw, each.intensity, network_px)
            yield network_input(grey, int8_companion()).to(torch.float32)
            reporter.advance(len(raw))


def _features(
    engine: Engine, samples: Sequence[SampleTiles], reporter: Reporter
) -> NDArray[np.float32]:
    found = []
    for each in samples:
        for start in range(0, len(each.pixels), engine.batch_size):
            some = each.pixels[start : start + engine.batch_size]
            found.append(engine.embed(some, each.intensity))
            reporter.advance(len(some))
    return np.concatenate(found)


def _against(
    classifier: TileClassifier,
    engine: Engine,
    samples: Sequence[SampleTiles],
    truth: NDArray[np.float32],
    first_stage: int,
    images: tuple[str, ...],
    reporter: Reporter,
) -> Int8Check:
    """Compare features and classes of an engine with those of full precision."""
    features = _features(engine, samples, reporter)
    mine, exact = (alone_probabilities(classifier, each) for each in (features, truth))
    missed = np.linalg.norm(features - truth, axis=1)
    error = missed / np.maximum(np.linalg.norm(truth, axis=1), np.finfo(np.float32).tiny)
    return Int8Check(
        same_class=round(float((mine.argmax(axis=1) == exact.argmax(axis=1)).mean()), 4),
        tiles=len(features),
        largest_difference=round(float(np.abs(mine - exact).max()), 4),
        error=float(error.mean()),
        first_stage=first_stage,
        images=images,
    )
