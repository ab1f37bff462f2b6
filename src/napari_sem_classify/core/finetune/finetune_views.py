"""Tiles as training sees them: turned, cropped, lit and focused at random.

What is drawn is drawn on the computer, by the seed alone, so that the device does not change it;
what it means for the pixels is worked out on the device. Noise too: a field of normal numbers is
the same everywhere, and a tile takes a window of it that was drawn for it.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_sem_classify.core.finetune.augmentation import Augmentation
from napari_sem_classify.core.network.engine.prepare import resize

LEAST_CROP_PX = 32

TOUCHED = 0.5
"""Share of the tiles that a change of scale, focus, noise or charging touches at all: the network
has to know the tiles as they are, too."""

FIELD_PX = 1024


@dataclass(frozen=True, slots=True)
class Views:
    """How the tiles of a batch are seen.

    Attributes
    ----------
    recipe : Augmentation
        Kinds that are off are not worked out at all.
    side : int
        Of the crops of the batch: they share it, to lie in one tensor.
    moves : int64 Tensor, shape (5, N)
        Whether a tile is turned upside down, left to right, and transposed; first row and column.
    windows : int64 Tensor, shape (4, N)
        First row and column of its noise, and of that of its lines, in the field of noise.
    numbers : float32 Tensor, shape (len(NUMBERS), N)
        By `NUMBERS`.
    field : float32 Tensor, shape (FIELD_PX, FIELD_PX), or None
        Normal numbers, where the recipe has noise.
    """

    recipe: Augmentation
    side: int
    moves: Tensor
    windows: Tensor
    numbers: Tensor
    field: Tensor | None = None

    def number(self, name: str) -> Tensor:
        """A number of each tile, shape (N, 1, 1, 1)."""
        return self.numbers[NUMBERS.index(name)][:, None, None, None]


NUMBERS = (
    "angle",
    "contrast",
    "brightness",
    "exponent",
    "scale",
    "blur",
    "noise",
    "lines",
    "ramp down",
    "ramp right",
)
"""What is drawn for a tile: radians, factors, pixels, and shares of the grey range."""


def draw_views(
    count: int, size: int, recipe: Augmentation, generator: np.random.Generator
) -> Views:
    """Draw how tiles are seen, each its own way.

    As many numbers are drawn whichever kinds are on: one that is switched off leaves the others as
    they were.
    """

    def either_way(most: float) -> NDArray[np.float64]:
        return generator.uniform(-1, 1, count) * most

    def touched() -> NDArray[np.bool_]:
        return generator.random(count) < TOUCHED

    angle = either_way(np.radians(recipe.rotation_deg))
    least = min(size, max(LEAST_CROP_PX, round((1 - recipe.crop) * size)))
    side = int(generator.integers(least, size + 1))
    flip = generator.integers(2, size=(2, count)) * recipe.flips
    turn = generator.integers(4, size=count) * recipe.quarter_turns
    # A turn to the left is a flip and a transposition; to the right with the other flip.
    down, right = flip[0] ^ np.isin(turn, (2, 3)), flip[1] ^ np.isin(turn, (1, 2))
    top, left = generator.integers(size - side + 1, size=(2, count))
    direction = generator.uniform(0, 2 * np.pi, count)
    ramp = touched() * generator.uniform(0, recipe.charging, count)
    numbers = {
        "angle": angle,
        "contrast": np.exp(either_way(np.log1p(recipe.gain))),
        "brightness": either_way(recipe.offset),
        "exponent": np.exp(either_way(np.log1p(recipe.gamma))),
        "scale": np.exp(touched() * either_way(np.log1p(recipe.magnification))),
        "blur": touched() * generator.uniform(0, recipe.defocus_px, count),
        "noise": touched() * generator.uniform(0, recipe.shot_noise, count),
        "lines": touched() * generator.uniform(0, recipe.line_noise, count),
        "ramp down": ramp * np.sin(direction),
        "ramp right": ramp * np.cos(direction),
    }
    windows = generator.integers(FIELD_PX, size=(4, count))
    moves = np.stack([down, right, turn % 2, top, left]).astype(np.int64)
    drawn = np.stack([numbers[name] for name in NUMBERS]).astype(np.float32)
    moved, taken, told = map(torch.from_numpy, (moves, windows.astype(np.int64), drawn))
    return Views(recipe, side, moved, taken, told)


def on_device(views: Sequence[Views], device: torch.device) -> list[Views]:
    """The views of many batches on a device, copied there at once."""
    sizes = [each.moves.shape[1] for each in views]
    moves, windows, numbers = (
        in_parts(torch.cat([getattr(each, name) for each in views], dim=1).to(device), sizes)
        for name in ("moves", "windows", "numbers")
    )
    recipe = views[0].recipe
    noisy = recipe.shot_noise or recipe.line_noise
    field = torch.from_numpy(_field_of_noise()).to(device) if noisy else None
    return [
        Views(recipe, each.side, moved, taken, told, field)
        for each, moved, taken, told in zip(views, moves, windows, numbers, strict=True)
    ]


@cache
def _field_of_noise() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((FIELD_PX, FIELD_PX), dtype=np.float32)


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
    """Tiles as another session at the microscope would have given them, at the training size.

    Scale, focus, charging and noise are changed in the tile's own pixels; then it is resized as in
    use. Flips, quarter turns and crops only move pixels: the network learns from the very textures
    that it will see. A tile of which everything is off is the resized tile, bit for bit.

    Parameters
    ----------
    grey : floating Tensor, shape (N, 1, side, side)
        0 to 1.
    size : int
        Side of a whole tile in the result.
    view : Views
        On the same device.

    Returns
    -------
    Tensor, shape (N, 1, crop, crop)
        0 to 1; `crop` is the view's.
    """
    recipe = view.recipe
    grey = resize(_at_the_microscope(grey, view), size)
    if recipe.rotation_deg:
        grey = _rotated(grey, view.number("angle")[:, 0, 0, 0])
    if recipe.flips or recipe.quarter_turns or view.side < size:
        grey = _moved(grey, view.side, view.moves)
    if recipe.gain or recipe.offset:
        grey = (grey - 0.5) * view.number("contrast") + 0.5 + view.number("brightness")
        grey = grey.clamp(0.0, 1.0)
    return grey


def _at_the_microscope(grey: Tensor, view: Views) -> Tensor:
    """Tiles of another magnification, focus, gamma, charging and noise."""
    recipe, side = view.recipe, grey.shape[-1]
    if recipe.magnification:
        grey = _along_both_axes(_magnifying(view.number("scale")[:, 0].to(grey), side), grey)
    if recipe.defocus_px:
        grey = _along_both_axes(_blurring(view.number("blur")[:, 0].to(grey), side), grey)
    if recipe.gamma:
        grey = grey.clamp(0.0, 1.0) ** view.number("exponent")
    added = []
    if recipe.charging:
        place = (torch.arange(side, device=grey.device) + 0.5) / side - 0.5
        down, right = view.number("ramp down"), view.number("ramp right")
        added.append(down * place[:, None] + right * place)
    if recipe.shot_noise:
        own = _noise(view, 0, side)
        added.append(view.number("noise") * grey.clamp(min=0.0).sqrt() * own)
    if recipe.line_noise:
        lines = _noise(view, 2, side)[..., :1]
        added.append(view.number("lines") * lines)
    return (grey + sum(added)).clamp(0.0, 1.0) if added else grey


def _along_both_axes(weights: Tensor, grey: Tensor) -> Tensor:
    """Apply the same weights, shape (N, side, side), to the rows and to the columns of tiles."""
    return (weights @ grey[:, 0] @ weights.mT)[:, None]


def _magnifying(scale: Tensor, side: int) -> Tensor:
    """Weights that show a tile larger about its middle; linear, antialiased where it shrinks.

    `scale` has the shape (N, 1, 1); the result (N, side, side), rows of which add up to 1. Beyond
    the border the tile is reflected.
    """
    place = torch.arange(side, device=scale.device, dtype=scale.dtype) - (side - 1) / 2
    distance = _distances(place[:, None] / scale + (side - 1) / 2, side)
    width = (1 / scale).clamp(min=1.0)
    return _of_sum_1((1 - distance / width).clamp(min=0.0))


def _blurring(deviation: Tensor, side: int) -> Tensor:
    """Weights of a Gaussian of this standard deviation (N, 1, 1); see `_magnifying`."""
    place = torch.arange(side, device=deviation.device, dtype=deviation.dtype)
    distance = _distances(place[:, None].expand(len(deviation), -1, 1), side)
    # With no blur at all the neighbours' weight is exactly 0.
    return _of_sum_1(torch.exp(-0.5 * (distance / deviation.clamp(min=1e-3)) ** 2))


def _distances(at: Tensor, side: int) -> Tensor:
    """Distance of places (N, side, 1) from the pixels and their two reflections, one after another.

    Shape (N, side, 3 * side).
    """
    pixel = torch.arange(side, device=at.device, dtype=at.dtype)
    return (at - torch.cat([pixel, -1 - pixel, 2 * side - 1 - pixel])).abs()


def _of_sum_1(weights: Tensor) -> Tensor:
    """Weights of the pixels, with those of their reflections added, rows of which add up to 1."""
    count, side, _ = weights.shape
    together = weights.reshape(count, side, 3, side).sum(dim=2)
    return together / together.sum(dim=2, keepdim=True)


def _noise(view: Views, first: int, side: int) -> Tensor:
    """A window of the field of noise for each tile, shape (N, 1, side, side)."""
    assert view.field is not None  # `on_device` brought it with this recipe
    places = torch.arange(side, device=view.windows.device)
    rows = (view.windows[first][:, None] + places) % FIELD_PX
    columns = (view.windows[first + 1][:, None] + places) % FIELD_PX
    return view.field[rows[:, :, None], columns[:, None, :]][:, None]


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


def _rotated(grey: Tensor, angle: Tensor) -> Tensor:
    """Tiles turned about their middle by radians (N,), reflected at the border."""
    cosine, sine = angle.cos().to(grey), angle.sin().to(grey)
    none = torch.zeros_like(sine)
    theta = torch.stack([cosine, -sine, none, sine, cosine, none], dim=1).reshape(-1, 2, 3)
    places = functional.affine_grid(theta, list(grey.shape), align_corners=False)
    return functional.grid_sample(
        grey, places, mode="bilinear", padding_mode="reflection", align_corners=False
    )
