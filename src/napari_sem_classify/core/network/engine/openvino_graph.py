"""A folded trunk as an OpenVINO model.

The graph is written down layer by layer rather than converted by ``openvino.convert_model``: that
traces the module through torch.jit, which torch is giving up, takes seconds more, and comes with a
telemetry client, while the trunk is nothing but convolutions, sums and poolings.
Imports torch and openvino: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from napari_sem_classify.core.network.engine.network import FoldedBlock, GreyTrunk
from napari_sem_classify.core.network.engine.openvino_quiet import ops, ov

ELEMENT_TYPES = {
    torch.float32: ov.Type.f32,
    torch.bfloat16: ov.Type.bf16,
    torch.float16: ov.Type.f16,
}


Ranges = Mapping[str, float]
"""Largest value of each activation that is quantised, from `quantise.activation_ranges`."""


def build_model(
    trunk: GreyTrunk,
    size: tuple[int, int, int],
    dtype: torch.dtype,
    ranges: Ranges | None = None,
    *,
    maps: bool = False,
) -> Any:
    """Write down `GreyTrunk.forward`, or `GreyTrunk.maps`, for a fixed number of pictures.

    Parameters
    ----------
    trunk : GreyTrunk
        In float32 on the CPU.
    size : (int, int, int)
        Pictures of a batch, their rows and columns.
    dtype : torch.dtype
        Element type of the input; the one for which the trunk was made.
    ranges : mapping, optional
        With it the stages that it names compute in 8-bit integers: weights symmetric with a step
        a filter, activations, which are never negative, from zero to these values.
    maps : bool
        Whether to stop before the pooling.

    Returns
    -------
    openvino.Model
        Takes (N, rows, columns, channels) and gives float32: (N, D), or for each pooled stage a map
        (N, C, rows / n, columns / n).
    """
    source = ops.parameter([*size, trunk.stem.in_channels], ELEMENT_TYPES[dtype])
    x = source if dtype == torch.float32 else ops.convert(source, "f32")
    x = ops.transpose(x, np.array([0, 3, 1, 2]))
    x = ops.relu(_convolution(x, trunk.stem, exact=True))
    pool = trunk.pool
    x = ops.max_pool(
        x,
        strides=[pool.stride] * 2,
        dilations=[1, 1],
        pads_begin=[pool.padding] * 2,
        pads_end=[pool.padding] * 2,
        kernel_shape=[pool.kernel_size] * 2,
    ).output(0)
    found: dict[int, Any] = {}
    for stage, blocks in enumerate(trunk.blocks, start=1):
        stage_ranges = ranges if ranges is not None and f"{stage}.0" in ranges else None
        for number, block in enumerate(cast(nn.Sequential, blocks)):
            entering = _quantised(x, stage_ranges, f"{stage}.{number}")
            x = _block(entering, cast(FoldedBlock, block), stage_ranges, f"{stage}.{number}")
        if stage in trunk.stages:
            found[stage] = x
    results = [found[stage] for stage in trunk.stages]
    if not maps:
        pooled = [ops.reduce_mean(each, np.array([2, 3]), keep_dims=False) for each in results]
        results = [ops.concat(pooled, axis=1)]
    return ov.Model([ops.result(each) for each in results], [source], "trunk")


def _block(x: Any, block: FoldedBlock, ranges: Ranges | None, name: str) -> Any:
    exact = ranges is None
    *first, last = block.layers()
    y = x
    for place, layer in enumerate(first, start=1):
        y = ops.relu(_convolution(y, layer, exact))
        y = _quantised(y, ranges, f"{name}.{place}")
    y = _convolution(y, last, exact)
    if block.take > 1:
        axes = np.array([2, 3])
        step = np.array([block.take] * 2)
        end = np.array([np.iinfo(np.int64).max] * 2)
        x = ops.slice(x, np.array([0, 0]), end, step, axes)
    if isinstance(block.shortcut, nn.Conv2d):
        x = _convolution(x, block.shortcut, exact)
    return ops.relu(ops.add(y, x))


def _quantised(x: Any, ranges: Ranges | None, name: str) -> Any:
    """An activation in 256 steps from zero to its largest value."""
    if ranges is None:
        return x
    low, high = np.float32(0.0), np.float32(ranges[name])
    return ops.fake_quantize(x, low, high, low, high, 256)


def _weight(layer: nn.Conv2d, exact: bool) -> Any:
    weight = layer.weight.detach().contiguous().numpy()
    if exact:
        return ops.constant(weight)
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    largest = np.maximum(largest, np.finfo(np.float32).tiny)
    return ops.fake_quantize(ops.constant(weight), -largest, largest, -largest, largest, 255)


def _convolution(x: Any, layer: nn.Conv2d, exact: bool) -> Any:
    if layer.groups != 1:
        raise ValueError("grouped convolutions are not written down for OpenVINO")
    padding = [int(number) for number in layer.padding]
    y = ops.convolution(
        x,
        _weight(layer, exact),
        strides=list(layer.stride),
        pads_begin=padding,
        pads_end=padding,
        dilations=list(layer.dilation),
    )
    if layer.bias is None:
        return y
    return ops.add(y, ops.constant(layer.bias.detach().numpy()[None, :, None, None]))
