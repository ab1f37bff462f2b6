"""The article's table on the user's own images: every way of training on one and the same split.

Rows: Inception-v3 on frozen features without augmentation, as Modarres et al. did; ResNet50 alike;
the article's recipe; this program's own.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.evaluate import Evaluation
from napari_sem_classify.core.evaluate.training_set import TrainingSet
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

PUBLISHED = (
    {
        "method": "Modarres et al. 2017: Inception-v3, no augmentation",
        "accuracy": 0.90,
        "macro_precision": 0.80,
        "macro_recall": 0.90,
        "minutes": None,
    },
    {
        "method": "The article 2020: ResNet50, augmentation, 64 to 224 px",
        "accuracy": 0.945,
        "macro_precision": 0.942,
        "macro_recall": 0.918,
        "minutes": 400.0,
    },
)
"""On the ten classes of NFFA-EUROPE, random split with near-duplicates on both sides."""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One way of training, once.

    Attributes
    ----------
    method : str
        For the user.
    seed : int or None
        None where nothing is random.
    evaluation : Evaluation or None
        None where it could not be done.
    problem : str
        Why it could not be done, else "".
    """

    method: str
    seed: int | None
    evaluation: Evaluation | None
    seconds: float
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        row: dict[str, Any] = {
            "method": self.method,
            "seed": self.seed,
            "minutes": self.seconds / 60 if self.evaluation is not None else None,
            "problem": self.problem,
        }
        if self.evaluation is not None:
            found = self.evaluation.to_dict()
            keys = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_f1")
            row |= {key: found[key] for key in keys}
            row["intervals_95"] = found["intervals_95"]
        return row


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
    split: Split,
    options: CompareOptions,
    *,
    on_row: Callable[[ComparedRow], None] | None = None,
    job: Job | None = None,
) -> tuple[ComparedRow, ...]:
    """Train every way on one split and score all on the same held-out images.

    `data` is best made with ``largest_px`` of 299 or more, which Inception-v3 takes; `on_row` is
    told every row when it is done.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    rows: list[ComparedRow] = []
    ways = (_frozen_rows, _trained_rows)
    for row in chain.from_iterable(way(data, split, options, job) for way in ways):
        rows.append(row)
        if on_row is not None:
            on_row(row)
    return tuple(rows)


def _frozen_rows(
    data: TrainingSet, split: Split, options: CompareOptions, job: Job | None
) -> Iterator[ComparedRow]:
    """Heads on the frozen features of Inception-v3, and of the network's last and later stages."""
    place = find_device(options.device)
    started = time.perf_counter()
    method = "Inception-v3, frozen, no augmentation (Modarres et al.)"
    try:
        inception = load_inception(options.inception, download=options.download, job=job)
        inception = inception.to(place)
    except ModelError as error:
        yield ComparedRow(method, None, None, 0.0, str(error))
    else:

        def pooled(grey: Tensor) -> Tensor:
            features: Tensor = inception((2 * grey - 1).expand(-1, 3, -1, -1))
            return features

        seen = _Frozen(data, split, pooled, INPUT_PX, place, job)
        yield ComparedRow(method, None, seen.evaluation(), time.perf_counter() - started)
        del inception
    started = time.perf_counter()
    form = backbone_info(options.backbone_id).architecture
    network = TrainedNetwork(
        options.backbone_id, 2, stages=form.stages[1:], dropout=0.0, fixed_norms=True
    )
    features = network.to(place).eval().features
    seen = _Frozen(data, split, features, options.frozen_px, place, job)
    last, several = seen.evaluation(form.feature_sizes[-1]), seen.evaluation()
    seconds = time.perf_counter() - started
    method = f"{form.name}, frozen, no augmentation, {options.frozen_px} px"
    yield ComparedRow(method, None, last, seconds)
    yield ComparedRow(f"{method}, stages 2 to 4 as in Teach", None, several, seconds)


def _trained_rows(
    data: TrainingSet, split: Split, options: CompareOptions, job: Job | None
) -> Iterator[ComparedRow]:
    form = backbone_info(options.backbone_id).architecture
    for preset, seed in product(options.presets, options.seeds):
        sizes = " to ".join(dict.fromkeys(str(stage.size) for stage in preset.stages))
        started = time.perf_counter()
        how = FineTuneOptions(
            preset=preset,
            device=options.device,
            seed=seed,
            backbone_id=options.backbone_id,
            batch_size=options.batch_size,
        )
        result = fine_tune(data, split, how, job=job)
        if job is not None:
            job.check()
        yield ComparedRow(
            f"{form.name}, preset {preset.name}, {sizes} px, {preset.epochs} epoch"
            + "s" * (preset.epochs != 1),
            seed,
            result.held_out,
            time.perf_counter() - started,
        )


def class_table(data: TrainingSet, split: Split) -> list[dict[str, Any]]:
    """Images of each class in all and on each side of the split."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    n_classes = len(data.class_names)
    counts = {"images": data.counts} | {
        name: np.bincount(data.labels[part], minlength=n_classes) for name, part in parts.items()
    }
    return [
        {"class": name, **{key: int(each[k]) for key, each in counts.items()}}
        for k, name in enumerate(data.class_names)
    ]


class _Frozen:
    """Frozen features of whole tiles, on which heads are fitted and scored."""

    def __init__(
        self,
        data: TrainingSet,
        split: Split,
        features: Callable[[Tensor], Tensor],
        size: int,
        device: torch.device,
        job: Job | None,
    ) -> None:
        store = TrainingTiles(data.tiles, device)
        self.data = data
        self.batches = [
            PlainBatches(store, units_of(data, images), size, 32)
            for images in (split.train, split.valid, split.scored)
        ]
        total = sum(len(some.tile) for some in self.batches)
        reporter = Reporter(total, "Looking at tiles", job)
        self.features = [look(features, some, reporter).numpy() for some in self.batches]

    def evaluation(self, last: int = 0) -> Evaluation:
        """Score a head on the `last` features, all where 0, on the images held out."""
        train, valid, scored = (each[:, -last:] for each in self.features)
        known, choosing, held = self.batches
        head = fit_head(train, known.label, len(self.data.class_names))
        temperature = fit_temperature(head.logits(valid), choosing.label)
        return Evaluation(
            class_names=self.data.class_names,
            truth=held.units.label,
            probabilities=held.unit_means(head.probabilities(scored, temperature)),
            uncalibrated=held.unit_means(head.probabilities(scored)),
            groups=held.units.image,
            what="images" if self.data.whole_images else "tiles",
        )
