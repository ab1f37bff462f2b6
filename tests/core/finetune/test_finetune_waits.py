"""A training gives a GPU its work without waiting for it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import small, train

from napari_sem_classify.core.finetune import finetune, finetune_turned
from napari_sem_classify.core.finetune.finetune_data import TrainingTiles

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")

WAITS = ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__")
"""What a tensor on a GPU answers only when the GPU is done."""


class HeldTiles(TrainingTiles):
    """Tiles that lie on the device, as on a GPU."""

    def __init__(self, tiles, device):
        super().__init__(tiles, device)
        self._there = torch.from_numpy(np.array(tiles))


@pytest.fixture
def waits(monkeypatch):
    """How often Python asked a tensor for its numbers, or brought one to a device."""
    found = Counter()

    def counted(owner, name):
        usual = getattr(owner, name)

        def call(*args, **kwargs):
            caller = sys._getframe(1).f_code.co_filename
            # fastai's schedule reckons with a few numbers of its own, which lie on no device; and
            # it has a batch sent to the device where that is already.
            elsewhere = caller.endswith("schedule.py")
            if name == "to":
                elsewhere = caller.endswith("torch_core.py") or not isinstance(
                    args[1], torch.device
                )
            if not elsewhere:
                found[name] += 1
            return usual(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    for name in (*WAITS, "to"):
        counted(torch.Tensor, name)
    return found


def test_a_training_of_more_batches_waits_no_oftener(data, split, waits, monkeypatch):
    monkeypatch.setattr(finetune, "TrainingTiles", HeldTiles)
    monkeypatch.setattr(finetune_turned, "TrainingTiles", HeldTiles)
    seen = []
    for batch_size in (8, 2):
        waits.clear()
        preset = replace(small(), head_first=False, average=False)
        train(data, split, preset=preset, batch_size=batch_size)
        seen.append(dict(waits))
    assert seen[0] == seen[1]


def test_tiles_on_the_device_train_the_same_model(data, split, monkeypatch):
    usual = train(data, split).classifier
    monkeypatch.setattr(finetune, "TrainingTiles", HeldTiles)
    held = train(data, split).classifier
    np.testing.assert_array_equal(usual.head.weight, held.head.weight)
