"""Torch modules of the project. Imports torch: import this module inside functions only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class PooledStages(torch.nn.Module):
    """A ResNet's stages, each averaged over the image and put side by side: the embedding.

    `network` is a torchvision ResNet (`conv1`, `bn1`, `relu`, `maxpool`, `layer1`, `layer2`, …),
    `stages` are those to pool, from 1, in the order of the result.

    Takes (N, 3, H, W) normalised RGB and gives (N, D) float32, whatever the network's precision:
    the means are summed in float32. For a ResNet50 and stages 2, 3 and 4, D is 512 + 1024 + 2048.
    """

    def __init__(self, network: torch.nn.Module, stages: Sequence[int] = (2, 3, 4)) -> None:
        super().__init__()
        self.network = network
        self.stages = checked_stages(network, stages)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed a batch: (N, 3, H, W) to (N, D) float32."""
        net: Any = self.network
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        pooled: dict[int, torch.Tensor] = {}
        for stage in range(1, max(self.stages) + 1):
            x = getattr(net, f"layer{stage}")(x)
            if stage in self.stages:
                pooled[stage] = x.mean(dim=(2, 3), dtype=torch.float32)
        return torch.cat([pooled[stage] for stage in self.stages], dim=1)


def checked_stages(network: torch.nn.Module, stages: Sequence[int]) -> tuple[int, ...]:
    """The stages to pool, if the network has them.

    Raises
    ------
    ValueError
        When there are none, or the network lacks one.
    """
    there = [name for name, _ in network.named_children() if name.startswith("layer")]
    known = range(1, 1 + len(there))
    if not stages or not set(stages) <= set(known):
        raise ValueError(f"stages must be some of {[*known]}, not {tuple(stages)}")
    return tuple(stages)
