"""What a training comes to: the model, its score on images held out, and its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.record import run_record
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.evaluate import SHORT_HASH, Evaluation
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_choice import AVERAGED, FITTED
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.model.card import ClassInfo, ModelCard, default_colours
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.network.backbone import backbone_sha256

if TYPE_CHECKING:
    from napari_sem_classify.core.finetune.finetune_run import EpochReport


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut(Evaluation):
    """What the finished model says about the images it is scored on.

    Attributes
    ----------
    image : int64, shape (N,)
        Number of the image in the training set; a tile's image where tiles are scored.
    tile : int64, shape (N,)
        The case's first tile in the training set, for showing it.
    """

    image: NDArray[np.int64]
    tile: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A trained model and how it came about.

    Attributes
    ----------
    classifier : TileClassifier
        With the best weights on the images held out for choosing, see `finetune_choice`.
    cancelled : bool
        Whether it was stopped early; the classifier is then the best so far.
    notes : tuple of str
        What the user should know, a sentence each.
    """

    classifier: TileClassifier
    history: tuple[EpochReport, ...]
    held_out: HeldOut
    cancelled: bool
    notes: tuple[str, ...]


def make_card(
    data: TrainingSet,
    split: Split,
    options: FineTuneOptions,
    held_out: HeldOut,
    *,
    network_px: int,
    temperature: float,
    record: Mapping[str, Any],
    seconds: float,
) -> ModelCard:
    """The card of a fine-tuned model, with its score and what it takes to repeat the training."""
    usual = default_colours(len(data.class_names))
    classes = tuple(
        ClassInfo(
            class_name, options.colours.get(class_name, colour), options.contains.get(class_name)
        )
        for class_name, colour in zip(data.class_names, usual, strict=True)
    )
    settings = {
        "preset": asdict(options.preset),
        "time": options.time,
        "tile_px": data.tile_px,
        "whole_images": data.whole_images,
        "crop_rows": None if data.crop is None else str(data.crop),
    }
    method = f"{len(held_out.truth)} held-out {held_out.what}, split {split.how}"
    if np.isin(held_out.image, split.valid).any():
        method += "; they also chose the best epoch and the temperature"
    counts = zip(data.class_names, data.counts.tolist(), strict=True)
    return ModelCard(
        name=options.name,
        classes=classes,
        tile_px=data.tile_px,
        network_px=network_px,
        pixel_size_nm=data.pixel_size_nm,
        backbone_id=options.backbone_id,
        backbone_sha256=backbone_sha256(options.backbone_id),
        intensity=data.recipe,
        stages=options.preset.pooled_stages,
        kind="fine-tuned",
        temperature=temperature,
        scores={"method": method, "speaks_for": split.speaks_for, **held_out.to_dict()},
        record={
            **run_record(job="fine-tune", settings=settings, seconds=seconds),
            **record,
            "data": data.fingerprint(),
            f"{'images' if data.blocks is None else 'tiles'}_per_class": dict(counts),
            "learned_from": learned_from(data, split),
            "split": split.to_dict(),
        },
    ).versioned()


def learned_from(data: TrainingSet, split: Split) -> list[str]:
    """Short sha256 of every image that the model learned from or was chosen on."""
    used = np.concatenate([split.train, split.valid] if len(split.test) else [split.train])
    names = [data.images[image].sha256 for image in used]
    return sorted({name[:SHORT_HASH] for name in names if name is not None})


def kept_sentence(history: Sequence[EpochReport], speaks_for: str) -> str:
    """What was kept of a training and why, in one sentence for the user.

    Parameters
    ----------
    history : sequence of EpochReport
        At least one of them is the best.
    speaks_for : str
        What the images that chose tell of.
    """
    kept = [report for report in history if report.best][-1]
    epochs = [report for report in history if report.phase not in (FITTED, AVERAGED)]
    fitted = [report for report in history if report.phase == FITTED]
    where = f"on {speaks_for or 'images that it did not learn from'}"
    scores = f"macro-F1 {kept.macro_f1:.2f} {where}"
    if kept.turned_f1 is not None:
        scores += f", {kept.turned_f1:.2f} with brightness, gamma, focus and noise turned"
    if kept.phase == FITTED or kept.share == 0:
        said = f"The fitted head is kept: {scores}"
        if not epochs:
            return f"{said}."
        last = epochs[-1]
        both = f" and {last.turned_f1:.2f}" if last.turned_f1 is not None else ""
        return f"{said}; after the last epoch {last.macro_f1:.2f}{both}."
    if kept.share is None or kept.share == 1:
        number = len(epochs) if kept.share == 1 else epochs.index(kept) + 1
        said = f"Epoch {number} of {len(epochs)} at {kept.size} px is kept: {scores}"
    else:
        said = f"Weights {kept.share:.0%} of the way from the fitted head to the last epoch, "
        said += f"at {kept.size} px, are kept: {scores}"
    if not fitted:
        return f"{said}."
    turned = f" and {fitted[0].turned_f1:.2f}" if fitted[0].turned_f1 is not None else ""
    return f"{said}; the fitted head {fitted[0].macro_f1:.2f}{turned}."
