"""``similar``: the same structure in a folder of images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sem_classify.cli import shared_options as shared
from napari_sem_classify.cli.shell import fail_if_any, report, table, working

if TYPE_CHECKING:
    from napari_sem_classify.core.teach.similar_search import FoundTile

TOLD = 10


def similar(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image that shows the structure.")],
    at: Annotated[
        str, typer.Option("--at", metavar="Y,X", help="Row and column of the structure, in px.")
    ],
    among: Annotated[
        list[str],
        typer.Option(
            "--in", metavar="FOLDER", help="Folder, images or pattern to search; repeatable."
        ),
    ],
    out: shared.Out,
    tile: Annotated[
        int, typer.Option("--tile", metavar="PX", min=8, help="Side of the tile that shows it.")
    ] = shared.DEFAULT_TILE_PX,
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=1, max=100_000, help="Tiles to find.")
    ] = 100,
    device: shared.Device = "auto",
    backend: shared.Backend = "auto",
    as_json: shared.Json = False,
) -> None:
    """Find the tiles of other images that look most like one tile, without any model.

    Tiles have the same size in µm where images are calibrated. Writes a table and a contact sheet.
    What the network saw is kept in the cache, so that the next search is quick.
    """
    place = _place(at)
    from napari_sem_classify.core.common.errors import ImageError
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.export.similar_files import write_similar
    from napari_sem_classify.core.image.file_names import stem_of
    from napari_sem_classify.core.sem_io import list_images
    from napari_sem_classify.core.teach.similar_search import SearchOptions, search

    paths = list_images(among)
    options = SearchOptions(place, tile, most, device, backend)
    with output_folder(out) as folder:  # a folder that is blocked is told first
        with working() as job:
            result = search(image, paths, options, job)
        if not result.looked_at:
            raise ImageError(next(iter(result.failures.values())))
        files = write_similar(result, folder, stem_of(image))
        told = list(folder.told)
    failures = [{"image": str(path), "problem": why} for path, why in result.failures.items()]
    value = {
        "sample": _facts(result.sample),
        "found": [_facts(each) for each in result.found],
        "images": {str(path): count for path, count in result.looked_at.items()},
        "notes": {str(path): note for path, note in result.notes.items()},
        "failures": failures,
        "files": files,
    }
    head = ("Alike", "Image", "Row", "Column")
    rows = [
        (f"{each.similarity:.2f}", each.image.name, str(each.y), str(each.x))
        for each in result.found[:TOLD]
    ]
    tiles, images = sum(result.looked_at.values()), len(result.looked_at)
    lines = [
        f"{len(result.found)} of {tiles} tiles in {images} images; the most alike:",
        table([head, *rows]),
        *(f"{path}: {note}" for path, note in result.notes.items()),
        "Written:",
        *(f"  {path}" for path in files),
        *told,
    ]
    report(value, "\n".join(lines), as_json)
    fail_if_any(failures)


def _place(text: str) -> tuple[float, float]:
    try:
        y, x = (float(part) for part in text.split(","))
    except ValueError:
        y = x = math.nan
    if not (math.isfinite(y) and math.isfinite(x)):
        problem = f"{text!r} is no place: give row and column, such as 120,340"
        raise typer.BadParameter(problem, param_hint="--at")
    return y, x


def _facts(tile: FoundTile) -> dict[str, Any]:
    """A tile as plain JSON values."""
    return {
        "image": str(tile.image),
        "plane": list(tile.plane),
        "y": tile.y,
        "x": tile.x,
        "tile_px": tile.tile,
        "similarity": round(tile.similarity, 4),
    }
