"""The ResNet as the engines run it: folded, one grey channel in, pooled features out.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from napari_sem_classify.core.network.backbone import IMAGENET, Scaling
from napari_sem_classify.core.network.engine import fold
from napari_sem_classify.core.network.torch_modules import checked_stages

GREY_CENTRE = 0.5
"""Subtracted from grey values 0 to 1 before they enter a `GreyTrunk`."""


class FoldedBlock(nn.Module):
    """A residual block of convolutions with their batch-norms folded.

    With `take` above 1 the result is every `take`-th row and column of the block's result, computed
    without the others.
    """

    def __init__(self, block: nn.Module, take: int = 1) -> None:
        super().__init__()
        parts = dict(block.named_children())
        numbers = range(1, 1 + sum(name.startswith("conv") for name in parts))
        self.convs = nn.ModuleList(_folded(parts[f"conv{n}"], parts[f"bn{n}"]) for n in numbers)
        shortcut = parts.get("downsample")
        self.shortcut: nn.Module = nn.Identity()
        if isinstance(shortcut, nn.Sequential):
            self.shortcut = _folded(shortcut[0], shortcut[1])
        self.take = take
        if take > 1:
            # 1 × 1 convolutions and the sum work pixel by pixel, so what is left out of the result
            # need not be computed after the last larger convolution.
            larger = [each for each in self.layers() if each.kernel_size != (1, 1)]
            rows, columns = larger[-1].stride
            larger[-1].stride = (rows * take, columns * take)

    def layers(self) -> list[nn.Conv2d]:
        """The convolutions in order; after all but the last comes a ReLU."""
        return [cast(nn.Conv2d, each) for each in self.convs]

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (N, C, H, W) in and out."""
        *first, last = self.layers()
        y = x
        for layer in first:
            y = layer(y).relu_()
        return self.joined(last(y), x)

    def joined(self, y: Tensor, x: Tensor) -> Tensor:
        """The block's result of what its last convolution gave and what came in."""
        if self.take > 1:
            x = x[:, :, :: self.take, :: self.take]
        total: Tensor = y.add_(self.shortcut(x))
        return total.relu_()


class GreyTrunk(nn.Module):
    """A ResNet on one grey channel, its stages pooled into features.

    Equals `PooledStages` of the same network on three normalised copies of the grey channel. Takes
    what `network_input` makes.

    In half precision the rounding of the first layer's weights and input would make most of the
    whole network's error, because their large constant parts cancel. So both come in two parts
    there, which costs two channels more in a layer that is a few per cent of the work.

    Parameters
    ----------
    network : Module
        As an `Architecture` builds it, in evaluation mode; it is not changed.
    stages : sequence of int
        Stages to pool, from 1, in the order of the result.
    dtype : torch.dtype
        Arithmetic that the trunk will run in. The weights stay float32: whoever runs it converts.
    channels : int, optional
        Of the input, where more are faster than the 2 or 5 that are needed; the others count
        nothing, whatever is in them.
    """

    def __init__(
        self,
        network: nn.Module,
        stages: Sequence[int] = (2, 3, 4),
        dtype: torch.dtype = torch.float32,
        scaling: Scaling = IMAGENET,
        channels: int | None = None,
    ) -> None:
        super().__init__()
        self.stages = checked_stages(network, stages)
        first = _folded(network.get_submodule("conv1"), network.get_submodule("bn1"))
        grey, constant = fold.fold_grey(first, scaling.mean, scaling.std, GREY_CENTRE)
        parts = [grey, constant]
        if dtype != torch.float32:
            high, low = fold.in_two_parts(grey, dtype)
            parts = [high, low, high, *fold.in_two_parts(constant, dtype)]
        weight = torch.cat(parts, dim=1)
        more = max(0, (channels or 0) - weight.shape[1])
        weight = nn.functional.pad(weight, (0, 0, 0, 0, 0, more))
        self.stem = fold.convolution_like(first, weight, None)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        folded = _folded_stages(network, self.stages)
        self.blocks = nn.ModuleList(nn.Sequential(*blocks) for blocks in folded)
        ends = [folded[stage - 1][-1].layers()[-1] for stage in self.stages]
        self.feature_size = sum(end.out_channels for end in ends)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool network input to features: (N, channels, H, W) to (N, D) float32."""
        pooled = [each.mean(dim=(2, 3), dtype=torch.float32) for each in self.maps(x)]
        return torch.cat(pooled, dim=1)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps of the pooled stages before pooling, in the order of `stages`."""
        x = self.pool(self.stem(x).relu_())
        found: dict[int, Tensor] = {}
        for stage, blocks in enumerate(self.blocks, start=1):
            x = blocks(x)
            if stage in self.stages:
                found[stage] = x
        return [found[stage] for stage in self.stages]


