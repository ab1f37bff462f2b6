"""``train`` and ``evaluate``: a model from labelled images, and how good it is on others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sem_classify.cli import labelled
from napari_sem_classify.cli.shared_options import (
    Backend,
    Device,
    FramePx,
    Json,
    Network,
    Over,
    recipe_of,
)
from napari_sem_classify.cli.shell import complain, report, table, working
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_path

if TYPE_CHECKING:
    from napari_sem_classify.core.evaluate.dataset_split import Split
    from napari_sem_classify.core.evaluate.evaluate import Evaluation
    from napari_sem_classify.core.evaluate.training_set import TrainingSet
    from napari_sem_classify.core.finetune.finetune_result import FineTuned
    from napari_sem_classify.core.finetune.finetune_run import EpochReport

STOPPED = "Stopped; no model was written."


def train(
    source: labelled.Source,
    out: Annotated[Path, typer.Option("--out", metavar="M", help="Model file to write.")],
    time: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="NAME",
            help="minute, coffee (10 minutes) or overnight: sizes and epochs are chosen so that "
            "it ends in time.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="sem (this program's) or article."),
    ] = None,
    sizes: labelled.Sizes = None,
    epochs: labelled.Epochs = None,
    tile: labelled.CutTile = None,
    crop_rows: labelled.CropRows = None,
    recipe: Over = "image",
    frame_px: FramePx = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the split and all that is random.")] = 0,
    batch: labelled.BatchSize = None,
    augment: labelled.Augment = None,
    mixup: Annotated[
        float, typer.Option("--mixup", metavar="A", help="Mix tiles and their classes; 0: not.")
    ] = 0.0,
    patience: Annotated[
        int | None,
        typer.Option("--patience", metavar="N", help="Stop after N epochs without progress."),
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Look for the learning rate before training.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name; its file's name by default.")
    ] = None,
    network: Network = DEFAULT_BACKBONE,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fine-tune a network on labelled images, and score it on images held out.

    Images of one group, copies and overlapping frames never lie on both sides of the split. Ctrl+C
    keeps the best model so far. A training that was killed goes on when the same command is given.
    """
    begun = perf_counter()
    chosen = {"--preset": preset, "--sizes": sizes, "--epochs": epochs, "--patience": patience}
    too_much = [name for name, value in chosen.items() if value is not None]
    too_much += ["--find-rate"] * find_rate
    if time is not None and too_much:
        problem = f"it chooses sizes, epochs and rates itself: leave out {too_much[0]}"
        raise typer.BadParameter(problem, param_hint="--time")
    from napari_sem_classify.core.common.files import ensure_folder
    from napari_sem_classify.core.common.output_folder import check_target
    from napari_sem_classify.core.evaluate.dataset import fewer_images, read_listing
    from napari_sem_classify.core.finetune.augmentation import changed
    from napari_sem_classify.core.finetune.finetune import fine_tune
    from napari_sem_classify.core.finetune.finetune_checkpoint import checkpoint_path
    from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
    from napari_sem_classify.core.finetune.finetune_pace import AFTER_S, pace_named, paced, plan_for
    from napari_sem_classify.core.finetune.finetune_presets import DEFAULT_PRESET, make_preset
    from napari_sem_classify.core.image.file_names import stem_of
    from napari_sem_classify.core.model.file import model_path, save_model

    look = recipe_of(recipe, frame_px)
    pace = None if time is None else pace_named(time)
    usual = make_preset(
        preset or DEFAULT_PRESET,
        tile_px=tile,
        sizes=labelled.whole_numbers(sizes, "--sizes"),
        epochs=epochs,
        mixup=mixup or None,
        patience=patience,
    )
    changes = labelled.numbers_by_name(augment, "--augment")
    options = FineTuneOptions(
        preset=replace(usual, augmentation=changed(usual.augmentation, changes)),
        device=device,
        seed=seed,
        search_rate=find_rate,
        backbone_id=network,
        batch_size=batch,
        name=name or stem_of(out),
        checkpoint=checkpoint_path(out),
    )
    backbone_path(network)  # refused before any image is read
    crop = labelled.row_crop(crop_rows)
    listing = read_listing(source)
    if pace is not None:
        listing = fewer_images(listing, pace.most_images, seed)
    ensure_folder(out.parent)
    check_target(model_path(out))

    def tell(epoch: EpochReport) -> None:
        if not as_json:
            complain(_epoch_text(epoch))

    largest = max(stage.size for stage in options.preset.stages)
    plan, ends_at = "", None
    with labelled.split_set(
        listing,
        tile_px=tile,
        crop=crop,
        largest_px=largest,
        recipe=look,
        seed=seed,
        stopped=STOPPED,
    ) as (data, split, job):
        if pace is not None:
            planned = plan_for(pace, data, split, options, begun)
            options, ends_at = paced(options, planned), begun + pace.seconds - AFTER_S
            plan = planned.sentence("images" if data.whole_images else "tiles")
            if not as_json:
                complain(plan)
        result = fine_tune(data, split, options, on_epoch=tell, job=job, ends_at=ends_at)
    path = save_model(out, result.classifier)
    if options.checkpoint is not None and not result.cancelled:
        options.checkpoint.unlink(missing_ok=True)
    value = _trained(result, data, split, path) | {"plan": plan}
    report(value, _trained_text(value, result, split), as_json)


