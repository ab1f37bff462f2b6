"""ResNet50 (He et al. 2016, arXiv 1512.03385) under torchvision's names, without torchvision.

To import torchvision takes longer than to import torch's own part that is needed, and no weights
come from there. Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from torch import Tensor, nn

_BLOCKS = (3, 4, 6, 3)
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolution beside a shortcut.

    Parameters
    ----------
    channels, width : int
        That come in, and of the 3 × 3 convolution; four times as many go out.
    stride : int
    strides_first : bool
        Whether the first convolution has the stride, else the 3 × 3 one.
    """

    def __init__(self, channels: int, width: int, stride: int, *, strides_first: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if strides_first else (1, stride)
        out = width * _EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) in and out."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(y)
        return result


class ResNet50(nn.Module):
    """From (N, 3, H, W) to the last stage's features (N, 2048); `fc` is an identity.

    Parameters
    ----------
    strides_first : bool
        As in `Bottleneck`.
    """

    def __init__(self, *, strides_first: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for stage, count in enumerate(_BLOCKS):
            width, blocks = 64 << stage, []
            for number in range(count):
                stride = 2 if stage and not number else 1
                blocks.append(Bottleneck(channels, width, stride, strides_first=strides_first))
                channels = width * _EXPANSION
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Features of normalised RGB."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, len(_BLOCKS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        result: Tensor = self.fc(self.avgpool(x).flatten(1))
        return result
