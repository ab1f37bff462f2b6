"""Which backend and arithmetic run fastest here, found by a short trial and remembered."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.checked import read_json
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import ensure_folder, write_json
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.network.engine.devices import cpu_name

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine
    from napari_sem_classify.core.network.engine.pipeline import PreparingEngine

TRIAL_S = 2.0
TRIAL_TILES = 8

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
        The likeliest first. When `TRIAL_S` seconds are over, those not tried yet are left out.
    make : callable
        Makes the engine of a setting. A backend that fails here is passed over with a log entry.
    network_px : int
        Side of the network's input, part of the key.

    Raises
    ------
    Exception
        What `make` raised for the last candidate, when it failed for all.
    """
    file, key = memory_file(), _key(candidates, network_px)
    known = _read(file).get(key)
    limit = TRIAL_S
    if known in candidates:
        candidates = sorted(candidates, key=lambda setting: setting != known)
        limit = 0.0
    rates: dict[Setting, float] = {}
    best: PreparingEngine | None = None
    failure: Exception | None = None
    start = time.perf_counter()
    for setting in candidates:
        if best is not None and time.perf_counter() - start >= limit:
            break
        try:
            engine = make(setting)
            rate = tiles_per_s(engine) if limit else 1.0
        except Exception as error:  # a backend's own failure, of any kind, must not stop the user
            _log.warning("%s in %s does not run here: %s", setting.backend, setting.dtype, error)
            failure = error
            continue
        if best is None or rate > max(rates.values()):
            best = engine
        rates[setting] = rate
    if best is None:
        raise failure or ValueError("no candidates")
    if limit and len(rates) > 1 and failure is None:
        _remember(file, key, rates)
    return best


def tiles_per_s(
    engine: Engine,
    tile_px: int | None = None,
    tiles: int = TRIAL_TILES,
    longest_s: float = float("inf"),
    job: Job | None = None,
) -> float:
    """Rate of an engine on a few tiles of noise, after one run to warm up.

    Parameters
    ----------
    tile_px : int, optional
        Side of a tile; the network's own input where none is given.
    longest_s : float
        A first run that takes longer is the only one: to warm up is a small part of it.
    job : Job, optional
        Checked before each run.
    """
    import numpy as np

    from napari_sem_classify.core.image.intensity import IntensityRange

    side = tile_px or engine.network_px
    noise = np.random.default_rng(0).integers(0, 256, (tiles, side, side), dtype=np.uint8)
    seconds = 0.0
    for _ in range(2):
        if job is not None:
            job.check()
        start = time.perf_counter()
        engine.embed(noise, IntensityRange(0.0, 255.0))
        seconds = time.perf_counter() - start
        if seconds > longest_s:
            break
    return tiles / max(seconds, 1e-6)


def memory_file() -> Path:
    """Where the results of trials are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-sem-classify", appauthor=False) / "engine_trials.json"


def _key(candidates: Sequence[Setting], network_px: int) -> str:
    names = ",".join(f"{item.backend}/{item.dtype}" for item in candidates)
    versions = " ".join(f"{name} {_version(name)}" for name in ("torch", "openvino"))
    processor = f"{cpu_name()} {platform.machine()} × {os.cpu_count()}"
    return f"{processor} | {versions} | {network_px} px | {names}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _read(file: Path) -> dict[str, Setting]:
    try:
        found = read_json(file)
        return {key: Setting(item["backend"], item["dtype"]) for key, item in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # not there yet, or damaged: the trial is repeated


def _remember(file: Path, key: str, rates: dict[Setting, float]) -> None:
    told = {f"{each.backend}/{each.dtype}": round(rate, 1) for each, rate in rates.items()}
    entry = {**asdict(max(rates, key=rates.__getitem__)), "tiles_per_s": told}
    kept = {name: asdict(item) for name, item in _read(file).items()}
    try:
        ensure_folder(file.parent)
        write_json(file, {**kept, key: entry})
    except OutputError as error:
        _log.info("the result of the trial is not kept: %s", error)
