"""Sizes that follow the tiles, and sizes one after another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import small, train

from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.finetune.finetune import _Training
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import make_preset, sizes_for

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


@pytest.mark.parametrize(
    ("tile_px", "size"), [(None, 224), (1024, 224), (224, 224), (160, 160), (128, 128), (64, 128)]
)
def test_the_default_trains_at_the_tiles_own_size(tile_px, size):
    assert sizes_for(tile_px) == (size,)
    assert [stage.size for stage in make_preset("sem", tile_px=tile_px).stages] == [size]


def test_the_articles_sizes_and_the_users_own_do_not_follow_the_tiles():
    assert [s.size for s in make_preset("article", tile_px=64).stages] == [64, 128, 224]
    assert [s.size for s in make_preset("sem", tile_px=64, sizes=[48]).stages] == [48]


def test_the_fitted_head_is_that_of_the_last_size_and_each_size_begins_with_its_own_statistics(
    data, split
):
    preset = small(sizes=(32, 48))
    result = train(data, split, preset=preset)
    assert [(r.phase, r.size) for r in result.history] == [
        ("fitted head", 48),
        ("all layers", 32),
        ("all layers", 48),
        ("averaged", 48),
    ]
    job = _Training(data, split, FineTuneOptions(preset, batch_size=4), torch.device("cpu"))
    weight = job.model.head.linear.weight.clone()
    seen = {}
    from napari_sem_classify.core.finetune.finetune_start import take_to_size

    for size in (32, 48):
        take_to_size(job.model, job._for_head(size), None, fit=False)
        batches = job._for_head(size)
        with torch.no_grad():
            features = torch.cat([job.model.eval().features(grey) for grey, _ in batches])
            told = job.model.head.standardise(features)
        assert told.mean(dim=0).abs().max() < 1e-3
        seen[size] = features.mean(dim=0)
    assert torch.equal(job.model.head.linear.weight, weight)
    assert not torch.allclose(seen[32], seen[48], atol=1e-2)


def test_a_training_that_is_stopped_between_two_sizes_keeps_the_best_of_the_first(data, split):
    class Stops(Job):
        def __init__(self):
            super().__init__(self.hear)
            self.wanted = False

        def hear(self, progress):
            self.wanted |= progress.stage == "Looking at tiles at 48 px"

        @property
        def cancelled(self):
            return self.wanted

    preset = replace(small(sizes=(32, 48)), average=False)
    result = train(data, split, preset=preset, job=Stops())
    assert result.cancelled
    assert [r.size for r in result.history if r.phase == "all layers"] == [32]
    assert np.isfinite(result.held_out.probabilities).all()
