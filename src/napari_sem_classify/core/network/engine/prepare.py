"""From raw tiles to network input, the same for every backend.

The reference is: grey values to float32, stretched over the image's range and clipped to 0 to 1,
each tile standardised where the recipe says so, then resized bilinearly with antialiasing
(`torch.nn.functional.interpolate` with ``align_corners=False``).
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sem_classify.core.image.intensity import TILE_SPREAD, TILE_SPREAD_FLOOR, IntensityRange
from napari_sem_classify.core.network.engine.network import GREY_CENTRE


def to_device(tiles: NDArray[Any], device: torch.device) -> Tensor:
    """Raw tiles on the device, in the narrowest type that the device computes with.

    Parameters
    ----------
    tiles : uint8 or uint16, shape (N, H, W) or (H, W)
        May be a strided view.
    """
    if tiles.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"tiles must be uint8 or uint16, not {tiles.dtype}")
    if device.type == "mps" and tiles.dtype == np.uint16:
        tiles = tiles.astype(np.int32)  # Apple GPUs have no unsigned 16-bit arithmetic in torch
    tiles = np.require(tiles, requirements=["C", "W"])  # torch warns about read-only memory
    tensor = torch.from_numpy(tiles)
    if device.type == "cuda":
        # Pinned memory lets the copy run beside the network's work on the tiles before.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def stretch_and_resize(tiles: Tensor, intensity: IntensityRange, network_px: int) -> Tensor:
    """Network input of raw tiles.

    Parameters
    ----------
    tiles : Tensor of uint8, uint16 or int32, shape (N, H, W)
    intensity : IntensityRange
        In units of `tiles`.

    Returns
    -------
    float32 Tensor, shape (N, 1, network_px, network_px)
        Grey value − `GREY_CENTRE`, hence within ±`GREY_CENTRE`.
    """
    grey = tiles.to(torch.float32).sub_(intensity.low)
    grey = grey.mul_(1.0 / (intensity.high - intensity.low)).clamp_(0.0, 1.0).sub_(GREY_CENTRE)
    if intensity.per_tile:
        spread, mean = torch.std_mean(grey, dim=(1, 2), correction=0, keepdim=True)
        gain = TILE_SPREAD / spread.clamp_(min=TILE_SPREAD_FLOOR)
        grey = grey.sub_(mean).mul_(gain).clamp_(-GREY_CENTRE, GREY_CENTRE)
    return resize(grey[:, None], network_px)


def resize(grey: Tensor, side: int) -> Tensor:
    """Resize (N, 1, H, W) float32 to (N, 1, side, side), antialiased where it shrinks."""
    rows, columns = int(grey.shape[2]), int(grey.shape[3])
    if (rows, columns) == (side, side):
        return grey
    if grey.device.type == "mps":
        # Antialiased interpolation is not there on every version for Apple GPUs: multiply with the
        # weights that the CPU's interpolation uses.
        by_row, by_column = (_weights(n, side).to(grey.device) for n in (rows, columns))
        return by_row @ grey @ by_column.T
    return _interpolated(grey, (side, side))


def _weights(length: int, side: int) -> Tensor:
    """Interpolation along one axis as a matrix, shape (side, length)."""
    return _interpolated(torch.eye(length)[None, None], (side, length))[0, 0]


def _interpolated(grey: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.nn.functional.interpolate(
        grey, size=size, mode="bilinear", align_corners=False, antialias=True
    )
