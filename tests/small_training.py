"""Trainings small enough for a test."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_presets import make_preset
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE


def small(name="sem", epochs=1, sizes=(32,), **settings):
    return make_preset(name, sizes=sizes, epochs=epochs, **settings)


def train(data, split, **settings):
    settings.setdefault("preset", small())
    settings.setdefault("batch_size", 4)
    return fine_tune(data, split, device="cpu", **settings)


def same(one, other):
    heads = all(
        np.array_equal(getattr(one.head, name), getattr(other.head, name))
        for name in ("mean", "scale", "weight", "bias")
    )
    return heads and all(np.array_equal(one.trunk[name], other.trunk[name]) for name in one.trunk)


def with_fitted_head(data, split):
    import torch

    from napari_sem_classify.core.common.job import Reporter
    from napari_sem_classify.core.finetune.finetune import _Training
    from napari_sem_classify.core.finetune.finetune_choice import cases_that_choose
    from napari_sem_classify.core.finetune.finetune_learner import Run

    job = _Training(data, split, small(), torch.device("cpu"), 0, 4, DEFAULT_BACKBONE)
    choosing = cases_that_choose(data, job.valid.image)
    run = Run("a run", 0, Reporter(1, "Training"), None, None, None, None, choosing)
    job._fit_head(run, None)
    return job, run
