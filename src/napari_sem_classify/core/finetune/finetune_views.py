"""Tiles as training sees them: turned, flipped, cropped and lit at random.

What is drawn is drawn on the computer, by the seed alone, so that the device does not change it;
what it means for the pixels is worked out on the device.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_sem_classify.core.finetune.finetune_presets import Augmentation
from napari_sem_classify.core.network.engine.prepare import resize

LEAST_CROP_PX = 32


@dataclass(frozen=True, slots=True)
class Views:
    """How the tiles of a batch are seen.

    Attributes
    ----------
    side : int
        Of the crops of the batch: they share it, to lie in one tensor.
    rotated : bool
    moves : int64 Tensor, shape (5, N)
        Whether a tile is turned upside down, left to right, and transposed; first row and column.
    numbers : float32 Tensor, shape (4, N)
        Cosine and sine of the angle that it is rotated by, its contrast and its brightness.
    """

    side: int
    rotated: bool
    moves: Tensor
    numbers: Tensor


def draw_views(
    count: int, size: int, recipe: Augmentation, generator: np.random.Generator
) -> Views:
    """Draw how tiles are seen, each its own way."""
    angle = np.zeros(count)
    if recipe.rotation_deg:
        angle = np.radians(generator.uniform(-1, 1, count) * recipe.rotation_deg)
    least = min(size, max(LEAST_CROP_PX, round(recipe.smallest_crop * size)))
    side = int(generator.integers(least, size + 1))
    flip = generator.integers(2, size=(2, count)) * recipe.flips
    turn = generator.integers(4, size=count) * recipe.quarter_turns
    # A turn to the left is a flip and a transposition; to the right with the other flip.
    down, right = flip[0] ^ np.isin(turn, (2, 3)), flip[1] ^ np.isin(turn, (1, 2))
    top, left = generator.integers(size - side + 1, size=(2, count))
    contrast = np.exp(generator.uniform(-1, 1, count) * np.log1p(recipe.lighting))
    brightness = generator.uniform(-0.5, 0.5, count) * recipe.lighting
    moves = np.stack([down, right, turn % 2, top, left]).astype(np.int64)
    numbers = np.stack([np.cos(angle), np.sin(angle), contrast, brightness]).astype(np.float32)
    rotated = bool(recipe.rotation_deg)
    return Views(side, rotated, torch.from_numpy(moves), torch.from_numpy(numbers))


def on_device(views: Sequence[Views], device: torch.device) -> list[Views]:
    """The views of many batches on a device, copied there at once."""
    sizes = [each.moves.shape[1] for each in views]
    moves = in_parts(torch.cat([each.moves for each in views], dim=1).to(device), sizes)
    numbers = in_parts(torch.cat([each.numbers for each in views], dim=1).to(device), sizes)
    return [
        Views(each.side, each.rotated, mine, theirs)
        for each, mine, theirs in zip(views, moves, numbers, strict=True)
    ]


def in_parts(values: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Pieces of these sizes along the last axis."""
    split: Any = values.split  # torch does not tell its types
    return tuple(split(list(sizes), dim=-1))


def augment(
    grey: Tensor, size: int, recipe: Augmentation, generator: np.random.Generator
) -> Tensor:
    """Tiles seen in ways drawn for them; see `as_seen`."""
    views = draw_views(len(grey), size, recipe, generator)
    return as_seen(grey, size, on_device([views], grey.device)[0])


def as_seen(grey: Tensor, size: int, view: Views) -> Tensor:
    """Turn, flip, crop and light tiles at the training size.

    Tiles are first resized as they are in use, and flips, quarter turns and crops only move
    pixels: the network learns from the very textures that it will see. Only a rotation by another
    angle interpolates.

    Parameters
    ----------
    grey : float32 Tensor, shape (N, 1, side, side)
        0 to 1.
    size : int
        Side of a whole tile in the result.
    view : Views
        On the same device.

    Returns
    -------
    float32 Tensor, shape (N, 1, crop, crop)
        0 to 1; `crop` is the view's.
    """
    grey = resize(grey, size)
    if view.rotated:
        grey = _rotated(grey, view.numbers[0], view.numbers[1])
    grey = _moved(grey, view.side, view.moves)
    contrast, brightness = view.numbers[2:, :, None, None, None]
    lit: Tensor = (grey - 0.5) * contrast + 0.5 + brightness
    return lit.clamp_(0.0, 1.0)


def _moved(grey: Tensor, side: int, moves: Tensor) -> Tensor:
    """A window of each tile, flipped and turned by quarters: pixels move, none is changed."""
    count, size = len(grey), grey.shape[-1]
    down, right, turned, top, left = moves[:, :, None]
    places = torch.arange(side, device=grey.device)
    rows = top + torch.where(down > 0, side - 1 - places, places)
    columns = left + torch.where(right > 0, side - 1 - places, places)
    at = torch.where(
        turned[:, :, None] > 0,
        rows[:, None, :] * size + columns[:, :, None],
        rows[:, :, None] * size + columns[:, None, :],
    )
    index = at.reshape(count, -1)
    return grey.reshape(count, -1).gather(1, index).reshape(count, 1, side, side)


def _rotated(grey: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Tiles turned about their middle, reflected at the border."""
    none = torch.zeros_like(sine)
    theta = torch.stack([cosine, -sine, none, sine, cosine, none], dim=1).reshape(-1, 2, 3)
    places = functional.affine_grid(theta, list(grey.shape), align_corners=False)
    return functional.grid_sample(
        grey, places, mode="bilinear", padding_mode="reflection", align_corners=False
    )
