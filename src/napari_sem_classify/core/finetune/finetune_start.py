"""Where a training starts from, and what lies between its start and its end.

The exact head on the network's own features comes first (LP-FT, Kumar et al. 2022, arXiv
2202.10054). Weights on the straight line from there to the trained ones are often better than
either end, most of all on other specimens (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.common.errors import Cancelled
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.finetune.finetune_data import PlainBatches, Units
from napari_sem_classify.core.finetune.finetune_learner import (
    AVERAGED,
    FITTED,
    EpochReport,
    Run,
)
from napari_sem_classify.core.finetune.finetune_look import look, mean_probabilities, predict
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
from napari_sem_classify.core.finetune.finetune_time import SHARES
from napari_sem_classify.core.network.backbone import load_backbone
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.teach.logistic import log_loss

PER_CLASS = 300
MOST = 4000


def sample_for_head(units: Units, n_classes: int, seed: int, limit: int | None) -> Units:
    """At most some hundred units of each class, mixed, for the exact head.

    Where there is a `limit` about so many in all, yet no fewer than some of each class.
    """
    most = max(20, min(PER_CLASS, (MOST if limit is None else limit) // n_classes))
    generator = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            generator.permutation(np.flatnonzero(units.label == k))[:most]
            for k in np.unique(units.label)
        ]
    )
    chosen = generator.permutation(chosen)  # batch-norms learn from mixed batches
    return units.some(chosen)


def start_from_exact_head(
    model: TrainedNetwork, batches: PlainBatches, valid: PlainBatches, run: Run
) -> None:
    """Fit the head on the network's features of some tiles, and score it.

    Where the batch-norms are not fixed they then take the statistics of the tiles: those of
    photographs do not fit SEM images (AdaBN, Li et al. 2016, arXiv 1603.04779), and would change
    under the head as soon as the training begins. The training starts from there, unless the plain
    head is clearly better: then the batch-norms go back to what they were and stay so. The plain
    head is kept where nothing that follows is clearly better.
    """
    passes = 1 if model.fixed_norms else 3
    looks = passes * len(batches.tile) + (1 if model.fixed_norms else 2) * len(valid.tile)
    reporter = Reporter(looks, "Looking at tiles", run.job)
    _fit(model, batches, reporter)
    report, plain = _score(model, valid, run, 0, 0, FITTED, reporter)
    run.start, run.fitted = _head_and_norms(model), plain
    if not model.fixed_norms:
        _adapt_norms(model, batches, reporter)
        _fit(model, batches, reporter)
        adapted, said = _score(model, valid, run, 0, 0, FITTED, reporter)
        if run.choosing.clearly_better(plain, said):
            model.load_state_dict(run.start, strict=False)
            model.fix_norms()
        else:
            run.start = _head_and_norms(model)
            report = adapted if adapted.best else report
    _keep(run, report)


def take_to_size(
    model: TrainedNetwork, batches: PlainBatches, job: Job | None, *, fit: bool
) -> None:
    """Let a network see tiles at another size than before, without any learning.

    Pooled features and the statistics of batch-norms shift with the size: those of the tiles at
    the new one take their place. With `fit` the exact head is fitted there, else the head keeps
    its weights.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    looks = (1 + (not model.fixed_norms)) * len(batches.tile)
    reporter = Reporter(looks, f"Looking at tiles at {batches.size} px", job)
    if not model.fixed_norms:
        _adapt_norms(model, batches, reporter)
    if fit:
        _fit(model, batches, reporter)
    else:
        model.head.standardise_by(look(model.eval().features, batches, reporter))


def _head_and_norms(model: TrainedNetwork) -> dict[str, Tensor]:
    return {
        name: value.detach().cpu().clone()
        for name, value in model.state_dict().items()
        if name.startswith("head.") or "running_" in name
    }


def _fit(model: TrainedNetwork, batches: PlainBatches, reporter: Reporter) -> None:
    features = look(model.eval().features, batches, reporter).numpy()
    n_classes = model.head.linear.out_features
    model.head.start_from(fit_head(features, batches.label, n_classes))


def average_with_start(
    model: TrainedNetwork,
    backbone_id: str,
    valid: PlainBatches,
    run: Run,
    *,
    stage: int,
    epoch: int,
) -> None:
    """Score weights between the start and the model's own; the best of them is offered.

    Parameters
    ----------
    model : TrainedNetwork
        At the end of its training; left with other weights.
    backbone_id : str
        Whose weights it started from.
    valid : PlainBatches
        Tiles that choose.
    run : Run
        Knows head and batch-norm statistics of the start. Its reporter is told of every tile,
        `len(SHARES)` times; a wish to stop ends the trying, not the training.
    stage, epoch : int
        The last ones, for the report.
    """
    end = {k: v.detach().clone() for k, v in model.state_dict().items()}
    start = _start_state(backbone_id, run)
    found = []
    for share in SHARES:
        model.load_state_dict({k: _between(start.get(k), end[k], share) for k in end})
        try:
            report, _ = _score(model, valid, run, stage, epoch, AVERAGED, run.reporter)
        except Cancelled:
            run.cancelled = run.asked_to_stop  # raises again where the window was closed
            break
        found.append((report, share))
        if report.best:
            run.best_share = share
    if found:
        _keep(run, max(found, key=lambda each: (each[0].best, each[0].macro_f1))[0])


def _adapt_norms(model: TrainedNetwork, batches: PlainBatches, reporter: Reporter) -> None:
    """Give the trunk's batch-norms the mean statistics of these batches."""
    model.eval()
    norms = [part for part in model.trunk.modules() if isinstance(part, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    with torch.no_grad():
        for grey, _ in batches:
            # At a small size one tile alone has no spread in the last layers.
            model.features(torch.cat([grey, grey]) if len(grey) == 1 else grey)
            reporter.advance(len(grey))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def _start_state(backbone_id: str, run: Run) -> dict[str, Tensor]:
    network = load_backbone(backbone_id).state_dict()
    return {f"trunk.network.{k}": v for k, v in network.items()} | run.start


def _between(start: Tensor | None, end: Tensor, share: float) -> Tensor:
    if start is None or not end.is_floating_point():
        return end
    return torch.lerp(start.to(end), end, share)


def _score(
    model: TrainedNetwork,
    valid: PlainBatches,
    run: Run,
    stage: int,
    epoch: int,
    phase: str,
    reporter: Reporter,
) -> tuple[EpochReport, NDArray[np.int64]]:
    """Score and offer the weights; gives also the class of every case that chooses."""
    begun = time.perf_counter()
    logits = predict(model, valid, reporter)
    probabilities = mean_probabilities(logits, valid)
    predicted = probabilities.argmax(axis=1)
    found = score(valid.units.label, predicted, probabilities.shape[1])
    report = EpochReport(
        stage=stage,
        epoch=epoch,
        size=valid.size,
        phase=phase,
        train_loss=float("nan"),
        valid_loss=log_loss(logits.numpy(), valid.label),
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        seconds=time.perf_counter() - begun,
        best=run.offer(model, valid.size, found.macro_f1, logits, predicted),
    )
    return report, predicted


def _keep(run: Run, report: EpochReport) -> None:
    run.history.append(report)
    run.tell(report)
