"""How long a run will take: the cache and 8-bit arithmetic counted in, before anything is begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.classify.engine_choice import (
    LEAST_GAIN,
    LookedAt,
    cost_in_8_bits,
    gain_in_8_bits,
    known_check,
    may_be_in_8_bits,
    pays_in_8_bits,
)
from napari_sem_classify.core.classify.int8_memory import (
    Int8Memory,
    arithmetic_sha256,
    recall,
)
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.model.engines import network_of
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache, features_key
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run is expected to be.

    Attributes
    ----------
    tiles : float
        That the network takes as long for in the usual arithmetic.
    known : int
        Tiles of all planes that the cache has.
    in_8_bits : bool
        Whether 8-bit arithmetic is tried; it may be refused yet.
    """

    tiles: float
    known: int
    in_8_bits: bool


@dataclass(frozen=True, slots=True)
class _Arithmetic:
    """What of an engine names its features, without one."""

    dtype: str
    feature_size: int
    checked: Mapping[str, Any] | None


def expect(
    tiles: PlaneTiles,
    planes: int,
    classifier: TileClassifier,
    engine: Engine,
    options: ClassifyOptions,
) -> Expectation:
    """Tell what a run tile by tile is expected to be, from what earlier runs left.

    Parameters
    ----------
    tiles : PlaneTiles
        Of the first plane; the others are taken to be like it.
    planes : int
        Number of planes.
    engine : Engine
        Of the usual arithmetic.

    Raises
    ------
    ImageError
        When the image cannot be read.
    """
    from napari_sem_classify.core.network.engine.trial import known_gain

    looked = [LookedAt(tiles, planes)]
    small = options.dtype == "int8" or (
        may_be_in_8_bits(options) and pays_in_8_bits(classifier, looked, 1, engine, options)
    )
    asked = tiles.count * planes
    arithmetic = _in_8_bits(classifier, engine) if small else engine
    known = 0
    if options.cache and arithmetic is not None:
        known = planes * _known(tiles, classifier, arithmetic)
    left = float(asked - known)
    if small:
        check, alone = (
            known_check(classifier),
            known_gain("openvino", "int8", engine, default=LEAST_GAIN),
        )
        left /= gain_in_8_bits(alone, 0.0 if check is None else check.close_share, engine)
        left += cost_in_8_bits(check, engine) or 0
    return Expectation(left, known, small)


def _in_8_bits(classifier: TileClassifier, engine: Engine) -> _Arithmetic | None:
    """The 8-bit arithmetic that an earlier run of the model kept."""
    memory, check = recall(network_of(classifier)), known_check(classifier)
    if memory is None or check is None:
        return None
    ranges, head = _ranges(memory, check.first_stage), head_sha256(classifier.head)
    told = {"ranges_sha256": arithmetic_sha256(ranges, check, head)}
    return _Arithmetic("int8", engine.feature_size, told)


def _ranges(memory: Int8Memory, first_stage: int) -> dict[str, float]:
    from napari_sem_classify.core.network.engine.quantise import from_stage

    return from_stage(memory.ranges, first_stage)


def _known(tiles: PlaneTiles, classifier: TileClassifier, arithmetic: Any) -> int:
    """How many of the kept tiles the cache has."""
    tiles = tiles.seen_by(classifier.card.intensity)
    intensity = tiles.measure(classifier.card.intensity)
    key = features_key(tiles, intensity, network_of(classifier), arithmetic)
    if key is None:
        return 0
    left = (
        np.ones(tiles.grid.n_tiles, np.bool_) if tiles.keep is None else tiles.keep.ravel().copy()
    )
    wanted = int(left.sum())
    with EmbeddingCache().find(key) as entry:
        if entry is not None:
            left[entry.index] = left[entry.empty] = False
    return wanted - int(left.sum())
