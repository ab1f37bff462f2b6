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
from napari_sem_classify.core.network.engine.lanes import Lanes, lanes_of
from napari_sem_classify.core.network.engine.pipeline import PreparingEngine, pad_batch
from napari_sem_classify.core.network.engine.ring import Ring
from napari_sem_classify.core.network.engine.stream import TileStream


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
        compiles = compiles_on(device) if compiles is None else compiles
        self.compiled = CompiledInBackground(self.trunk, self.lock) if compiles else None
        # Apple GPUs share the processor's memory: nothing is saved by copying regions there.
        self.lanes: Lanes | None = lanes_of(device) if device.type == "cuda" else None
        self._rings: list[Ring] = []
        # A new shape costs a GPU a new plan and a compiled network a new compilation; a CPU saves
        # more by not computing the padding.
        self._pads = device.type != "cpu" or compiles
        self._plans: set[int] = set()

    @property
    def stream(self) -> TileStream | None:
        """See `Engine`."""
        return None if self.lanes is None else TileStream(self, self.lanes, self._rings)

    def planned(self, count: int) -> int:
        """How many tiles are computed for so many: few different numbers.

        The least that was computed before and is enough, so that the last batch of an image costs
        no new plan; else a power of two, so that a few tiles cost no whole batch.
        """
        if not self._pads:
            return count
        if count > self.batch_size:  # it became smaller since
            return -(-count // self.batch_size) * self.batch_size
        enough = [plan for plan in self._plans if count <= plan <= self.batch_size]
        plan = min(enough, default=min(self.batch_size, 1 << (count - 1).bit_length()))
        self._plans.add(plan)
        return plan

    def features_of(self, prepared: Tensor) -> Tensor:
        """Features of prepared tiles, float32 on the device, which may still be at work on them."""
        features: Tensor = (self.compiled or self.trunk)(prepared)
        return features

    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""
        count = len(prepared)
        padded = pad_batch(prepared, self.planned(count))
        result: NDArray[np.float32] = self.features_of(padded)[:count].cpu().numpy()
        return result

    def run_maps(self, prepared: Tensor) -> list[Tensor]:
        """Maps of the pooled stages of one prepared block."""
        return self.trunk.maps(prepared)
