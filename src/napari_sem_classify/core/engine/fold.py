"""Arithmetic done once on the weights instead of on every tile.

Batch-norm disappears into the convolution before it, and the three equal channels of a grey image
into one. Both are exact up to rounding; the stride fold computes only what a later layer reads.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def fold_batchnorm(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution that equals `convolution` followed by `norm` in evaluation mode.

    The products are formed in float64, since the fold is done once and rounding would stay.

    Parameters
    ----------
    convolution : Conv2d
        Zero padded; a bias is taken along.
    norm : BatchNorm2d
        With running statistics.

    Returns
    -------
    Conv2d
        A new module with a bias, in the dtype of `convolution`; the arguments stay as they are.
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


def convolution_like(
    convolution: nn.Conv2d,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int] | None = None,
) -> nn.Conv2d:
    """A convolution with the geometry of `convolution` and other weights (and stride)."""
    if convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
        raise ValueError("only convolutions padded with zeros by numbers can be folded")
    dtype = convolution.weight.dtype
    folded = nn.Conv2d(
        weight.shape[1] * convolution.groups,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        stride=stride or (convolution.stride[0], convolution.stride[1]),
        padding=(convolution.padding[0], convolution.padding[1]),
        dilation=(convolution.dilation[0], convolution.dilation[1]),
        groups=convolution.groups,
        bias=bias is not None,
        dtype=dtype,
    )
    folded.weight.data = weight.to(dtype)
    if bias is not None and folded.bias is not None:
        folded.bias.data = bias.to(dtype)
    return folded.requires_grad_(False)


def fold_grey(
    convolution: nn.Conv2d,
    mean: Sequence[float],
    std: Sequence[float],
    input_px: int,
    centre: float = 0.5,
) -> tuple[nn.Conv2d, Tensor]:
    """The first layer on one grey channel, and the map that makes it exact up to the border.

    The network normalises a grey value g in each of its three channels, (g − mean) / std, and then
    pads with zeros. A zero of the padding is therefore not a grey value but each channel's mean, so
    the constant part of the result differs near the border: it is a map, not one number a filter.

    Parameters
    ----------
    convolution : Conv2d
        The first layer, batch-norm folded, taking the three normalised channels.
    mean, std : sequences of 3 floats
        Of the grey values 0 to 1, a channel each.
    input_px : int
        Side of the network's input; the map is made for it.
    centre : float
        Subtracted from the grey values by the caller. Values around zero lose less in bfloat16.

    Returns
    -------
    convolution : Conv2d
        Takes (N, 1, `input_px`, `input_px`) of grey value − `centre`; has no bias.
    bias_map : Tensor, shape (1, filters, rows, columns)
        To be added to its result.
    """
    weight = convolution.weight.double()
    means = torch.tensor(list(mean), dtype=torch.float64)[None, :, None, None]
    stds = torch.tensor(list(std), dtype=torch.float64)[None, :, None, None]
    grey = convolution_like(convolution, (weight / stds).sum(dim=1, keepdim=True), None)
    constant = ((centre - means) / stds).expand(1, -1, input_px, input_px)
    bias = None if convolution.bias is None else convolution.bias.double()
    bias_map = nn.functional.conv2d(
        constant,
        weight,
        bias,
        stride=convolution.stride,
        padding=convolution.padding,
        dilation=convolution.dilation,
    )
    return grey, bias_map.to(convolution.weight.dtype)
