"""What is read off a tile's features where they are: a few numbers in place of thousands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """Products of the features with some weights and, where wanted, a distance behind them.

    Attributes
    ----------
    weight : float32, shape (products, features)
    centre, scale : float32, shape (some,), or None
        Of every `step`-th feature: the distance is the root of the mean of
        ``((feature − centre) / scale)²``.
    """

    weight: NDArray[np.float32]
    centre: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None
    step: int = 1

    @property
    def width(self) -> int:
        """Numbers a tile."""
        return len(self.weight) + (self.centre is not None)

    def on(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The same on a device: from features (N, D) to numbers (N, width), both float32."""
        import torch

        weight = torch.from_numpy(self.weight).to(device).T
        if self.centre is None or self.scale is None:
            return lambda features: features @ weight
        centre, scale = (torch.from_numpy(each).to(device) for each in (self.centre, self.scale))

        def read(features: Tensor) -> Tensor:
            apart = (features[:, :: self.step] - centre) / scale
            distance = apart.square().mean(dim=1, keepdim=True).sqrt()
            return torch.cat([features @ weight, distance], dim=1)

        return read
