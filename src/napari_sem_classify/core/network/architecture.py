"""Forms of networks: how each is built, and what its stages give.

The engines take a residual network of convolutions, each followed by its batch-norm, under
torchvision's names: a stem (`conv1`, `bn1`, `relu`, `maxpool`) and stages `layer1`, `layer2`, ...,
each of which halves the map of the one before. A network of another form needs a trunk of its own
in `engine.network`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class Architecture:
    """The form of a network, whatever its weights.

    Attributes
    ----------
    build : callable
        Makes the network without its class layer (`fc` is an identity); its weights need not be
        set. It imports torch.
    feature_sizes : tuple of int
        Length of the pooled feature vector of each stage, the first stage first.
    """

    name: str
    build: Callable[[], Module]
    feature_sizes: tuple[int, ...]

    @property
    def stages(self) -> tuple[int, ...]:
        """Numbers of the stages, from 1."""
        return tuple(range(1, len(self.feature_sizes) + 1))

    def feature_size(self, stages: Iterable[int]) -> int:
        """Length of the features of some stages side by side."""
        return sum(self.sizes_of(stages))

    def sizes_of(self, stages: Iterable[int]) -> tuple[int, ...]:
        """Length of the features of each of some stages."""
        return tuple(self.feature_sizes[stage - 1] for stage in stages)


def _resnet50(*, strides_first: bool) -> Module:
    from napari_sem_classify.core.network.resnet import ResNet50

    return ResNet50(strides_first=strides_first)


_SIZES = (256, 512, 1024, 2048)
RESNET50_V1 = Architecture("ResNet50", partial(_resnet50, strides_first=True), _SIZES)
"""Halves in the 1 × 1 convolution, as Keras and He 2016."""

RESNET50_V15 = Architecture("ResNet50", partial(_resnet50, strides_first=False), _SIZES)
"""Halves in the 3 × 3 convolution, as torchvision."""
