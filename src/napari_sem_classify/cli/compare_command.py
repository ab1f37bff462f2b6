"""``compare``: the article's table on the user's own images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sem_classify.cli import labelled
from napari_sem_classify.cli.shared_options import Device, Json, Network
from napari_sem_classify.cli.shell import complain, report
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_path

if TYPE_CHECKING:
    from napari_sem_classify.core.evaluate.dataset_split import Split
    from napari_sem_classify.core.evaluate.training_set import TrainingSet
    from napari_sem_classify.core.finetune.compare import CompareOptions


class Splits(StrEnum):
    """Which splits to train on."""

    both = "both"
    groups = "groups"
    random = "random"


def compare(
    source: labelled.Source,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write into.")],
    split: Annotated[
        Splits,
        typer.Option(
            "--split",
            help="Keep specimens and near-duplicates together (groups), split image by image as "
            "most published scores do (random), or both, which takes twice as long.",
        ),
    ] = Splits.both,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="N,N", help="Each preset is trained with each seed.")
    ] = "0",
    sizes: labelled.Sizes = None,
    epochs: labelled.Epochs = None,
    tile: labelled.CutTile = None,
    crop_rows: labelled.CropRows = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 0,
    batch: labelled.BatchSize = None,
    inception: Annotated[
        Path | None,
        typer.Option("--inception", metavar="FILE", help="Weights of Inception-v3, where at hand."),
    ] = None,
    no_download: Annotated[
        bool, typer.Option("--no-download", help="Do not download the weights of Inception-v3.")
    ] = False,
    network: Network = DEFAULT_BACKBONE,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train every way on the same splits: the article's table, on your images.

    Inception-v3 and ResNet50 on frozen features without augmentation, the article's recipe, and
    this program's own, each with images that belong together on one side, and split at random as
    most published scores are.
    """
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.evaluate.dataset import read_listing
    from napari_sem_classify.core.finetune.compare import FROZEN_PX, CompareOptions
    from napari_sem_classify.core.finetune.compare import compare as compare_ways
    from napari_sem_classify.core.finetune.compare_report import comparison, write_comparison
    from napari_sem_classify.core.finetune.comparison import ComparedRow, splits_of
    from napari_sem_classify.core.finetune.finetune_presets import ARTICLE, SEM, make_preset
    from napari_sem_classify.core.finetune.inception import INPUT_PX
    from napari_sem_classify.core.network.engine.devices import device_title, find_device

    wanted = labelled.whole_numbers(sizes, "--sizes")
    options = CompareOptions(
        presets=tuple(
            make_preset(one.name, tile_px=tile, sizes=wanted, epochs=epochs)
            for one in (ARTICLE, SEM)
        ),
        seeds=tuple(labelled.whole_numbers(seeds, "--seeds") or [0]),
        frozen_px=max(wanted or [FROZEN_PX]),
        backbone_id=network,
        inception=inception,
        download=not no_download,
        device=device,
        batch_size=batch,
    )
    backbone_path(network)  # refused before any image is read
    crop = labelled.row_crop(crop_rows)
    listing = read_listing(source)
    title = device_title(find_device(device))

    def tell(row: ComparedRow) -> None:
        if not as_json:
            complain(_row_text(row.to_dict()))

    with (
        output_folder(out) as folder,
        labelled.split_set(listing, tile_px=tile, crop=crop, largest_px=INPUT_PX, seed=seed) as (
            data,
            kept_together,
            job,
        ),
    ):
        splits = splits_of(data, kept_together, split.value, seed)
        if not as_json:
            complain(_time_text(data, splits, options))
        rows = compare_ways(data, splits, options, on_row=tell, job=job)
        value = comparison(data, splits, rows, title)
        files = write_comparison(value, folder)
    value |= {"files": [str(path) for path in files], "renamed": folder.told}
    written = (f"Written: {path}" for path in files)
    report(value, "\n".join([*_table(value), *written, *folder.told]), as_json)


def _time_text(data: TrainingSet, splits: Mapping[str, Split], options: CompareOptions) -> str:
    """About how long the trainings take, by a short trial on this computer."""
    from napari_sem_classify.core.common.durations import duration_text
    from napari_sem_classify.core.finetune.finetune_pace import parts_of_split
    from napari_sem_classify.core.finetune.finetune_trial import trial_rate, work_of
    from napari_sem_classify.core.network.engine.devices import find_device

    device = find_device(options.device).type
    work = sum(
        work_of(preset, parts_of_split(data, each, preset), device)
        for preset in options.presets
        for each in splits.values()
    )
    seconds = work * len(options.seeds) / trial_rate(options.device, options.backbone_id)
    half = "; --split groups takes half as long" if len(splits) > 1 else ""
    return f"The trainings take about {duration_text(seconds)}{half}."


def _table(value: dict[str, Any]) -> list[str]:
    """The rows that have numbers, one under the other; those without have been told."""
    from napari_sem_classify.core.finetune.compare_report import COLUMNS, cells_of, intervals_of

    mine = [row for row in value["rows"] if not row["problem"]]
    width = max(len(row["method"]) for row in (*mine, *value["published"]))

    def line(cells: Sequence[str]) -> str:
        return (f"{cells[0]:{width}}" + "".join(f"{cell:>13}" for cell in cells[1:])).rstrip()

    return [
        *(_split_text(name, split) for name, split in value["splits"].items()),
        "P is precision, R recall; below each score its 95 % interval.",
        line(("", *COLUMNS[1:])),
        *(line(cells) for row in mine for cells in (cells_of(row), intervals_of(row))),
        "Published, on other images:",
        *(line(cells_of(row)) for row in value["published"]),
    ]


def _split_text(name: str, split: dict[str, Any]) -> str:
    parts = split["images"]
    scored, learned = parts["test"] or parts["valid"], parts["train"]
    leak = f"{split['leak_of_a_random_split']:.0%}"
    told = f"{leak} of those held out have a near-duplicate among them"
    if name != "random":
        told = f"a random split would have shown {leak} of those held out beforehand"
    return f"Split {name}, {split['how']}: {learned} images learned from, {scored} scored; {told}."


def _row_text(row: dict[str, Any]) -> str:
    if row.get("problem"):
        return f"{row['method']}, {row['split']}: {row['problem']}"
    seed = "" if row["seed"] is None else f", seed {row['seed']}"
    scores = f"accuracy {row['accuracy']:.3f}, F1 {row['macro_f1']:.3f}"
    return f"{row['method']}, {row['split']}{seed}: {scores}, {row['minutes']:.1f} min"
