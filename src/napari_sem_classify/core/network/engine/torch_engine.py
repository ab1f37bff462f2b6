"""The engine on torch: NVIDIA GPUs, Apple GPUs and CPUs.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.network.engine.compiled import CompiledInBackground, compiles_on
from napari_sem_classify.core.network.engine.devices import device_title
from napari_sem_classify.core.network.engine.network import GreyTrunk
from napari_sem_classify.core.network.engine.pipeline import (
    DTYPES,
    PreparingEngine,
    pad_batch,
    tiles_per_batch,
)

_TILES_AT_224_PX = {"cpu": 16, "mps": 64, "cuda": 256}


class TorchEngine(PreparingEngine):
    """A ResNet run by torch.

    Parameters
    ----------
    network : Module
        A torchvision ResNet with bottleneck blocks, in float32 on the CPU; it is not changed.
    network_px : int
        Side of the network's input.
    stages : sequence of int
        Stages to pool.
    device : torch.device
    dtype : {"float32", "bfloat16", "float16"}
        Of the arithmetic. Features come out in float32.
    compiles : bool, optional
        Whether the network is compiled in the background, see `compiled`; by default on NVIDIA
        GPUs.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        network_px: int,
        stages: Sequence[int] = (2, 3, 4),
        device: torch.device,
        dtype: str = "float32",
        compiles: bool | None = None,
    ) -> None:
        trunk = GreyTrunk(network, stages, DTYPES[dtype])
        super().__init__(
            trunk,
            network_px=network_px,
            dtype=dtype,
            torch_device=device,
            backend="torch",
            device=device_title(device),
            batch_size=tiles_per_batch(_TILES_AT_224_PX[device.type], network_px),
        )
        trunk.to(device, DTYPES[dtype])
        trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = trunk
        # Apple GPUs share the processor's memory: nothing is saved by copying regions there.
        self.cuts = device.type == "cuda"
        compiles = compiles_on(device) if compiles is None else compiles
        self.compiled = CompiledInBackground(trunk, self._lock) if compiles else None
        # A new shape costs a GPU a new plan and a compiled network a new compilation; a CPU saves
        # more by not computing the padding.
        self._pads = device.type != "cpu" or compiles

    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""
        count = len(prepared)
        if self._pads:
            # Few shapes, without computing a whole batch for a few large tiles.
            prepared = pad_batch(prepared, min(self.batch_size, 1 << (count - 1).bit_length()))
        features: Tensor = (self.compiled or self._network)(prepared)
        result: NDArray[np.float32] = features[:count].cpu().numpy()
        return result

    def run_maps(self, prepared: Tensor) -> list[Tensor]:
        """Maps of the pooled stages of one prepared block."""
        return self._network.maps(prepared)
