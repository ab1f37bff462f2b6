"""A whole sweep of tiles through a device with memory of its own, several batches on their way.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.dense import TileFeatures
from napari_sem_classify.core.network.embedding_cache import LARGEST_KEPT
from napari_sem_classify.core.network.engine.lanes import Lanes
from napari_sem_classify.core.network.engine.ring import Return, Ring, Staged
from napari_sem_classify.core.network.readout import Readout
from napari_sem_classify.core.tiles.prefetch import prefetch
from napari_sem_classify.core.tiles.tile_source import CutBatch

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.torch_engine import TorchEngine


@dataclass(frozen=True, slots=True)
class _Answer:
    """What comes back of a tile: so many numbers of a type, made of its features on the device."""

    width: int
    dtype: torch.dtype
    of: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch that the device was given, and where its answers will lie."""

    staged: Staged
    back: Return
    out: Tensor


class TileStream:
    """An engine's way to look at all tiles of a sweep.

    A thread stages batches ahead of the device (see `ring`); the caller gives the device the work
    on one while it still has the last ones, and takes what came back two batches before. Neither
    waits for the device, except where it is behind.
    """

    reads_off = True

    def __init__(self, engine: TorchEngine, lanes: Lanes, rings: list[Ring]) -> None:
        self._engine, self._lanes = engine, lanes
        self._rings = rings  # kept from sweep to sweep

    def __call__(
        self,
        batches: Generator[CutBatch, None, None],
        intensity: IntensityRange,
        wanted: type[np.float32] | type[np.float16] | Readout = np.float32,
    ) -> Generator[TileFeatures, None, None]:
        """Answers for batch after batch, in their order.

        Parameters
        ----------
        batches : generator of CutBatch
            Closed at the end, or when this is closed.
        intensity : IntensityRange
            In units of the regions.
        wanted : float32, float16 or Readout
            Features in this type, or what the readout makes of them.

        Raises
        ------
        DeviceError
            When the device has not even enough memory for one tile, or does not answer any more.
        """
        with self._engine.telling(), closing(batches):
            ring = self._ring()
            try:
                yield from self._through(ring, batches, intensity, self._answer(wanted))
            except GeneratorExit:
                # The device may be at work on it: who takes it next waits for that.
                self._rings[:] = [ring]
                raise
            self._rings[:] = [ring]

    def _ring(self) -> Ring:
        try:
            ring = self._rings.pop()
        except IndexError:
            ring = Ring(self._lanes)
        ring.settle()
        return ring

    def _through(
        self,
        ring: Ring,
        batches: Generator[CutBatch, None, None],
        intensity: IntensityRange,
        answer: _Answer,
    ) -> Generator[TileFeatures, None, None]:
        planned = self._engine.planned
        under_way: deque[_UnderWay] = deque()
        free = deque(ring.returns)
        ahead = prefetch(lambda stop: ring.staged(batches, planned, stop), depth=1)
        with closing(ahead):
            for staged in ahead:
                while under_way and (not free or staged.tiles is None):
                    yield _arrived(under_way, free)
                if staged.tiles is None:
                    nothing = np.empty((0, answer.width), np.float32)
                    yield TileFeatures(staged.batch.index, nothing, staged.batch.empty)
                    continue
                back = free.popleft()
                out = self._launch(ring, staged, back, intensity, answer)
                under_way.append(_UnderWay(staged, back, out))
            while under_way:
                yield _arrived(under_way, free)

    def _launch(
        self, ring: Ring, staged: Staged, back: Return, intensity: IntensityRange, answer: _Answer
    ) -> Tensor:
        """Give the device the work on a batch, in parts where its memory lacks."""
        engine, tiles = self._engine, staged.tiles
        assert tiles is not None and staged.slot is not None and staged.cut is not None
        count, planned = len(staged.batch.index), len(tiles)
        ring.work.after(staged.cut)
        with torch.inference_mode():
            out = back.room.of((planned, answer.width), answer.dtype)
            done = 0
            while done < count:
                part = slice(done, min(planned, done + engine.batch_size))
                work = partial(self._look, tiles[part], out[part], intensity, answer)
                with engine.smaller_where_memory_lacks(), engine.lock:
                    ring.work.run(work)
                    done = part.stop
        ring.give_back(staged.slot)
        back.arrived = ring.work.mark()
        return out

    def _look(self, tiles: Tensor, out: Tensor, intensity: IntensityRange, answer: _Answer) -> None:
        with torch.inference_mode():
            features = self._engine.features_of(self._engine.input_of(tiles, intensity))
            out.copy_(answer.of(features), non_blocking=True)

    def _answer(self, wanted: Any) -> _Answer:
        if isinstance(wanted, Readout):
            of = wanted.on(self._engine.torch_device)
            return _Answer(wanted.width, torch.float32, of)
        if wanted is np.float16:
            return _Answer(self._engine.feature_size, torch.float16, _small)
        return _Answer(self._engine.feature_size, torch.float32, lambda features: features)


def _small(features: Tensor) -> Tensor:
    # What is beyond float16 stays a number, and is told by it: see `as_kept`.
    return features.clamp(-LARGEST_KEPT, LARGEST_KEPT).to(torch.float16)


def _arrived(under_way: deque[_UnderWay], free: deque[Return]) -> TileFeatures:
    """What came back of the oldest batch under way."""
    oldest = under_way.popleft()
    batch, back = oldest.staged.batch, oldest.back
    assert back.arrived is not None
    back.arrived.reached()
    values = oldest.out[: len(batch.index)].numpy().copy()
    free.append(back)
    return TileFeatures(batch.index, values, batch.empty)
