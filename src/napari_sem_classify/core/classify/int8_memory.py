"""Ranges of 8-bit arithmetic and how they were checked, kept on this computer for the next run.

One small file a network, in the user's cache folder. It only ever saves time: where it cannot be
read or written, everything is measured again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.checked import Fields, Malformed, read_json
from napari_sem_classify.core.common.digest import digest_of
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import ensure_folder, write_json

LEAST_AGREEMENT = 0.99
"""Of tiles that have to keep their class."""
FORMAT = 1
MOST_HEADS = 200
_LARGEST = 1e9
_CLOSE = ("close_below", "close_share")  # files of earlier versions lack them
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Int8Check:
    """How 8-bit arithmetic did with a model's classes.

    Attributes
    ----------
    same_class : float
        Share of the tiles that keep the class of full precision, 0 to 1.
    tiles : int
        That were checked, none of them among those that set the ranges.
    largest_difference : float
        Of a probability.
    error : float
        Mean relative error of the tiles' features.
    first_stage : int
        Of the network, from which on it computes in 8 bits.
    images : tuple of str
    close_below, close_share : float
        Lead of a tile's class below which it is looked at again in full precision, see
        `close_calls`, and the share of such tiles; 0 where none are.
    """

    same_class: float
    tiles: int
    largest_difference: float
    error: float
    first_stage: int
    images: tuple[str, ...]
    close_below: float = 0.0
    close_share: float = 0.0

    @property
    def keeps_classes(self) -> bool:
        """Whether that is good enough."""
        return self.same_class >= LEAST_AGREEMENT


@dataclass(frozen=True, slots=True)
class Int8Memory:
    """What is known of a network in 8 bits.

    Attributes
    ----------
    ranges : mapping of str to float
        From `quantise.activation_ranges`.
    calibration_tiles : int
    heads : mapping of str to Int8Check
        By a head's hash.
    """

    ranges: Mapping[str, float]
    calibration_tiles: int
    heads: Mapping[str, Int8Check] = field(default_factory=dict)

    def with_check(self, head: str, check: Int8Check) -> Int8Memory:
        """The same with a check more; the oldest go beyond `MOST_HEADS`."""
        heads = {**self.heads, head: check}
        return replace(self, heads=dict(list(heads.items())[-MOST_HEADS:]))


def int8_sentence(checked: Mapping[str, Any] | None) -> str:
    """What to tell of an engine by what its record says under ``checked``; "" of any other."""
    if not checked:
        return ""
    close = checked.get("close_calls") or {}
    again = f", {float(close['share']):.0%} close calls in full precision" if close else ""
    agrees, tiles = float(checked["same_class"]), int(checked["checked_tiles"])
    earlier = " of an earlier run" if "looked_again" in checked else ""
    return f"8 bit{again}, agrees with full precision on {agrees:.1%} of {tiles} tiles{earlier}"


def arithmetic_sha256(ranges: Mapping[str, float], check: Int8Check, head: str) -> str:
    """Name what features 8-bit arithmetic gives: those of close calls depend on the head."""
    if not check.close_below:
        return digest_of(ranges)
    return digest_of(ranges, check.close_below, head)


def recall(network: str) -> Int8Memory | None:
    """What was kept of a network, by its name from `engines.network_of`."""
    with suppress(OSError, Malformed):
        told = Fields.of(read_json(_file(network)))
        if told.whole("format", 0, 100) == FORMAT:
            return _memory(told)
    return None


def remember(network: str, memory: Int8Memory) -> None:
    """Keep it for the next run."""
    file = _file(network)
    try:
        ensure_folder(file.parent)
        write_json(file, {"format": FORMAT, **asdict(memory)})
    except OutputError as error:
        _log.info("the ranges of 8-bit arithmetic are not kept: %s", error)


def ranges_from(value: Any) -> dict[str, float]:
    """Ranges as a file or a record tells them.

    Raises
    ------
    Malformed
        When they are none.
    """
    if not isinstance(value, dict) or not value:
        raise Malformed("its 8-bit ranges are missing")
    told = Fields(value, "ranges.")
    return {str(name): told.number(name, 0.0, _LARGEST) for name in value}


def _memory(told: Fields) -> Int8Memory:
    heads = told.object("heads").value
    return Int8Memory(
        ranges_from(told.value.get("ranges")),
        told.whole("calibration_tiles", 1, 2**31),
        {str(name): _check(Fields.of(each)) for name, each in heads.items()},
    )


def _check(told: Fields) -> Int8Check:
    return Int8Check(
        told.number("same_class", 0.0, 1.0),
        told.whole("tiles", 1, 2**31),
        told.number("largest_difference", 0.0, 1.0),
        told.number("error", 0.0, _LARGEST),
        told.whole("first_stage", 1, 100),
        tuple(str(name) for name in told.items("images")),
        *(told.number(name, 0.0, 1.0) if told.has(name) else 0.0 for name in _CLOSE),
    )


def _file(network: str) -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("napari-sem-classify", appauthor=False) / "int8" / f"{network}.json"
