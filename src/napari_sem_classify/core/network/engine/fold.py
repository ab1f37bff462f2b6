"""Arithmetic done once on the weights instead of on every tile.

Batch-norm disappears into the convolution before it, and the three equal channels of a grey image
into one. Both are exact up to rounding; the stride fold computes only what a later layer reads.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def fold_batchnorm(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution that equals `convolution` followed by `norm` in evaluation mode.

    It is a new module with a bias, in the dtype of `convolution`, which has to be zero padded; a
    bias is taken along. The products are formed in float64, since the fold is done once and
    rounding would stay.

    Raises
    ------
    ValueError
        When the batch-norm has no running statistics, or the padding is another one.
    """
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None:
        raise ValueError("the batch-norm has no running statistics to fold")
    scale = (var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    bias = -mean.double() * scale
    if norm.affine:
        bias = bias + norm.bias.double()
    if convolution.bias is not None:
        bias = bias + convolution.bias.double() * scale
    weight = convolution.weight.double() * scale[:, None, None, None]
    return convolution_like(convolution, weight, bias)


def convolution_like(convolution: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A convolution with the geometry of `convolution` and other weights."""
    if convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
        raise ValueError("only convolutions padded with zeros by numbers can be folded")
    dtype = convolution.weight.dtype
    folded = copy.deepcopy(convolution)
    folded.in_channels = weight.shape[1] * convolution.groups
    folded.weight = nn.Parameter(weight.to(dtype))
    folded.bias = None if bias is None else nn.Parameter(bias.to(dtype))
    return folded.requires_grad_(False)


def fold_grey(
    convolution: nn.Conv2d, mean: Sequence[float], std: Sequence[float], centre: float
) -> tuple[Tensor, Tensor]:
    """Weights of the first layer on one grey channel, exact up to the border.

    The network normalises a grey value g in each of its three channels, (g − mean) / std, and then
    pads with zeros. A zero of the padding is therefore not a grey value but each channel's mean, so
    the constant part of the result is not one number a filter but a map that differs at the border.
    That map is what the layer makes of a channel of ones, padded with zeros like the others:
    ``conv(g − centre, grey) + conv(1, constant)`` equals the convolution with its bias.

    Parameters
    ----------
    convolution : Conv2d
        The first layer, batch-norm folded, on three normalised channels. Its padding must be less
        than its kernel and leave each window's middle inside the image.
    mean, std : sequences of 3 floats
        Of the grey values 0 to 1, a channel each.
    centre : float
        Subtracted from the grey values by the caller. Values around zero lose less in bfloat16.

    Returns
    -------
    grey, constant : float64 Tensors, shape (filters, 1, rows, columns)
        Weights for the channel of grey values − `centre`, and for the channel of ones.
    """
    weight = convolution.weight.double()
    means = torch.tensor(list(mean), dtype=torch.float64)[None, :, None, None]
    stds = torch.tensor(list(std), dtype=torch.float64)[None, :, None, None]
    grey = (weight / stds).sum(dim=1, keepdim=True)
    constant = (weight * ((centre - means) / stds)).sum(dim=1, keepdim=True)
    if convolution.bias is not None:
        # The middle of a window always lies on the image, so its one carries the whole bias.
        rows, columns = convolution.kernel_size
        constant[:, 0, rows // 2, columns // 2] += convolution.bias.double()
    return grey, constant


def in_two_parts(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Values as a sum of two that `dtype` holds, so that together they keep twice its digits."""
    high = values.to(dtype).to(values.dtype)
    low = (values - high).to(dtype).to(values.dtype)
    return high, low
