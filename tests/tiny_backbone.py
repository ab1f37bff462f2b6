"""A real backbone so small that the engines, *Teach* and trainings run in milliseconds.

It is a ResNet of four bottleneck blocks, each stage a sixteenth as wide as ResNet50's, with fixed
weights in a file of its own, and stands in the catalogue like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from engine_reference import with_fixed_weights
from labelled_images import grains

from napari_sem_classify.core.network.architecture import Architecture
from napari_sem_classify.core.network.backbone import BACKBONES, IMAGENET, Backbone

TINY = "tiny"
SIZES = (16, 32, 64, 128)
SEED = 17


def tiny_resnet():
    """Four bottleneck blocks, 16 to 128 channels wide."""
    import torch

    from napari_sem_classify.core.network.torchvision_compat import import_torchvision

    import_torchvision()
    from torchvision.models.resnet import Bottleneck, ResNet

    class Narrow(ResNet):
        def _make_layer(self, block, planes, blocks, **settings):
            return super()._make_layer(block, planes // 16, blocks, **settings)

    network = Narrow(Bottleneck, [1, 1, 1, 1])
    network.fc = torch.nn.Identity()
    return network


def grain_weights(network, seed: int = SEED):
    """Weights that tell textures apart: waves of some lengths and directions, then mixed at random.

    Batch-norms have the statistics of noise in grains of 1 to 8 px.
    """
    import torch

    network = with_fixed_weights(network, seed)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.ones_(norm.weight)
        torch.nn.init.zeros_(norm.bias)
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    y, x = torch.meshgrid(*[torch.arange(-3.0, 4.0)] * 2, indexing="ij")
    for k, kernel in enumerate(network.conv1.weight.data):
        angle, length, phase = torch.pi * (k % 8) / 8, (2.0, 3.0, 5.0, 8.0)[k // 8 % 4], k // 32
        along = x * math.cos(angle) + y * math.sin(angle)
        wave = torch.cos(torch.pi * (2 * along / length + phase))
        wave = wave * torch.exp(-2 * (x**2 + y**2) / length**2)
        wave -= wave.mean()
        kernel.copy_(wave / wave.norm())
    noise = [grains(64, 64, grain, 1000 * grain + n) for grain in (1, 2, 3, 5, 8) for n in range(8)]
    grey = torch.from_numpy(np.stack(noise)).float()[:, None].expand(-1, 3, -1, -1) / 255
    with torch.no_grad():
        network.train()((grey - 0.45) / 0.225)
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def write_weights(path: Path, build=tiny_resnet, fill=grain_weights) -> Path:
    """The weights of a network as a safetensors file."""
    from safetensors.torch import save_file

    save_file(fill(build()).state_dict(), path)
    return path


@contextmanager
def known_backbone(
    folder: Path,
    id: str = TINY,
    build=tiny_resnet,
    sizes=SIZES,
    fill=grain_weights,
    scaling=IMAGENET,
) -> Iterator[Backbone]:
    """Put a small network into the catalogue, or in the place of one that is there, for a while."""
    from napari_sem_classify.core.network.engine.factory import forget_engines

    before = BACKBONES.get(id)
    name = "tiny ResNet" if before is None else before.architecture.name
    info = Backbone(
        id=id,
        title="a tiny network" if before is None else before.title,
        architecture=Architecture(name, build, sizes),
        filename=str(write_weights(folder / f"{id}.safetensors", build, fill)),
        sha256="",
        licence="none",
        source="waves and random numbers",
        shipped=True,
        scaling=scaling,
    )
    forget_engines()  # they are kept by the name of their network
    BACKBONES[id] = info
    try:
        yield info
    finally:
        forget_engines()
        if before is None:
            del BACKBONES[id]
        else:
            BACKBONES[id] = before
