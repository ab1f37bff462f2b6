"""Which backend and arithmetic run fastest here, found by a short trial and remembered."""

from __future__ import annotations

import copy
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import read_json
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import ensure_folder, write_json
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.engine.devices import cpu_name

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine
    from napari_sem_classify.core.network.engine.pipeline import PreparingEngine

TRIAL_S = 2.0
"""Aimed length of the timed runs of all settings together."""
TRIAL_TILES = 16
MOST_ROUNDS = 5
QUIET_SHARE = 0.75

_NOISE_RANGE = IntensityRange(0.0, 255.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """A backend and the arithmetic of its network."""

    backend: str
    dtype: str


Maker = Callable[[Setting], "PreparingEngine"]


def fastest(candidates: Sequence[Setting], make: Maker, network_px: int) -> PreparingEngine:
    """Make the engine that was or is measured to be the fastest here.

    The result of a trial is kept in the user's cache folder under the processor, the number of
    cores, the versions and the input size; later processes make the winner at once.

    Parameters
    ----------
    candidates : sequence of Setting
        The likeliest first. Those of the first one's arithmetic take turns; others are made only
        where none of these runs.
    make : callable
        Makes the engine of a setting. A backend that fails here is passed over with a log entry.
    network_px : int
        Side of the network's input, part of the key.

    Raises
    ------
    Exception
        What `make` raised for the last candidate, when it failed for all.
    """
    names = ",".join(f"{item.backend}/{item.dtype}" for item in candidates)
    key = f"{_place(network_px)} | {names}"
    known = _setting(_read().get(key))
    if known in candidates:
        candidates = sorted(candidates, key=lambda setting: setting != known)
    failure: Exception | None = None
    for dtype in dict.fromkeys(setting.dtype for setting in candidates):
        made: dict[Setting, PreparingEngine] = {}
        for setting in candidates:
            if setting.dtype != dtype:
                continue
            try:
                made[setting] = make(setting)
                if setting == known:
                    return made[setting]
                made[setting].embed(noise_tiles(1, network_px), _NOISE_RANGE)
            except Exception as error:  # a backend's own failure, of any kind, must not stop users
                made.pop(setting, None)
                told = "%s in %s does not run here: %s"
                _log.warning(told, setting.backend, setting.dtype, error)
                failure = error
        if len(made) == 1:
            return next(iter(made.values()))
        if made:
            took = dict(zip(made, seconds_a_tile(list(made.values())), strict=True))
            best = min(took, key=took.__getitem__)
            if failure is None:
                told_rates = {f"{s.backend}/{s.dtype}": round(1 / t, 1) for s, t in took.items()}
                _remember(key, {**asdict(best), "tiles_per_s": told_rates})
            return made[best]
    raise failure or ValueError("no candidates")


def times_as_fast(engine: Engine, other: Engine) -> float:
    """How many times as fast as another one of the same network an engine is here.

    Measured once and kept as the results of `fastest` are: the numbers that it computes with do
    not change it.
    """
    known = known_gain(engine.backend, engine.dtype, other, default=0.0)
    if known > 0.0:
        return known
    alone: Any = copy.copy(engine)
    alone.second_look = None  # of noise all tiles may be close calls, or none
    mine, others = seconds_a_tile([alone, other])
    _remember(_gain_key(engine.backend, engine.dtype, other), {"gain": round(others / mine, 3)})
    return others / mine


def known_gain(backend: str, dtype: str, other: Engine, default: float) -> float:
    """What `times_as_fast` found of a setting before, without an engine of it."""
    try:
        return float(_read()[_gain_key(backend, dtype, other)]["gain"])
    except (KeyError, TypeError, ValueError):
        return default


def _gain_key(backend: str, dtype: str, other: Engine) -> str:
    names = f"{backend}/{dtype} against {other.backend}/{other.dtype}"
    return f"{_place(other.network_px)} | {other.feature_size} | {names}"


def seconds_a_tile(engines: Sequence[Engine]) -> list[float]:
    """What a tile of noise takes each of some engines, which take turns.

    The least of a few rounds by the clock, where the cores were free for at least one of the
    engines. Other work takes the cores at random and hits engines unequally: then the processor
    time of all threads, shared among the cores, tells more.
    """
    cores = _cores()
    clock: list[list[float]] = [[] for _ in engines]
    processor: list[list[float]] = [[] for _ in engines]
    noise = [_noise(engine) for engine in engines]
    for engine, tiles in zip(engines, noise, strict=True):
        engine.embed(tiles, _NOISE_RANGE)  # to warm up
    end = time.perf_counter() + TRIAL_S
    for _ in range(MOST_ROUNDS):
        for place, (engine, tiles) in enumerate(zip(engines, noise, strict=True)):
            begin = time.perf_counter(), time.process_time()
            engine.embed(tiles, _NOISE_RANGE)
            clock[place].append((time.perf_counter() - begin[0]) / len(tiles))
            processor[place].append((time.process_time() - begin[1]) / len(tiles))
        if time.perf_counter() >= end:
            break
    by_clock = [max(min(each), 1e-9) for each in clock]
    by_processor = [max(min(each), 1e-9) / cores for each in processor]
    free = max(p / c for p, c in zip(by_processor, by_clock, strict=True))
    return by_clock if free >= QUIET_SHARE else by_processor


def tiles_per_s(
    engine: Engine, tile_px: int, tiles: int, longest_s: float, job: Job | None = None
) -> float:
    """Rate of an engine on a few tiles of noise, by the clock, after one run to warm up.

    Parameters
    ----------
    tile_px, tiles : int
        Side of a tile, and how many.
    longest_s : float
        A first run that takes longer is the only one: to warm up is a small part of it.
    job : Job, optional
        Checked before each run.
    """
    noise = noise_tiles(tiles, tile_px)
    seconds = 0.0
    for _ in range(2):
        if job is not None:
            job.check()
        start = time.perf_counter()
        engine.embed(noise, _NOISE_RANGE)
        seconds = time.perf_counter() - start
        if seconds > longest_s:
            break
    return tiles / max(seconds, 1e-6)


def noise_tiles(count: int, side: int) -> NDArray[np.uint8]:
    """Tiles that hold nothing, to be timed: uint8 of shape (count, side, side)."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


def memory_file() -> Path:
    """Where the results of trials are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-sem-classify", appauthor=False) / "engine_trials.json"


def _noise(engine: Engine) -> NDArray[np.uint8]:
    """As few tiles as give all of an engine's requests something to do."""
    count = max(TRIAL_TILES, getattr(engine, "tiles_at_once", 0))
    return noise_tiles(count, engine.network_px)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _place(network_px: int) -> str:
    """What a rate depends on beside the engine: processor, versions, input size."""
    versions = " ".join(f"{name} {_version(name)}" for name in ("torch", "openvino"))
    processor = f"{cpu_name()} {platform.machine()} × {os.cpu_count()}"
    return f"{processor} | {versions} | {network_px} px"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _read() -> dict[str, dict[str, Any]]:
    try:
        found = read_json(memory_file())
        return {key: dict(entry) for key, entry in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # not there yet, or damaged: the trial is repeated


def _setting(entry: Mapping[str, Any] | None) -> Setting | None:
    try:
        return None if entry is None else Setting(entry["backend"], entry["dtype"])
    except KeyError:
        return None


def _remember(key: str, entry: Mapping[str, Any]) -> None:
    file = memory_file()
    try:
        ensure_folder(file.parent)
        write_json(file, {**_read(), key: dict(entry)})
    except OutputError as error:
        _log.info("the result of the trial is not kept: %s", error)
