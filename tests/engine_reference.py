"""Small real networks, and the plain reference that every engine must equal."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.image.intensity import IntensityRange


def small_resnet(strides: str = "v1", seed: int = 0):
    """A torchvision ResNet of four bottleneck blocks with statistics as after training."""
    import torch

    from napari_sem_classify.core.network.torchvision_compat import import_torchvision

    import_torchvision()
    from torchvision.models.resnet import Bottleneck, ResNet

    network = with_fixed_weights(ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=16), seed)
    if strides == "v1":
        for stage in (network.layer2, network.layer3, network.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    network.fc = torch.nn.Identity()
    return network.eval().requires_grad_(False)


def with_fixed_weights(network, seed: int = 0):
    """A network with random weights and statistics as after training, the same for a seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            size = module.running_mean.shape
            module.running_mean.copy_(0.3 * torch.randn(size, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(size, generator=generator))
            module.weight.data = 0.5 + torch.rand(size, generator=generator)
            module.bias.data = 0.3 * torch.randn(size, generator=generator)
        elif isinstance(module, torch.nn.Conv2d):
            fan_in = module.weight[0].numel()
            normal = torch.randn(module.weight.shape, generator=generator)
            module.weight.data = normal * (2.0 / fan_in) ** 0.5
    return network


def reference(
    network, tiles, intensity: IntensityRange, network_px, stages=(2, 3, 4), scaling=None
):
    """Features by the plain way: three normalised channels, float32, nothing folded."""
    import torch

    from napari_sem_classify.core.network.backbone import IMAGENET
    from napari_sem_classify.core.network.torch_modules import PooledStages

    grey = torch.from_numpy(tiles.astype(np.float32))[:, None]
    grey = ((grey - intensity.low) / (intensity.high - intensity.low)).clamp(0, 1)
    grey = torch.nn.functional.interpolate(
        grey, size=(network_px, network_px), mode="bilinear", align_corners=False, antialias=True
    )
    scaling = scaling or IMAGENET
    mean, std = (torch.tensor(each)[:, None, None] for each in (scaling.mean, scaling.std))
    with torch.inference_mode():
        return PooledStages(network, stages)((grey - mean) / std).numpy()


def relative_error(features, expected) -> float:
    """Largest over the tiles of |features − expected| / |expected|."""
    distance = np.linalg.norm(features - expected, axis=1)
    return float((distance / np.linalg.norm(expected, axis=1)).max())
