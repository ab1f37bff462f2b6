"""The article's table on the user's own images: every way of training on the same splits.

Rows: Inception-v3 on frozen features without augmentation, as Modarres et al. did; ResNet50 alike;
the article's recipe; this program's own. Two splits: one that keeps near-duplicates and specimens
together, to be believed, and one at random, which most published scores have.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.evaluate import Evaluation
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.comparison import ComparedRow, belonging_together
from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_data import PlainBatches, TrainingTiles, units_of
from napari_sem_classify.core.finetune.finetune_look import look
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import ARTICLE, SEM, Preset
from napari_sem_classify.core.finetune.inception import INPUT_PX, load_inception
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_info
from napari_sem_classify.core.network.engine.devices import find_device
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.teach.logistic import fit_temperature

FROZEN_PX = 224


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is compared, and where it runs.

    Attributes
    ----------
    seeds : tuple of int
        Each preset is trained once with each.
    frozen_px : int
        Input size of the frozen network.
    backbone_id : str
        The network of all rows but Inception-v3's.
    inception : Path or None
        Weights of Inception-v3; see `inception.load_inception`.
    download : bool
        Whether these may be downloaded.
    device, batch_size
        As in `FineTuneOptions`.
    """

    presets: tuple[Preset, ...] = (ARTICLE, SEM)
    seeds: tuple[int, ...] = (0,)
    frozen_px: int = FROZEN_PX
    backbone_id: str = DEFAULT_BACKBONE
    inception: Path | None = None
    download: bool = True
    device: str = "auto"
    batch_size: int | None = None


def compare(
    data: TrainingSet,
    splits: Mapping[str, Split],
    options: CompareOptions,
    *,
    on_row: Callable[[ComparedRow], None] | None = None,
    job: Job | None = None,
) -> tuple[ComparedRow, ...]:
    """Train every way on every split, and score all of a split on the same held-out images.

    `data` is best made with ``largest_px`` of 299 or more, which Inception-v3 takes; `splits` are
    those of `splits_of`; `on_row` is told every row when it is done. Intervals draw images that
    belong together at once, on either split.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    rows: list[ComparedRow] = []
    together = belonging_together(data)
    ways = (_frozen_rows, _trained_rows)
    for row in chain.from_iterable(way(data, splits, options, together, job) for way in ways):
        rows.append(row)
        if on_row is not None:
            on_row(row)
    return tuple(rows)


def _frozen_rows(
    data: TrainingSet,
    splits: Mapping[str, Split],
    options: CompareOptions,
    together: NDArray[np.int64],
    job: Job | None,
) -> Iterator[ComparedRow]:
    """Heads on the frozen features of Inception-v3, and of the network's last and later stages.

    A network looks at every tile once, whatever the number of splits.
    """
    place = find_device(options.device)
    started = time.perf_counter()

    def rows(method: str, seen: _Frozen, last: int = 0) -> Iterator[ComparedRow]:
        # The time is that of looking at all tiles, with which a head's own hardly counts.
        for name, split in splits.items():
            found = seen.evaluation(split, last)
            yield ComparedRow(method, name, None, found, time.perf_counter() - started)

    method = "Inception-v3, frozen, no augmentation (Modarres et al.)"
    try:
        inception = load_inception(options.inception, download=options.download, job=job)
        inception = inception.to(place)
    except ModelError as error:
        for name in splits:
            yield ComparedRow(method, name, None, None, 0.0, str(error))
    else:

        def pooled(grey: Tensor) -> Tensor:
            features: Tensor = inception((2 * grey - 1).expand(-1, 3, -1, -1))
            return features

        yield from rows(method, _Frozen(data, together, pooled, INPUT_PX, place, job))
        del inception
    started = time.perf_counter()
    form = backbone_info(options.backbone_id).architecture
    network = TrainedNetwork(
        options.backbone_id, 2, stages=form.stages[1:], dropout=0.0, fixed_norms=True
    )
    features = network.to(place).eval().features
    seen = _Frozen(data, together, features, options.frozen_px, place, job)
    method = f"{form.name}, frozen, no augmentation, {options.frozen_px} px"
    yield from rows(method, seen, form.feature_sizes[-1])
    yield from rows(f"{method}, stages 2 to 4 as in Teach", seen)


def _trained_rows(
    data: TrainingSet,
    splits: Mapping[str, Split],
    options: CompareOptions,
    together: NDArray[np.int64],
    job: Job | None,
) -> Iterator[ComparedRow]:
    form = backbone_info(options.backbone_id).architecture
    for preset, seed, name in product(options.presets, options.seeds, splits):
        sizes = " to ".join(dict.fromkeys(str(stage.size) for stage in preset.stages))
        started = time.perf_counter()
        how = FineTuneOptions(
            preset=preset,
            device=options.device,
            seed=seed,
            backbone_id=options.backbone_id,
            batch_size=options.batch_size,
        )
        result = fine_tune(data, splits[name], how, job=job)
        if job is not None:
            job.check()
        held = result.held_out
        yield ComparedRow(
            f"{form.name}, preset {preset.name}, {sizes} px, {preset.epochs} epoch"
            + "s" * (preset.epochs != 1),
            name,
            seed,
            replace(held, groups=together[held.image]),
            time.perf_counter() - started,
        )


class _Frozen:
    """Frozen features of all tiles, on which heads are fitted and scored."""

    def __init__(
        self,
        data: TrainingSet,
        together: NDArray[np.int64],
        features: Callable[[Tensor], Tensor],
        size: int,
        device: torch.device,
        job: Job | None,
    ) -> None:
        self.data, self.together, self.size = data, together, size
        self.store = TrainingTiles(data.tiles, device)
        every = self._batches(np.arange(len(data.labels)))
        reporter = Reporter(len(every.tile), "Looking at tiles", job)
        found = look(features, every, reporter).numpy()
        self.features = np.empty_like(found)
        self.features[every.tile] = found

    def _batches(self, images: NDArray[np.int64]) -> PlainBatches:
        return PlainBatches(self.store, units_of(self.data, images), self.size, 32)

    def evaluation(self, split: Split, last: int = 0) -> Evaluation:
        """Score a head on the `last` features, all where 0, on the images held out."""
        parts = (split.train, split.valid, split.scored)
        known, choosing, held = (self._batches(images) for images in parts)
        train, valid, scored = (
            self.features[batches.tile, -last:] for batches in (known, choosing, held)
        )
        head = fit_head(train, known.label, len(self.data.class_names))
        temperature = fit_temperature(head.logits(valid), choosing.label)
        return Evaluation(
            class_names=self.data.class_names,
            truth=held.units.label,
            probabilities=held.unit_means(head.probabilities(scored, temperature)),
            uncalibrated=held.unit_means(head.probabilities(scored)),
            groups=self.together[held.units.image],
            what="images" if self.data.whole_images else "tiles",
        )
