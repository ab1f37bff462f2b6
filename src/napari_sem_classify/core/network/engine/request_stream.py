"""A whole sweep of tiles through OpenVINO, whose requests never wait for what is done between.

Batch by batch the processor has nothing to compute while the last requests of a batch end and
while what they gave is read off and kept. Here the requests of the next batch run meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.dense import TileFeatures
from napari_sem_classify.core.tiles.tile_source import CutBatch

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch, where its features will lie, and a mark for each request that is done."""

    batch: CutBatch
    features: NDArray[np.float32]
    requests: int
    done: list[None]

    @property
    def arrived(self) -> bool:
        return len(self.done) == self.requests

    def answer(self) -> TileFeatures:
        return TileFeatures(self.batch.index, self.features, self.batch.empty)


class RequestStream:
    """An engine's way to look at all tiles of a sweep; see `TileStream` for the one of GPUs.

    Features always come in float32 and whole: nothing is gained by reading them off elsewhere.
    """

    reads_off = False

    def __init__(self, engine: OpenVinoEngine) -> None:
        self._engine = engine

    def __call__(
        self,
        batches: Generator[CutBatch, None, None],
        intensity: IntensityRange,
        _wanted: Any = np.float32,
    ) -> Generator[TileFeatures, None, None]:
        """Features for batch after batch, in their order.

        Parameters
        ----------
        batches : generator of CutBatch
            Closed at the end, or when this is closed.
        intensity : IntensityRange
            In units of the regions.

        Raises
        ------
        DeviceError
            When the memory does not suffice.
        """
        engine = self._engine
        under_way: deque[_UnderWay] = deque()
        with engine.telling(), closing(batches):
            try:
                for batch in batches:
                    count, size = len(batch.index), engine.request_tiles
                    features = np.empty((count, engine.feature_size), dtype=np.float32)
                    mine = _UnderWay(batch, features, -(-count // size), [])
                    under_way.append(mine)
                    for start, tiles in _cut(batch, size):
                        engine.start(tiles, intensity, features[start : start + size], mine.done)
                        # Not at the end of the batch: the first tiles are soon on the map.
                        while under_way[0].arrived and under_way[0] is not mine:
                            yield under_way.popleft().answer()
                    while not count and under_way:  # nothing but empty tiles
                        engine.settle()
                        yield under_way.popleft().answer()
                engine.settle()
                while under_way:
                    yield under_way.popleft().answer()
            except BaseException:
                with suppress(Exception):  # what made it end is told
                    engine.settle()
                raise


def _cut(batch: CutBatch, size: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Tiles of a batch, `size` at a time, and the place of the first in it."""
    held: list[NDArray[Any]] = []
    begin = filled = 0
    for cut in batch.cuts:
        windows = sliding_window_view(cut.pixels, (batch.tile, batch.tile))
        start = 0
        while start < len(cut.rows):
            some = slice(start, start + size - filled)
            held.append(windows[cut.rows[some], cut.cols[some]])
            start += len(held[-1])
            filled += len(held[-1])
            if filled == size:
                yield begin, held[0] if len(held) == 1 else np.concatenate(held)
                begin, filled, held = begin + size, 0, []
    if held:
        yield begin, np.concatenate(held)
