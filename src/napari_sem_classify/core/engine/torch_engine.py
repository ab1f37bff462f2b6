"""The engine on torch: NVIDIA GPUs, Apple GPUs and CPUs.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.engine.devices import device_title
from napari_sem_classify.core.engine.network import GreyTrunk
from napari_sem_classify.core.engine.pipeline import PreparingEngine, pad_batch

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

_BATCH_SIZES = {"cpu": 16, "mps": 64, "cuda": 256}
_REFERENCE_PX = 224


class TorchEngine(PreparingEngine):
    """`GreyTrunk` run by torch.

    Parameters
    ----------
    trunk : GreyTrunk
        In float32 on the CPU; taken over, not copied.
    device : torch.device
    dtype : {"float32", "bfloat16", "float16"}
        Of the arithmetic. Features come out in float32.
    """

    def __init__(self, trunk: GreyTrunk, device: torch.device, dtype: str = "float32") -> None:
        super().__init__(
            backend="torch",
            device=device_title(device),
            dtype=dtype,
            batch_size=_batch_size(device, trunk.network_px),
            feature_size=trunk.feature_size,
            network_px=trunk.network_px,
            torch_device=device,
        )
        self._dtype = DTYPES[dtype]
        moved: nn.Module = trunk.to(device, self._dtype)
        self._network = moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # New shapes cost a GPU a new plan; a CPU saves more by not computing the padding.
        self._pads = device.type != "cpu"

    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""
        count = len(prepared)
        if self._pads:
            prepared = pad_batch(prepared, self.batch_size)
        x = prepared.to(self._dtype).contiguous(memory_format=torch.channels_last)
        features: Tensor = self._network(x)
        result: NDArray[np.float32] = features[:count].cpu().numpy()
        return result


def _batch_size(device: torch.device, network_px: int) -> int:
    """Tiles a batch: a fixed number of pixels, so that small inputs fill the device too."""
    tiles = _BATCH_SIZES.get(device.type, 16) * (_REFERENCE_PX / network_px) ** 2
    return int(min(1024, max(8, 2 ** round(np.log2(tiles)))))