def channels_on(device: torch.device, dtype: torch.dtype) -> int | None:
    """Channels of the input with which the first layer is fastest, for a `GreyTrunk`.

    Tensor cores take half precision in groups of eight channels; of five they get nothing, and the
    first layer alone would take a quarter of the network's time.
    """
    return 8 if device.type == "cuda" and dtype != torch.float32 else None


def network_input(grey: Tensor, dtype: torch.dtype, channels: int | None = None) -> Tensor:
    """Channels that a `GreyTrunk` of `dtype` and `channels` takes, of grey values.

    Parameters
    ----------
    grey : float32 Tensor, shape (N, 1, H, W)
        Grey value 0 to 1, less `GREY_CENTRE`.

    Returns
    -------
    Tensor of `dtype`, shape (N, 2 or 5 or `channels`, H, W), channels last
        Grey and ones in float32; else grey in two parts, the first of them twice, and ones twice;
        then zeros.
    """
    count, _, rows, columns = grey.shape
    needed = 2 if dtype == torch.float32 else 5
    shape = (count, max(needed, channels or 0), rows, columns)
    last = torch.channels_last
    x = torch.empty(shape, dtype=dtype, device=grey.device, memory_format=last)
    x[:, needed:] = 0.0
    if dtype == torch.float32:
        x[:, 0:1] = grey
        x[:, 1] = 1.0
        return x
    high = grey.to(dtype)
    low = (grey - high).to(dtype)
    # One by one and of the same type: together it takes three times as long.
    for channel, values in enumerate((high, high, low)):
        x[:, channel : channel + 1] = values
    for channel in range(3, needed):
        x[:, channel : channel + 1] = 1.0
    return x


def _folded_stages(network: nn.Module, stages: tuple[int, ...]) -> list[list[FoldedBlock]]:
    """Blocks of the stages up to the last pooled one, each computing only what is read of it."""
    originals = [
        list(network.get_submodule(f"layer{stage}").children())
        for stage in range(1, max(stages) + 1)
    ]
    folded: list[list[FoldedBlock]] = []
    for stage, blocks in enumerate(originals, start=1):
        following = originals[stage][0] if stage < len(originals) else None
        take = 1 if stage in stages or following is None else _entry_stride(following)
        made = [FoldedBlock(block) for block in blocks[:-1]] + [FoldedBlock(blocks[-1], take)]
        if stage > 1 and folded[-1][-1].take > 1:
            # The stage before already gives only the pixels that these strides would pick.
            made[0].layers()[0].stride = (1, 1)
            cast(nn.Conv2d, made[0].shortcut).stride = (1, 1)
        folded.append(made)
    return folded


def _entry_stride(block: nn.Module) -> int:
    """Stride with which a block reads its input through 1 × 1 convolutions alone, else 1."""
    parts = dict(block.named_children())
    entry, shortcut = parts["conv1"], parts.get("downsample")
    side = shortcut[0] if isinstance(shortcut, nn.Sequential) else None
    if not isinstance(entry, nn.Conv2d) or not isinstance(side, nn.Conv2d):
        return 1
    plain = entry.kernel_size == side.kernel_size == (1, 1) and entry.stride == side.stride
    return int(entry.stride[0]) if plain else 1


def _folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise TypeError("only convolutions followed by batch-norm can be folded")
    return fold.fold_batchnorm(convolution, norm)
