"""What the engines share: tiles are prepared by torch, counted, padded and tried again with less.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sem_classify.core.engine.prepare import stretch_and_resize, to_device
from napari_sem_classify.core.errors import DeviceError
from napari_sem_classify.core.intensity import IntensityRange


class PreparingEngine(ABC):
    """An engine whose tiles are stretched and resized by torch; see `Engine` for the attributes.

    One call at a time: a second thread waits.
    """

    def __init__(
        self,
        *,
        backend: str,
        device: str,
        dtype: str,
        batch_size: int,
        feature_size: int,
        network_px: int,
        torch_device: torch.device,
    ) -> None:
        self.backend = backend
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.feature_size = feature_size
        self.network_px = network_px
        self.torch_device = torch_device
        self._lock = threading.Lock()

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
        features = np.empty((len(batch), self.feature_size), dtype=np.float32)
        with self._lock, torch.inference_mode():
            done = 0
            while done < len(batch):
                part = batch[done : done + self.batch_size]
                try:
                    features[done : done + len(part)] = self.run_network(
                        self.prepare(part, intensity)
                    )
                    done += len(part)
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    if not _is_out_of_memory(error):
                        raise
                    self._use_smaller_batches()
        return features

    def prepare(self, batch: NDArray[Any], intensity: IntensityRange) -> Tensor:
        """Network input on the device, float32, shape (N, 1, network_px, network_px)."""
        raw = to_device(batch, self.torch_device)
        return stretch_and_resize(raw, intensity, self.network_px)

    @abstractmethod
    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""

    def _use_smaller_batches(self) -> None:
        if self.torch_device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch_size == 1:
            raise DeviceError(
                f"{self.device} has not enough free memory for one tile: "
                "close other programs or choose another device."
            )
        self.batch_size = max(1, self.batch_size // 2)


def pad_batch(prepared: Tensor, count: int) -> Tensor:
    """`prepared` with zero tiles behind it, so that it has `count`."""
    missing = count - len(prepared)
    if missing <= 0:
        return prepared
    return torch.cat([prepared, prepared.new_zeros((missing, *prepared.shape[1:]))])


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text
