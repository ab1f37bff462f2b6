"""The engine on torch: NVIDIA GPUs, Apple GPUs and CPUs.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.network.engine.compiled import CompiledInBackground, compiles_on
from napari_sem_classify.core.network.engine.pipeline import PreparingEngine, pad_batch


class TorchEngine(PreparingEngine):
    """A network run by torch; see `PreparingEngine`.

    Parameters
    ----------
    **shared
        As for `PreparingEngine`.
    compiles : bool, optional
        Whether the network is compiled in the background, see `compiled`; by default on NVIDIA
        GPUs.
    """

    backend = "torch"
    tiles_at_224_px: Mapping[str, int] = {"cpu": 16, "mps": 64, "cuda": 256}

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        compiles: bool | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(network, device=device, **shared)
        self.trunk.to(device, self.arithmetic)
        self.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Apple GPUs share the processor's memory: nothing is saved by copying regions there.
        self.cuts = device.type == "cuda"
        compiles = compiles_on(device) if compiles is None else compiles
        self.compiled = CompiledInBackground(self.trunk, self._lock) if compiles else None
        # A new shape costs a GPU a new plan and a compiled network a new compilation; a CPU saves
        # more by not computing the padding.
        self._pads = device.type != "cpu" or compiles

    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""
        count = len(prepared)
        if self._pads:
            # Few shapes, without computing a whole batch for a few large tiles.
            prepared = pad_batch(prepared, min(self.batch_size, 1 << (count - 1).bit_length()))
        features: Tensor = (self.compiled or self.trunk)(prepared)
        result: NDArray[np.float32] = features[:count].cpu().numpy()
        return result

    def run_maps(self, prepared: Tensor) -> list[Tensor]:
        """Maps of the pooled stages of one prepared block."""
        return self.trunk.maps(prepared)
