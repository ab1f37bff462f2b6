"""What the engines do with a block of an image: resample it, and pool maps over tiles.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sem_classify.core.tiles.dense_blocks import Span

_ROWS_AT_ONCE = 256


def resample(pixels: Tensor, low: float, gain: float, rows: Span, cols: Span) -> Tensor:
    """A block as network px see it: stretched, clipped to 0 to 1, resampled.

    The same antialiased bilinear filter as `prepare.resize` has, laid over the whole image
    instead of a tile.

    Parameters
    ----------
    pixels : Tensor, shape (rows.last - rows.first, cols.last - cols.first)
        Grey values.
    low, gain : float
        Grey value that becomes 0, and what grey values are multiplied with.

    Returns
    -------
    float32 Tensor, shape (rows.stop - rows.start, cols.stop - cols.start)
    """
    if rows.scale == 1.0:
        cut = pixels[
            rows.start - rows.first : rows.stop - rows.first,
            cols.start - cols.first : cols.stop - cols.first,
        ]
        return cut.to(torch.float32).sub(low).mul_(gain).clamp_(0.0, 1.0)
    height, width = rows.stop - rows.start, cols.stop - cols.start
    result = torch.empty((height, width), dtype=torch.float32, device=pixels.device)
    across = [
        _filter(cols, left, min(left + _ROWS_AT_ONCE, width), pixels.device)
        for left in range(0, width, _ROWS_AT_ONCE)
    ]
    for top in range(0, height, _ROWS_AT_ONCE):
        first, weights = _filter(rows, top, min(top + _ROWS_AT_ONCE, height), pixels.device)
        some = pixels[first : first + weights.shape[1]].to(torch.float32)
        some = weights @ some.sub_(low).mul_(gain).clamp_(0.0, 1.0)
        for number, (left, sideways) in enumerate(across):
            at = number * _ROWS_AT_ONCE
            part = some[:, left : left + sideways.shape[1]] @ sideways.T
            result[top : top + len(weights), at : at + len(sideways)] = part
    return result


def pool_tiles(maps: list[Tensor], rows: Span, cols: Span, network_px: int) -> NDArray[np.float32]:
    """Add up what a block's core contributes to each tile's features.

    Parameters
    ----------
    maps : list of Tensors, each (1, C, block height / n, block width / n)
        Of the pooled stages; n is 4, 8, 16 or 32.

    Returns
    -------
    float32, shape (rows' tiles, columns' tiles, all C)
        Sums weighted with the area that tile and map element share, as a share of the tile: added
        up over all cores they are the means over the tiles.
    """
    parts = []
    for each in maps:
        step = (rows.stop - rows.start) // each.shape[2]
        core = each[0].to(torch.float32)[
            :,
            (rows.core_start - rows.start) // step : (rows.core_stop - rows.start) // step,
            (cols.core_start - cols.start) // step : (cols.core_stop - cols.start) // step,
        ]
        down = _shares(rows, step, network_px, each.device)
        along = _shares(cols, step, network_px, each.device)
        pooled = torch.einsum("rh,chw->crw", down, core)
        parts.append(torch.einsum("crw,kw->rkc", pooled, along))
    result: NDArray[np.float32] = torch.cat(parts, dim=2).cpu().numpy()
    return result


def _filter(span: Span, begin: int, end: int, device: torch.device) -> tuple[int, Tensor]:
    """Weights of the antialiased bilinear filter for some of a block's rows (or columns).

    Returns the first pixel in memory that is used, and float32 weights (rows, pixels).
    """
    centres = (np.arange(span.start + begin, span.start + end) + 0.5) / span.scale
    reach = max(1.0, 1.0 / span.scale)
    first = max(span.first, floor(centres[0] - reach))
    last = min(span.last, ceil(centres[-1] + reach))
    distance = np.abs(np.arange(first, last)[None, :] + 0.5 - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    return first - span.first, torch.from_numpy(weights.astype(np.float32)).to(device)


def _shares(span: Span, step: int, network_px: int, device: torch.device) -> Tensor:
    """Share of a tile's side that each map element of the core covers, (tiles, elements)."""
    begin = np.arange(span.core_start, span.core_stop, step, dtype=np.float64)
    low = np.maximum(begin[None, :], span.tiles[:, None])
    high = np.minimum(begin[None, :] + step, span.tiles[:, None] + network_px)
    shares = np.maximum(0.0, high - low) / network_px
    return torch.from_numpy(shares.astype(np.float32)).to(device)
