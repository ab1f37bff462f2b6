"""Ranges for 8-bit arithmetic, measured on the user's own tiles.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from napari_sem_classify.core.network.engine.network import FoldedBlock, GreyTrunk

EXACT_STAGES = 1
"""Stages that stay as they are: most of the error would come from the first."""

_LEAST = 1e-6  # so that a layer that is never active does not divide by zero


def activation_ranges(trunk: GreyTrunk, batches: Iterable[Tensor]) -> dict[str, float]:
    """Find from zero to what value each activation has to reach.

    The trunk is in float32, and so are the batches, from `network_input`; at least one tile in all.

    Returns
    -------
    dict
        By "STAGE.BLOCK" (what enters a block) and "STAGE.BLOCK.1", ".2" ... (what enters its
        second, third ... convolution), of the stages after `EXACT_STAGES`.
    """
    found: dict[str, float] = {}

    def note(name: str, values: Tensor) -> None:
        # The largest value of all: to clip even one in ten thousand makes the features far worse.
        found[name] = max(found.get(name, _LEAST), float(values.max()))

    with torch.inference_mode():
        for batch in batches:
            x = trunk.pool(trunk.stem(batch).relu_())
            for stage, blocks in enumerate(trunk.blocks, start=1):
                for number, each in enumerate(cast(nn.Sequential, blocks)):
                    block = cast(FoldedBlock, each)
                    if stage <= EXACT_STAGES:
                        x = block(x)
                        continue
                    note(f"{stage}.{number}", x)
                    *first, last = block.layers()
                    y = x
                    for place, layer in enumerate(first, start=1):
                        y = layer(y).relu_()
                        note(f"{stage}.{number}.{place}", y)
                    x = block.joined(last(y), x)
    return found


def from_stage(ranges: Mapping[str, float], first: int) -> dict[str, float]:
    """Ranges of the stages from `first` on: the others are left as they are."""
    return {name: top for name, top in ranges.items() if int(name.partition(".")[0]) >= first}
