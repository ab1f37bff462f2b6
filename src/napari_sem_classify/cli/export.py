"""``export``: saved class maps as the files that other programs and papers need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sem_classify.cli.inspect_commands import fail_if_any
from napari_sem_classify.cli.options import Json, Out
from napari_sem_classify.cli.shell import report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sem_classify.core.maps.map_set import MapOnDisk

EACH = ("csv", "regions", "geojson", "ome-zarr", "png", "svg", "pdf", "tif", "overlay")
TOGETHER = ("fractions", "html")
CHOICES = (*EACH, *TOGETHER)
FRACTIONS, PAGE = "fractions.csv", "report.html"


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("export")(export)


def export(
    maps: Annotated[
        list[str], typer.Argument(metavar="MAP...", help="STEM.map.tif files or folders of them.")
    ],
    out: Out,
    kinds: Annotated[
        str, typer.Option("--as", metavar="KINDS", help=f"Comma-separated: {', '.join(CHOICES)}.")
    ],
    as_json: Json = False,
) -> None:
    """Write saved class maps as tables, outlines, figures and reports.

    Of each map: csv (cells), regions (connected regions), geojson (outlines for QuPath), tif
    (label TIFF), ome-zarr, overlay, and the figure as png, svg or pdf. Of all maps together:
    fractions (one table) and html (one page). Pictures need the image, which is looked for where it
    was and beside the map.
    """
    wanted = list(dict.fromkeys(kind.strip() for kind in kinds.split(",") if kind.strip()))
    unknown = [kind for kind in wanted if kind not in CHOICES]
    if unknown or not wanted:
        what = f"{unknown[0]!r} is none" if unknown else "none is given"
        raise typer.BadParameter(f"{what}: choose from {', '.join(CHOICES)}", param_hint="--as")
    from napari_sem_classify.core.batch.batch_outputs import KINDS, write_kinds
    from napari_sem_classify.core.common.errors import OutputError, SemClassifyError
    from napari_sem_classify.core.common.files import ensure_folder
    from napari_sem_classify.core.maps.map_set import find_maps, open_maps

    paths = find_maps(maps)
    ensure_folder(out)
    files: list[Path] = []
    failures: list[dict[str, str]] = []
    opened: list[MapOnDisk] = []
    stems: set[str] = set()
    each_kind = [kind for kind in EACH if kind in wanted]
    pictures = {"html", *(kind for kind in EACH if KINDS[kind].needs_image)}
    for path in paths:
        try:
            found = open_maps(path)
            stem = _free(found[0].stem, stems)
            for one in found:
                possible = [k for k in each_kind if one.image or not KINDS[k].needs_image]
                files += write_kinds(one.class_map, one.image, out, stem, possible, one.saved)
            lacking = [k for k in wanted if found[0].image is None and k in pictures]
            if lacking:
                problem = (
                    f"The image of {path} was not found, so {', '.join(lacking)} could not be "
                    "made: put it beside the map."
                )
                failures.append({"image": str(path), "problem": problem})
        except OutputError:
            raise
        except SemClassifyError as error:
            failures.append({"image": str(path), "problem": str(error)})
            continue
        opened += found
    if opened:
        together = [kind for kind in TOGETHER if kind in wanted]
        files += _together(opened, out, together, failures)
    value = {"files": [str(path) for path in files], "failures": failures, "out": str(out)}
    report(value, "\n".join(str(path) for path in files), as_json)
    fail_if_any(failures)


def _together(
    opened: Sequence[MapOnDisk], out: Path, kinds: Sequence[str], failures: list[dict[str, str]]
) -> list[Path]:
    from napari_sem_classify.core.export.fractions_csv import write_fractions
    from napari_sem_classify.core.export.kinds import card_of
    from napari_sem_classify.core.export.report import Report, write_report
    from napari_sem_classify.core.measure.field_statistics import field_shares, field_spread

    files = []
    if "fractions" in kinds:
        write_fractions([one.class_map for one in opened], out / FRACTIONS)
        files.append(out / FRACTIONS)
    if "html" in kinds:
        pairs = [(one.class_map, one.image) for one in opened if one.image is not None]
        names = [info.name for info in opened[0].class_map.classes]
        same = all([c.name for c in one.class_map.classes] == names for one in opened)
        if not same:
            problem = "The maps have different classes: make a report for each model."
            failures.append({"image": str(out / PAGE), "problem": problem})
        elif pairs:
            shares = field_shares([class_map for class_map, _ in pairs])
            spreads = [field_spread(column) for column in shares.T] if len(pairs) > 1 else None
            title = f"{len(pairs)} class maps" if len(pairs) > 1 else pairs[0][0].image_name
            card = card_of([class_map for class_map, _ in pairs])
            write_report(
                Report(title or "Class map", pairs, spreads=spreads, card=card), out / PAGE
            )
            files.append(out / PAGE)
    return files


def _free(stem: str, taken: set[str]) -> str:
    """A start for file names that no other map of this export has."""
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name
