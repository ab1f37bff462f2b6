"""What a whole job is held against: the network at its fastest, and the processor's other work."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.pipeline import PreparingEngine

COMPILED = "the network compiled, input and output on the device"
AS_IT_IS = "the network as it is, input and output on the device"
_TRIES = 3


def bare_rate(engine: PreparingEngine, tile_px: int) -> Callable[[int], float]:
    """Give a function that measures the network alone on a batch that lies on the device.

    It takes a number of tiles and gives tiles per second.
    """
    import torch

    with torch.inference_mode():
        prepared = _prepared(engine, tile_px)

    def rate(n_tiles: int) -> float:
        batches = max(1, round(n_tiles / len(prepared)))
        with torch.inference_mode():
            start = time.perf_counter()
            engine.run_often(prepared, batches)
            return batches * len(prepared) / (time.perf_counter() - start)

    rate(1)
    return rate


def limit_rate(engine: PreparingEngine, tile_px: int) -> tuple[Callable[[int], float] | None, str]:
    """Give a function that measures the fastest that the network can be, and what that is.

    On NVIDIA GPUs the same network, compiled by torch, from a batch on the device to features on
    the device. None elsewhere: there the bare network is that already.
    """
    if engine.torch_device.type != "cuda":
        return None, AS_IT_IS
    import torch

    with torch.inference_mode():
        prepared = _prepared(engine, tile_px)
    trunk: Any = torch.compile(engine.trunk, dynamic=False)
    told = COMPILED
    try:
        with torch.inference_mode():
            trunk(prepared)
    except Exception:  # no compiler, no Triton: of any kind
        trunk, told = engine.trunk, AS_IT_IS

    def rate(n_tiles: int) -> float:
        batches = max(1, round(n_tiles / len(prepared)))
        with torch.inference_mode():
            torch.cuda.synchronize(engine.torch_device)
            start = time.perf_counter()
            for _ in range(batches):
                trunk(prepared)
            torch.cuda.synchronize(engine.torch_device)
            return batches * len(prepared) / (time.perf_counter() - start)

    rate(1)
    return rate, told


def network_ms(engine: PreparingEngine, tile_px: int) -> float:
    """Processor time of the bare network in milliseconds a tile, the least of some runs."""
    import torch

    with torch.inference_mode():
        prepared = _prepared(engine, tile_px)
        return 1000 * _least(lambda: engine.run_network(prepared)) / len(prepared)


def outside_ms(engine: PreparingEngine, classify: Callable[[Any], int]) -> float:
    """Processor time of the whole job without its network, in milliseconds a tile.

    Parameters
    ----------
    classify : callable
        Does the whole job with the engine that it is given; gives the number of tiles.
    """
    import torch

    from napari_sem_classify.core.network.engine.stream import TileStream

    idle: Any = copy.copy(engine)
    idle.second_look = None
    shape = (engine.batch_size, engine.feature_size)
    features = np.random.default_rng(0).random(shape, dtype=np.float32)
    idle.run_network = lambda prepared: features[: len(prepared)]
    if isinstance(idle.stream, TileStream):
        there = torch.from_numpy(features).to(engine.torch_device)
        idle.features_of = lambda prepared: there[: len(prepared)]
    elif idle.stream is not None:

        def start(tiles: Any, seen: Any, out: Any, done: list[None]) -> None:
            out[:] = features[: len(idle.prepare(tiles, seen))]
            done.append(None)

        idle.start, idle.settle = start, lambda: None
    idle.embed_part = lambda batch, seen: idle.run_network(idle.prepare(batch, seen))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # those of several would wait at full speed, with nothing to wait for
    try:
        tiles = classify(idle)
        return 1000 * _least(lambda: classify(idle)) / tiles
    finally:
        torch.set_num_threads(threads)


def _prepared(engine: PreparingEngine, tile_px: int) -> Any:
    from napari_sem_classify.core.image.intensity import IntensityRange
    from napari_sem_classify.core.network.engine.trial import noise_tiles

    return engine.prepare(noise_tiles(engine.batch_size, tile_px), IntensityRange(0.0, 255.0))


def _least(work: Callable[[], Any]) -> float:
    spent = []
    for _ in range(_TRIES):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)
