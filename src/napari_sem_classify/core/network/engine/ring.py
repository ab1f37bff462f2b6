"""Buffers that go round between a reader, a device and whoever takes the results.

One thread stages batches: it copies each region of the image once into pinned memory, from there to
the device, and has the batch's tiles cut out of it there, in a lane of its own. Another gives the
device the work on them, and takes results that come back into pinned memory some batches later.
Nothing is made anew for a batch: buffers are used again when the device is done with them.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sem_classify.core.network.engine.lanes import Lanes, Mark
from napari_sem_classify.core.tiles.tile_source import Cut, CutBatch

STAGED = 3
"""Batches that lie on the device, the one worked on included."""

UPLOADS = 2
_LOOK_S = 0.05


@dataclass(slots=True)
class _Room:
    """Memory that grows where more is asked for than ever before."""

    make: Callable[[int], Tensor]
    bytes_: Tensor | None = None

    def of(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        size = dtype.itemsize * int(np.prod(shape))
        if self.bytes_ is None or len(self.bytes_) < size:
            self.bytes_ = None  # given back before more is taken
            self.bytes_ = self.make(size)
        return self.bytes_[:size].view(dtype).view(shape)


@dataclass(slots=True)
class _Upload:
    """Pinned memory for a region, and where the device is done with it."""

    room: _Room
    copied: Mark | None = None


@dataclass(slots=True)
class Slot:
    """A batch's tiles on the device; `used` is where the device is done with them."""

    tiles: _Room
    places_here: _Room
    places: _Room
    used: Mark | None = None


@dataclass(slots=True)
class Staged:
    """A batch whose tiles are being cut on the device.

    Attributes
    ----------
    tiles : uint8 or uint16 Tensor, shape (planned, tile, tile), or None
        On the device; copies of the last tile behind the batch's own. None where it has none.
    cut : Mark
        Where they are ready.
    """

    batch: CutBatch
    slot: Slot | None = None
    tiles: Tensor | None = None
    cut: Mark | None = None


@dataclass(slots=True)
class Return:
    """Pinned memory for results on their way back."""

    room: _Room
    arrived: Mark | None = None


class Ring:
    """The buffers of one sweep at a time, with the lanes that fill and use them."""

    def __init__(self, lanes: Lanes) -> None:
        self.copies, self.work = lanes.lane(), lanes.lane()
        pinned, there = lanes.pinned, self.copies.room
        self.returns = [Return(_Room(pinned)) for _ in range(STAGED)]
        self._uploads = deque(_Upload(_Room(pinned)) for _ in range(UPLOADS))
        self._region = _Room(there)
        self._current: tuple[NDArray[Any], Tensor] | None = None
        self._slots = [Slot(_Room(there), _Room(pinned), _Room(there)) for _ in range(STAGED)]
        self._free: SimpleQueue[Slot] = SimpleQueue()

    def staged(
        self,
        batches: Iterable[CutBatch],
        planned: Callable[[int], int],
        stop: Callable[[], bool],
    ) -> Generator[Staged, None, None]:
        """Stage batch after batch, as far ahead as there is room.

        Parameters
        ----------
        batches : iterable of CutBatch
        planned : callable
            For so many tiles as how many they are computed.
        stop : callable
            Tells whether nobody wants more.
        """
        for batch in batches:
            if not len(batch.index):
                yield Staged(batch)
                continue
            slot = self._slot(stop)
            if slot is None:
                return
            yield self._stage(batch, slot, planned(len(batch.index)))

    def give_back(self, slot: Slot) -> None:
        """The work on a batch is given to the device: its memory is free behind that."""
        slot.used = self.work.mark()
        self._free.put(slot)

    def settle(self) -> None:
        """Wait until the device is done with what a sweep gave it, maybe cancelled; begin anew."""
        self._current = None
        for lane in (self.copies, self.work):
            lane.mark().reached()
        # Those that lay staged when nobody wanted more were not given back.
        self._free = SimpleQueue()
        for slot in self._slots:
            self._free.put(slot)

    def _slot(self, stop: Callable[[], bool]) -> Slot | None:
        while not stop():
            try:
                slot = self._free.get(timeout=_LOOK_S)
            except Empty:
                continue
            if slot.used is not None:
                slot.used.reached()
            return slot
        return None

    @torch.inference_mode()
    def _stage(self, batch: CutBatch, slot: Slot, planned: int) -> Staged:
        tiles = slot.tiles.of((planned, batch.tile, batch.tile), _torch_type(batch.cuts[0].pixels))
        here = slot.places_here.of((2, planned), torch.int64)
        places = slot.places.of((2, planned), torch.int64)
        here.numpy()[:] = _places(batch.cuts, planned)
        self.copies.run(partial(places.copy_, here, non_blocking=True))
        start = 0
        for number, cut in enumerate(batch.cuts, start=1):
            end = planned if number == len(batch.cuts) else start + len(cut.rows)
            region = self._on_device(cut.pixels)
            self.copies.run(partial(_cut, region, places[:, start:end], tiles[start:end]))
            start = end
        if tiles.dtype == torch.int16:
            tiles = tiles.view(torch.uint16)
        return Staged(batch, slot, tiles, self.copies.mark())

    def _on_device(self, pixels: NDArray[Any]) -> Tensor:
        """A region on the device, copied there unless it is the last one again."""
        if self._current is not None and self._current[0] is pixels:
            return self._current[1]
        upload = self._uploads[0]
        self._uploads.rotate()
        if upload.copied is not None:
            upload.copied.reached()
        here = upload.room.of(pixels.shape, _torch_type(pixels))
        np.copyto(here.numpy(), pixels.view(here.numpy().dtype))
        # The lane cuts what is wanted of the last region before it copies this one over it.
        there = self._region.of(pixels.shape, here.dtype)
        self.copies.run(partial(there.copy_, here, non_blocking=True))
        upload.copied = self.copies.mark()
        self._current = (pixels, there)
        return there


def _cut(region: Tensor, places: Tensor, out: Tensor) -> None:
    """Tiles out of a region into `out`, shape (N, tile, tile), without memory of their own."""
    tile = out.shape[1]
    windows = region.unfold(0, tile, 1).unfold(1, tile, 1)
    torch.ops.aten.index.Tensor_out(windows, [places[0], places[1]], out=out)


def _torch_type(pixels: NDArray[Any]) -> torch.dtype:
    """uint16 travels as int16: the same bits, in a type that can be indexed anywhere."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"regions must be uint8 or uint16, not {pixels.dtype}")
    return torch.int16 if pixels.dtype == np.uint16 else torch.uint8


def _places(cuts: tuple[Cut, ...], planned: int) -> NDArray[np.int64]:
    """First row and column of each tile in its region, the last one again up to `planned`."""
    places = np.stack(
        [np.concatenate([cut.rows for cut in cuts]), np.concatenate([cut.cols for cut in cuts])]
    )
    missing = planned - places.shape[1]
    return np.pad(places, ((0, 0), (0, missing)), mode="edge")
