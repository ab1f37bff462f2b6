"""How long a training will take, foretold from a short trial on this computer.

Imports torch in its function only.
"""

from __future__ import annotations

import time

from napari_sem_classify.core.finetune.finetune_presets import Preset
from napari_sem_classify.core.finetune.finetune_time import (
    LEARNING,
    LOOKING,
    TimeLeft,
    batch_size_for,
    tile_work,
)

TRIED_TILES, TRIED_PX = 8, 128
MANY, TRIALS = 10_000, 3
Parts = tuple[int, int, int]
"""How many tiles (or images) are learned from, choose, and are scored at the end."""

LOOKS_FOR_HEAD, LOOKS_FOR_SIZE = 3, 2
"""The exact head is fitted; where batch-norms are not fixed they take the statistics of the tiles
and it is fitted again, and the last two are done at every other size."""

MOST_FOR_HEAD = 4000

SHARES = (0.65, 0.15, 0.2)
"""Of the tiles, those to learn from, to choose by and to score on: about what a split gives."""


def trial_rate(device_id: str, backbone_id: str) -> float:
    """Work a second, as `TimeLeft` counts it, of one batch there and back after another.

    Raises
    ------
    DeviceError, ModelError
        When the device or the network cannot be used.
    """
    import torch

    from napari_sem_classify.core.finetune.finetune_network import (
        TrainedNetwork,
        training_arithmetic,
    )
    from napari_sem_classify.core.network.engine.devices import find_device
    from napari_sem_classify.core.teach.teach_options import STAGES

    device = torch.device(find_device(device_id).type)
    arithmetic = training_arithmetic(device)
    model = TrainedNetwork(
        backbone_id, 2, stages=STAGES, dropout=0.0, fixed_norms=True, dtype=arithmetic
    ).to(device)
    # A GPU idles between small batches; a CPU does not, and would take long over large ones.
    batch = TRIED_TILES if device.type == "cpu" else batch_size_for(device.type, TRIED_PX, MANY)
    tiles = torch.rand(batch, 1, TRIED_PX, TRIED_PX, device=device)
    seconds = 0.0
    for _ in range(TRIALS):  # the first ones get the processor ready
        start = time.perf_counter()
        model.train()(tiles).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return LEARNING * batch * tile_work(TRIED_PX) / max(seconds, 1e-6)


def expected_seconds(preset: Preset, tiles: int, device: str, rate: float) -> float:
    """Seconds that a training on so many tiles takes at a rate from `trial_rate`.

    Parameters
    ----------
    device : {"cpu", "mps", "cuda"}
    """
    return work_of(preset, parts_of(tiles), device) / rate


def parts_of(tiles: int) -> Parts:
    """About so many of some tiles are learned from, choose, and are scored."""
    train, valid, test = (max(1, round(share * tiles)) for share in SHARES)
    return train, valid, test


def work_of(preset: Preset, parts: Parts, device: str) -> float:
    """Work of a training on so many tiles to learn from, to choose by, and to score.

    Parameters
    ----------
    device : {"cpu", "mps", "cuda"}
    """
    train, valid, test = parts
    found = TimeLeft(preset, train, valid, device, test).total
    if preset.head_first:
        sample = min(preset.in_epoch(train), MOST_FOR_HEAD)
        *others, last = dict.fromkeys(stage.size for stage in preset.stages)
        times, scored = (1, 1) if preset.fixed_norms else (LOOKS_FOR_HEAD, 2)
        looks = times * sample + scored * preset.to_score(valid)
        found += LOOKING * tile_work(last) * looks
        found += LOOKING * LOOKS_FOR_SIZE * sample * sum(map(tile_work, others))
    return found
