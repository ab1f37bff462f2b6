"""What the engines share: tiles are prepared by torch, counted, padded and tried again with less.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.backbone import IMAGENET, Scaling
from napari_sem_classify.core.network.engine.dense_pool import pool_tiles, resample
from napari_sem_classify.core.network.engine.devices import device_title
from napari_sem_classify.core.network.engine.network import (
    GREY_CENTRE,
    GreyTrunk,
    channels_on,
    network_input,
)
from napari_sem_classify.core.network.engine.prepare import stretch_and_resize, to_device
from napari_sem_classify.core.tiles.dense_blocks import Span

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.compiled import CompiledInBackground
    from napari_sem_classify.core.network.engine.request_stream import RequestStream
    from napari_sem_classify.core.network.engine.stream import TileStream

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class PreparingEngine(ABC):
    """An engine whose tiles are stretched and resized by torch; see `Engine` for the attributes.

    One call at a time: a second thread waits for the `lock`.

    Parameters
    ----------
    network : Module
        As an `Architecture` builds it, in float32 on the CPU; it is not changed.
    stages : sequence of int
        Stages to pool.
    dtype : {"float32", "bfloat16", "float16", "int8"}
        Of the arithmetic. Features come out in float32.
    device : torch.device
        Where the tiles are prepared.
    arithmetic : torch.dtype, optional
        For which the tiles are prepared, where `dtype` does not tell.
    """

    backend: str
    compiled: CompiledInBackground | None = None
    tiles_at_224_px: Mapping[str, int]
    """Tiles of a batch on each type of device."""

    def __init__(
        self,
        network: nn.Module,
        *,
        network_px: int,
        stages: Sequence[int] = (2, 3, 4),
        scaling: Scaling = IMAGENET,
        dtype: str = "float32",
        device: torch.device,
        arithmetic: torch.dtype | None = None,
    ) -> None:
        self.arithmetic = arithmetic or DTYPES[dtype]
        self.channels = channels_on(device, self.arithmetic)
        self.trunk = GreyTrunk(network, stages, self.arithmetic, scaling, self.channels)
        self.device = device_title(device)
        self.dtype = dtype
        self.batch_size = tiles_per_batch(self.tiles_at_224_px[device.type], network_px)
        self.feature_size = self.trunk.feature_size
        self.network_px = network_px
        self.torch_device = device
        self.checked: Mapping[str, Any] | None = None
        # Puts better features in the place of some: see `classify.close_calls`.
        self.second_look: Callable[[NDArray[Any], NDArray[Any], IntensityRange], None] | None = None
        self.lock = threading.Lock()

    @property
    def stream(self) -> TileStream | RequestStream | None:
        """See `Engine`."""
        return None

    def embed(self, batch: NDArray[Any], intensity: IntensityRange) -> NDArray[np.float32]:
        """Pooled features of a batch of tiles; see `Engine.embed`.

        A batch larger than `batch_size` is done in parts.

        Raises
        ------
        DeviceError
            When the device has not even enough memory for one tile.
        """
        if batch.ndim != 3:
            raise ValueError(f"a batch has shape (N, H, W), not {batch.shape}")
        features = self._in_parts(len(batch), lambda part: self.embed_part(batch[part], intensity))
        if self.second_look is not None:
            self.second_look(features, batch, intensity)
        return features

    def _in_parts(
        self, count: int, embed: Callable[[slice], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Features of `count` tiles, at most `batch_size` at once, less where memory lacks."""
        features = np.empty((count, self.feature_size), dtype=np.float32)
        with self.telling(), self.lock, torch.inference_mode():
            done = 0
            while done < count:
                part = slice(done, min(count, done + self.batch_size))
                with self.smaller_where_memory_lacks():
                    features[part] = embed(part)
                    done = part.stop
        return features

    @contextmanager
    def smaller_where_memory_lacks(self) -> Iterator[None]:
        """Do with smaller batches from now on where the device has no memory for what is inside.

        Raises
        ------
        DeviceError
            When the device has not even enough memory for one tile.
        """
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if self.torch_device.type == "cuda":
                torch.cuda.empty_cache()
            if self.batch_size == 1:
                raise DeviceError(
                    f"{self.device} has not enough free memory for one tile: "
                    "close other programs or choose another device."
                ) from error
            self.batch_size = max(1, self.batch_size // 2)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell what a failing device says.

        Raises
        ------
        DeviceError
            When the device has no memory, or does not answer any more.
        """
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if _is_out_of_memory(error):
                raise DeviceError(
                    f"{self.device} has not enough free memory: "
                    "close other programs or choose another device."
                ) from error
            if not _is_lost(error):
                raise
            first = str(error).strip().partition("\n")[0]
            raise DeviceError(
                f"{self.device} does not answer any more ({first}): "
                "start the program again, or choose another device."
            ) from error

    def prepare(self, batch: NDArray[Any], intensity: IntensityRange) -> Tensor:
        """Network input on the device, as `network_input` makes it."""
        return self.input_of(to_device(batch, self.torch_device), intensity)

    def input_of(self, raw: Tensor, intensity: IntensityRange) -> Tensor:
        """Network input of raw tiles on the device."""
        grey = stretch_and_resize(raw, intensity, self.network_px)
        return network_input(grey, self.arithmetic, self.channels)

    def embed_part(self, batch: NDArray[Any], intensity: IntensityRange) -> NDArray[np.float32]:
        """Features of at most `batch_size` tiles."""
        return self.run_network(self.prepare(batch, intensity))

    @abstractmethod
    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""

    def run_often(self, prepared: Tensor, times: int) -> None:
        """The bare network on the same batch again and again."""
        for _ in range(times):
            self.run_network(prepared)

    def embed_block(
        self, pixels: NDArray[Any], intensity: IntensityRange, rows: Span, cols: Span
    ) -> NDArray[np.float32]:
        """Features of the tiles in a block; see `Engine.embed_block`.

        Raises
        ------
        DeviceError
            When the device has not enough memory for a block.
        """
        gain = 1.0 / (intensity.high - intensity.low)
        with self.telling(), self.lock, torch.inference_mode():
            try:
                raw = to_device(pixels, self.torch_device)
                grey = resample(raw, intensity.low, gain, rows, cols).sub_(GREY_CENTRE)
                prepared = network_input(grey[None, None], self.arithmetic, self.channels)
                return pool_tiles(self.run_maps(prepared), rows, cols, self.network_px)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                raise DeviceError(
                    f"{self.device} has not enough free memory for a fine (dense) map: "
                    "classify tile by tile instead."
                ) from error

    @abstractmethod
    def run_maps(self, prepared: Tensor) -> list[Tensor]:
        """Maps of the pooled stages of one prepared block, each (1, C, rows, columns)."""


def pad_batch(prepared: Tensor, count: int) -> Tensor:
    """`prepared` with copies of its last tile behind it, so that it has `count`."""
    missing = count - len(prepared)
    if missing <= 0:
        return prepared
    padding = prepared[-1:].expand(missing, -1, -1, -1)
    return torch.cat([prepared, padding]).contiguous(memory_format=torch.channels_last)


def tiles_per_batch(tiles_at_224_px: int, network_px: int) -> int:
    """Tiles with as many pixels in all as these of 224 px, so that small inputs fill a device too.

    A power of two from 8 to 1024.
    """
    tiles = tiles_at_224_px * (224 / network_px) ** 2
    return int(min(1024, max(8, 2 ** round(np.log2(tiles)))))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def _is_lost(error: BaseException) -> bool:
    """Whether a GPU fell away: its driver was renewed, it was unplugged, or it failed."""
    lost = getattr(torch, "AcceleratorError", ())  # torch before 2.8 has none
    return isinstance(error, lost) or "CUDA error" in str(error)