def _trained(result: FineTuned, data: TrainingSet, split: Split, path: Path) -> dict[str, Any]:
    card = result.classifier.card
    return {
        "model": str(path),
        "name": card.name,
        "images": dict(zip(data.class_names, data.counts.tolist(), strict=True)),
        "left_out": data.left_out,
        "split": split.to_dict(),
        "network_px": card.network_px,
        "temperature": card.temperature,
        "scores": dict(card.scores),
        "stopped_early": result.cancelled,
        "notes": list(result.notes),
        "seconds": card.record["seconds"],
    }


def _trained_text(value: dict[str, Any], result: FineTuned, split: Split) -> str:
    scores = value["scores"]
    lines = [
        table([("Class", "Images"), *((n, str(count)) for n, count in value["images"].items())]),
        *result.notes,
        f"A random split would have shown the model {split.random_leak:.0%} of the held-out "
        "images beforehand; this one shows none.",
        f"Score on {_of(scores)}{scores['method']}: macro-F1 {scores['macro_f1']:.3f}, "
        f"accuracy {scores['accuracy']:.3f}",
        *(["Stopped early: this is the best model so far."] if result.cancelled else []),
        f"Written: {value['model']}",
    ]
    return "\n".join(lines)


def _of(scores: Mapping[str, Any]) -> str:
    told = scores["speaks_for"]
    return f"{told}, " if told else ""


def evaluate(
    source: labelled.Source,
    model: Annotated[str, typer.Option("--model", metavar="M", help="A name or a model file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also write JSON, CSV and a report there."),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile", metavar="PX", help="Side of a tile; as the model learned by default."
        ),
    ] = None,
    crop_rows: labelled.CropRows = None,
    device: Device = "auto",
    backend: Backend = "auto",
    as_json: Json = False,
) -> None:
    """Score a model on labelled images: accuracy, precision, recall, F1, confusion, calibration."""
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.evaluate.dataset import read_listing
    from napari_sem_classify.core.evaluate.evaluate import evaluate_images
    from napari_sem_classify.core.evaluate.evaluate_report import write_evaluation
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.engines import engine_for

    crop = labelled.row_crop(crop_rows)
    listing = read_listing(source, least_classes=1)
    classifier = load_model(model)
    files: list[Path] = []
    told: list[str] = []
    with nullcontext() if out is None else output_folder(out) as folder:
        engine = engine_for(classifier, device=device, backend=backend)
        with working() as job:
            found = evaluate_images(
                listing, classifier, tile_px=tile, crop=crop, engine=engine, job=job
            )
        if folder is not None:
            files, told = write_evaluation(found, classifier.card, folder), folder.told
    value = {"model": classifier.card.name, **found.to_dict(), "left_out": dict(found.left_out)}
    value |= {"notes": list(found.notes), "device": engine.device, "files": files}
    report(value | {"renamed": told}, "\n".join([_evaluation_text(found, files), *told]), as_json)


def _evaluation_text(found: Evaluation, files: list[Path]) -> str:
    value = found.to_dict()
    keys = ("precision", "recall", "f1")
    rows: list[tuple[str, ...]] = [("Class", found.what, "precision", "recall", "F1")]
    rows += [
        (row["class"], str(row[found.what]), *(f"{row[key]:.3f}" for key in keys))
        for row in found.class_rows()
    ]
    low, high = found.scores.accuracy_interval()
    lines = [
        table(rows),
        f"Accuracy {value['accuracy']:.3f} ({low:.3f} to {high:.3f}), macro-F1 "
        f"{value['macro_f1']:.3f}, {len(found.truth)} {found.what}",
        f"Calibration error {value['ece_before_temperature']:.3f} before the temperature, "
        f"{value['ece']:.3f} after",
        *found.notes,
        *(f"Written: {path}" for path in files),
    ]
    return "\n".join(lines)


def _epoch_text(epoch: EpochReport) -> str:
    trained = epoch.train_loss == epoch.train_loss  # fitted heads and averages have no loss
    where = f", epoch {epoch.epoch + 1}: loss {epoch.train_loss:.3f}," if trained else ":"
    return (
        f"{epoch.size} px, {epoch.title}{where} "
        f"held-out accuracy {epoch.accuracy:.3f}, macro-F1 {epoch.macro_f1:.3f}"
        f"{' (best)' if epoch.best else ''}, {epoch.seconds:.0f} s"
    )
