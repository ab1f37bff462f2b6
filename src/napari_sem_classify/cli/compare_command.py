"""``compare``: the article's table on the user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_sem_classify.cli import labelled
from napari_sem_classify.cli.shared_options import Device, Json, Network
from napari_sem_classify.cli.shell import complain, report
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_path


def compare(
    source: labelled.Source,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write into.")],
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
    """Train every way on one split: the article's table, on your images.

    Inception-v3 and ResNet50 on frozen features without augmentation, the article's recipe, and
    this program's own.
    """
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.evaluate.dataset import read_listing
    from napari_sem_classify.core.finetune.compare import FROZEN_PX, ComparedRow, CompareOptions
    from napari_sem_classify.core.finetune.compare import compare as compare_ways
    from napari_sem_classify.core.finetune.compare_report import comparison, write_comparison
    from napari_sem_classify.core.finetune.finetune_presets import ARTICLE, SEM, make_preset
    from napari_sem_classify.core.finetune.inception import INPUT_PX
    from napari_sem_classify.core.network.engine.devices import device_title, find_device

    wanted = labelled.whole_numbers(sizes, "--sizes")
    options = CompareOptions(
        presets=tuple(make_preset(one.name, sizes=wanted, epochs=epochs) for one in (ARTICLE, SEM)),
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
            split,
            job,
        ),
    ):
        rows = compare_ways(data, split, options, on_row=tell, job=job)
        files = write_comparison(data, split, rows, title, folder)
        value = comparison(data, split, rows, title)
    value |= {"files": [str(path) for path in files], "renamed": folder.told}
    written = (f"Written: {path}" for path in files)
    report(value, "\n".join([*_table(value), *written, *folder.told]), as_json)


def _table(value: dict[str, Any]) -> list[str]:
    """The rows that have numbers, one under the other; those without have been told."""
    from napari_sem_classify.core.finetune.compare_report import COLUMNS, cells_of

    parts = value["split"]["images"]
    scored, learned = parts["test"] or parts["valid"], parts["train"]
    mine = [row for row in value["rows"] if not row["problem"]]
    width = max(len(row["method"]) for row in (*mine, *value["published"]))

    def line(cells: Sequence[str]) -> str:
        return f"{cells[0]:{width}}" + "".join(f"{cell:>10}" for cell in cells[1:])

    return [
        f"{learned} images learned from, {scored} scored, split {value['split']['how']}; "
        "precision, recall and F1 are means over the classes.",
        line(("", *COLUMNS[1:])),
        *(line(cells_of(row)) for row in mine),
        "Published, on other images:",
        *(line(cells_of(row)) for row in value["published"]),
    ]


def _row_text(row: dict[str, Any]) -> str:
    if row.get("problem"):
        return f"{row['method']}: {row['problem']}"
    seed = "" if row["seed"] is None else f", seed {row['seed']}"
    scores = f"accuracy {row['accuracy']:.3f}, F1 {row['macro_f1']:.3f}"
    return f"{row['method']}{seed}: {scores}, {row['minutes']:.1f} min"
