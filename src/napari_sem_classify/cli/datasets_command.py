"""``datasets list`` and ``fetch``: public sets of labelled images to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sem_classify.cli.models_command import KEPT_SO_FAR
from napari_sem_classify.cli.shared_options import Json
from napari_sem_classify.cli.shell import complain, report, table, working

group = typer.Typer(no_args_is_help=True, help="Public sets of labelled images.")


@group.command("list")
def list_sets(as_json: Json = False) -> None:
    """List the sets that can be downloaded, with size and licence."""
    from napari_sem_classify.core.evaluate.public_sets import DATASETS

    values = [
        {
            "name": info.id,
            "title": info.title,
            "gigabytes": round(info.about_bytes / 1e9, 1),
            "licence": info.licence,
            "citation": info.citation,
            "page": info.page,
        }
        for info in DATASETS.values()
    ]
    rows = [("NAME", "SIZE", "LICENCE", "TITLE")]
    for info in DATASETS.values():
        rows.append((info.id, f"{info.about_bytes / 1e9:.1f} GB", info.licence, info.title))
    report(values, table(rows), as_json)


@group.command("fetch")
def fetch_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A set that `datasets list` names.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for class folders.")],
    as_json: Json = False,
) -> None:
    """Download a set into class folders, ready for `train DIR`.

    A download that is cut goes on where it stopped when the same command is given again.
    """
    from napari_sem_classify.core.evaluate.public_sets import dataset_info, fetch_dataset

    info = dataset_info(name)
    complain(f"{info.title}. {info.citation}. Licence: {info.licence}, {info.page}")
    with working(KEPT_SO_FAR) as job:
        counts = fetch_dataset(name, out, job=job)
    value = {"name": name, "path": str(out), "licence": info.licence, "images": counts}
    rows = [("Class", "Images"), *((each, str(count)) for each, count in counts.items())]
    report(value, f"{table(rows)}\nReady: {out}", as_json)
