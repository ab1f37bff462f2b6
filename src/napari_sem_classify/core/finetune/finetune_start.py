"""Where a training starts from, and what lies between its start and its end.

The exact head on the network's own features comes first (LP-FT, Kumar et al. 2022, arXiv
2202.10054). Weights on the straight line from there to the trained ones are often better than
either end, most of all on other specimens (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from napari_sem_classify.core.common.errors import Cancelled
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.finetune.finetune_choice import AVERAGED, FEWEST_CASES, FITTED
from napari_sem_classify.core.finetune.finetune_data import PlainBatches, Units
from napari_sem_classify.core.finetune.finetune_look import look, predict
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
from napari_sem_classify.core.finetune.finetune_run import EpochReport, Run
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
    under the head as soon as the training begins. The training starts from there, unless the head
    can only guess then: in that case the batch-norms go back to what they were and stay so. The
    head on the network as it was, the plain one, is what all that follows has to be better than.
    """
    scored = len(valid.tile) + int(run.turned.units.count.sum())
    looks = len(batches.tile) + scored
    if not model.fixed_norms:
        looks += 2 * len(batches.tile) + scored
    reporter = Reporter(looks, "Looking at tiles", run.job)
    _fit(model, batches, reporter)
    report = _score(model, valid, run, 0, 0, FITTED, reporter)
    run.fitted, run.fitted_logits = run.best, run.best_logits
    run.start = run.plain = _head_and_norms(model)
    if not model.fixed_norms:
        _adapt_norms(model, batches, reporter)
        _fit(model, batches, reporter)
        logits = predict(model, valid, reporter)
        if run.choosing.guesses(run.weigh(model, valid, logits, reporter)):
            model.load_state_dict(run.start, strict=False)
            model.fix_norms()
        else:
            run.start = _head_and_norms(model)
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
    is_over: Callable[[], bool] = bool,
) -> None:
    """Choose for good, among the fitted head, the last epoch and weights between.

    Earlier epochs have no say any more: the best of many is partly luck. Where few cases choose the
    last one has none either.

    Parameters
    ----------
    model : TrainedNetwork
        At the end of its training; left with other weights.
    backbone_id : str
        Whose weights it started from.
    valid : PlainBatches
        Tiles that choose, at the last size.
    run : Run
        Knows head and batch-norm statistics of the start. Its reporter is told of every tile,
        `looks_to_choose` times; a wish to stop ends the trying, not the training.
    stage, epoch : int
        The last ones, for the report.
    is_over : callable
        Whether there is no time to look at more; where there was none, the best so far stays.
    """
    end = {k: v.detach().clone() for k, v in model.state_dict().items()}
    trunk = load_backbone(backbone_id).state_dict()
    network = {f"trunk.network.{k}": v for k, v in trunk.items()}
    before = run.best, run.best_size, run.best_state, run.best_logits
    few = run.choosing.plain < FEWEST_CASES
    ways: list[tuple[dict[str, Tensor], float]] = [] if few else [({}, 1.0)]
    ways += [(network | line, share) for line in lines_of(run) for share in SHARES]
    kept = None
    if run.fitted is not None:
        run.take(
            run.fitted, valid.size, {k: v.to(end[k]) for k, v in (network | run.plain).items()}
        )
        run.best_logits = run.fitted_logits
    for number, (start, share) in enumerate(ways):
        if is_over():
            if number == 0:
                run.best, run.best_size, run.best_state, run.best_logits = before
                return
            break
        model.load_state_dict({k: _between(start.get(k), end[k], share) for k in end})
        try:
            report = _score(model, valid, run, stage, epoch, AVERAGED, run.reporter)
        except Cancelled:
            run.cancelled = run.asked_to_stop  # raises again where the window was closed
            if number == 0:
                run.best, run.best_size, run.best_state, run.best_logits = before
                return
            break
        if share == 1:
            run.history[-1] = replace(run.history[-1], turned_f1=report.turned_f1)
        if report.best:
            kept = replace(report, share=share)
    if kept is None:
        fitted = next(report for report in run.history if report.phase == FITTED)
        kept = replace(fitted, stage=stage, epoch=epoch, phase=AVERAGED, best=True, share=0.0)
    run.best_share = kept.share
    _keep(run, kept)


def lines_of(run: Run) -> list[dict[str, Tensor]]:
    """Head and batch-norms of the starts from which lines lead to the end of the training.

    Batch-norms of photographs are the steadier ones, over turned knobs and where tiles are few;
    those that took the statistics of the tiles fit better what is very unlike photographs.
    """
    few = run.choosing.plain < FEWEST_CASES
    return [run.plain] if few or run.start is run.plain else [run.start, run.plain]


def looks_to_choose(run: Run) -> int:
    """How many networks are looked at to choose for good."""
    return len(SHARES) * len(lines_of(run)) + (run.choosing.plain >= FEWEST_CASES)


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
) -> EpochReport:
    """Score and offer the weights."""
    begun = time.perf_counter()
    logits = predict(model, valid, reporter)
    found = run.weigh(model, valid, logits, reporter)
    return EpochReport(
        stage=stage,
        epoch=epoch,
        size=valid.size,
        phase=phase,
        train_loss=float("nan"),
        valid_loss=log_loss(logits.numpy(), valid.label),
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        seconds=time.perf_counter() - begun,
        best=run.offer(model, valid.size, found, logits),
        turned_f1=found.turned_f1,
        choice_loss=run.choosing.loss(found),
    )


def _keep(run: Run, report: EpochReport) -> None:
    run.history.append(report)
    run.tell(report)
