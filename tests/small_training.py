"""Trainings small enough for a test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import make_preset


def small(name="sem", epochs=1, sizes=(32,), **settings):
    return make_preset(name, sizes=sizes, epochs=epochs, **settings)


def train(data, split, *, on_epoch=None, on_batch=None, job=None, ends_at=None, **settings):
    options = replace(FineTuneOptions(small(), device="cpu", batch_size=4), **settings)
    told = {"on_epoch": on_epoch, "on_batch": on_batch, "job": job}
    return fine_tune(data, split, options, ends_at=ends_at, **told)


def same(one, other):
    heads = all(
        np.array_equal(getattr(one.head, name), getattr(other.head, name))
        for name in ("mean", "scale", "weight", "bias")
    )
    return heads and all(np.array_equal(one.trunk[name], other.trunk[name]) for name in one.trunk)


def with_fitted_head(data, split, preset=None):
    import torch

    from napari_sem_classify.core.common.job import Reporter
    from napari_sem_classify.core.finetune.finetune import _Training
    from napari_sem_classify.core.finetune.finetune_choice import cases_that_choose
    from napari_sem_classify.core.finetune.finetune_run import Run

    job = _Training(
        data, split, FineTuneOptions(preset or small(), batch_size=4), torch.device("cpu")
    )
    choosing = cases_that_choose(data, job.valid.image, job.turned.of)
    run = Run("a run", 0, Reporter(1, "Training"), None, None, None, None, choosing, job.turned)
    job._fit_head(run)
    return job, run
