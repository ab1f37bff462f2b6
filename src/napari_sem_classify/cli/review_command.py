"""``review``: a sample of cells looked at by a person, and the area fractions that it corrects."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sem_classify.cli.shared_options import Json
from napari_sem_classify.cli.shell import report, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sem_classify.core.maps.class_map import ClassMap
    from napari_sem_classify.core.maps.map_set import MapOnDisk
    from napari_sem_classify.core.measure.area_fraction import FractionEstimate, Share
    from napari_sem_classify.core.measure.review import Review
    from napari_sem_classify.core.measure.review_plan import MoreCells

    Shares = Sequence[Share] | None
    More = Sequence[MoreCells] | None

HELP = """Correct area fractions by a sample of cells that a person looks at.

The steps: `review start MAP... --out R.json` draws cells at random and writes them as R.csv (with
--pictures DIR a picture of each); fill its column "answer" with class names or "unsure";
`review answer R.json --table R.csv` takes the answers; `review estimate R.json MAP...` tells the
corrected fractions with their intervals; `review extend R.json MAP... --precision 1` draws the
further cells that a half-width of 1 percentage point needs.

With STEM.outlines.tif in place of maps you are asked for points: what lies at pixels drawn at
random, some of each class (point counting). They correct the areas of the outlines."""

ReviewFile = Annotated[
    Path, typer.Argument(metavar="REVIEW", help="The review's JSON file, from `review start`.")
]
Maps = Annotated[
    list[str],
    typer.Argument(
        metavar="MAP...", help="STEM.map.tif files or folders of them, or STEM.outlines.tif files."
    ),
]
Pictures = Annotated[
    Path | None,
    typer.Option("--pictures", metavar="DIR", help="Write a picture of each cell or point there."),
]


group = typer.Typer(no_args_is_help=True, help=HELP)


@group.command("start")
def start(
    maps: Maps,
    out: Annotated[Path, typer.Option("--out", metavar="R.json", help="Review to write.")],
    cells: Annotated[
        int, typer.Option("--cells", "--points", min=1, help="Cells or points to review.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same ones.")] = 0,
    pictures: Pictures = None,
    as_json: Json = False,
) -> None:
    """Draw cells at random from class maps, or points from outlines, as a table to fill.

    Rare classes get at least 50 cells where there are enough. The table does not tell what the map
    says of a cell.
    """
    from napari_sem_classify.core.common.errors import AnnotationError
    from napari_sem_classify.core.common.files import ensure_folder
    from napari_sem_classify.core.measure.review import start_review

    if out.suffix.lower() != ".json":
        raise typer.BadParameter("give a name that ends in .json", param_hint="--out")
    if out.exists():
        raise AnnotationError(
            f"{out} is there already and may hold answers: choose another name, or delete it."
        )
    opened = _open(maps)
    review = start_review([one.class_map for one in opened], cells, seed=seed)
    ensure_folder(out.parent)
    _write(review, opened, out, pictures, as_json)


@group.command("answer")
def answer(
    review_file: ReviewFile,
    maps: Annotated[
        list[str] | None, typer.Argument(metavar="[MAP...]", help="The maps, with --truth only.")
    ] = None,
    filled: Annotated[
        Path | None, typer.Option("--table", metavar="CSV", help="The table, filled.")
    ] = None,
    truth: Annotated[
        list[Path] | None,
        typer.Option("--truth", metavar="L", help="A label image for each MAP, in their order."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help='With --truth: "0=matrix,1=oxide,2=crack>=2%".')
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the answers of a filled table, or of label images that know the truth."""
    if (filled is None) == (not truth):
        raise typer.BadParameter("give the answers as a table or as label images: one of both")
    if truth and classes is None:
        raise typer.BadParameter("say what the label values mean", param_hint="--classes")
    from napari_sem_classify.core.annotate import class_spec
    from napari_sem_classify.core.measure import review_table
    from napari_sem_classify.core.measure.review_file import load_review, save_review
    from napari_sem_classify.core.sem_io.label_file import read_labels

    review = load_review(review_file)
    renamed: list[str] = []
    if filled is not None:
        review = review_table.read_review_table(review, filled)
    else:
        spec = classes or ""
        ordered = [one.class_map for one in _ordered(review, _open(maps or []))]
        colours = class_spec.colours_in(spec)
        masks = [read_labels(path, colours) for path in truth or []]
        values, contains = dict(class_spec.parse_classes(spec)), class_spec.parse_contains(spec)
        review = review_table.answer_from_masks(review, ordered, masks, values, contains)
        _, renamed = _write_table(review, ordered, review_file)
    save_review(review, review_file)
    left = len(review.cells) - review.n_answered
    told = f"{review.n_answered} of {len(review.cells)} {review.unit}s are answered."
    text = "\n".join([told, *renamed])
    value = {"review": review_file, "answered": review.n_answered, "open": left}
    report(value | {"renamed": renamed}, text, as_json)


@group.command("estimate")
def estimate(
    review_file: ReviewFile,
    maps: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MAP...]", help="The maps, for the prediction-powered estimate."),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            "--precision", metavar="PERCENT", help="Wanted half-width: cells still to review."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell the corrected area fractions with 95 % intervals, and how good the map is.

    Corrected: stratified estimator after Olofsson et al. (2014). With the maps also the
    prediction-powered estimate, areas in µm², and it is made sure that they are those reviewed.
    """
    from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
    from napari_sem_classify.core.measure.prediction_powered import estimate_prediction_powered
    from napari_sem_classify.core.measure.review_file import load_review

    _check_precision(precision)
    review = load_review(review_file)
    powered = None
    opened = [one.class_map for one in _ordered(review, _open(maps))] if maps else []
    if opened and all(each.confidence_known for each in opened):
        powered = estimate_prediction_powered(review, opened)
    sizes = {each.pixel_size_nm for each in opened}
    size = sizes.pop() if len(sizes) == 1 else None
    names = [info.name for info in review.classes]
    found = estimate_fractions(count_review(review), names, pixel_size_nm=size)
    more = None if precision is None else _more(review, found, precision)
    report(_value(review, found, powered, more), _text(review, found, powered, more), as_json)


@group.command("extend")
def extend(
    review_file: ReviewFile,
    maps: Maps,
    precision: Annotated[
        float, typer.Option("--precision", metavar="PERCENT", help="Wanted half-width.")
    ],
    pictures: Pictures = None,
    as_json: Json = False,
) -> None:
    """Draw the further cells that a wanted precision needs; answers stay.

    PERCENT is the half-width of the 95 % interval in percentage points, for every class.
    """
    from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
    from napari_sem_classify.core.measure.review import extend_review
    from napari_sem_classify.core.measure.review_file import load_review

    _check_precision(precision)
    review = load_review(review_file)
    opened = _ordered(review, _open(maps))
    found = estimate_fractions(count_review(review), [info.name for info in review.classes])
    more = [plan.per_class for plan in _more(review, found, precision)]
    most = [max(each) for each in zip(*more, strict=True)]
    review = extend_review(review, [one.class_map for one in opened], most)
    _write(review, opened, review_file, pictures, as_json)


def _open(maps: Sequence[str]) -> list[MapOnDisk]:
    from napari_sem_classify.core.maps.map_set import find_maps, open_maps

    return [one for path in find_maps(maps) for one in open_maps(path)]


def _ordered(review: Review, opened: Sequence[MapOnDisk]) -> list[MapOnDisk]:
    """The maps in the review's order, however they were named."""
    from napari_sem_classify.core.maps.class_map import map_sha256
    from napari_sem_classify.core.measure.review import check_review
    from napari_sem_classify.core.measure.review_place import review_order

    order = review_order(review, [map_sha256(one.class_map) for one in opened])
    if order is None:
        check_review(review, [one.class_map for one in opened])  # says which map differs
        return list(opened)
    return [opened[index] for index in order]


def _write(
    review: Review, opened: Sequence[MapOnDisk], out: Path, pictures: Path | None, as_json: bool
) -> None:
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.measure import review_table
    from napari_sem_classify.core.measure.review_file import save_review

    maps, images = [one.class_map for one in opened], [one.image for one in opened]
    count, renamed = 0, []
    if pictures is not None:
        with output_folder(pictures) as folder, folder.staging() as staging:
            count = review_table.write_cell_pictures(review, maps, images, staging)
            folder.put(staging, "cell")
        renamed += folder.told
    listed, told = _write_table(review, maps, out)
    save_review(review, out)  # last: a review that is there stands in the way of another start
    renamed += told
    text = (
        f"{len(review.cells)} {review.unit}s, {len(review.cells) - review.n_answered} without an "
        "answer: "
        f'fill the column "answer" of {listed}, then `review answer {out} --table {listed}`.'
    )
    if pictures is not None:
        text += f"\n{count} pictures are in {pictures}."
        if count < len(review.cells):
            text += " Images that were not found have none: put them beside their maps."
    text = "\n".join([text, *renamed])
    value = {"review": out, "table": listed, "cells": len(review.cells), "renamed": renamed}
    value["unit"] = review.unit
    report({**value, "answered": review.n_answered, "pictures": count}, text, as_json)


def _write_table(
    review: Review, maps: Sequence[ClassMap], review_file: Path
) -> tuple[Path, list[str]]:
    """Write the table beside the review; one that a person filled stays, and she is told."""
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.measure.review_table import write_review_table

    name = review_file.with_suffix(".csv").name
    with output_folder(review_file.parent) as folder, folder.staging() as staging:
        write_review_table(review, maps, staging / name)
        return folder.put(staging, review_file.stem)[name], folder.told


def _check_precision(precision: float | None) -> None:
    if precision is not None and not 0 < precision < 50:
        raise typer.BadParameter("give percentage points, above 0", param_hint="--precision")


def _more(review: Review, found: FractionEstimate, precision: float) -> list[MoreCells]:
    from napari_sem_classify.core.measure.review_plan import more_cells

    return [more_cells(review, found, k, precision / 100.0) for k in range(len(review.classes))]


def _value(review: Review, found: FractionEstimate, powered: Shares, more: More) -> dict[str, Any]:
    rows = []
    for k, name in enumerate(found.names):
        row = {
            "name": name,
            "fraction": found.naive[k],
            "corrected": asdict(found.corrected[k]),
            "prediction_powered": None if powered is None else asdict(powered[k]),
            "users_accuracy": asdict(found.users[k]),
            "producers_accuracy": asdict(found.producers[k]),
            "area_um2": _area(review, found, k),
            "share_of": "area" if review.classes[k].contains is None else "tiles",
            "cells_reviewed": int(found.counts.counts[k].sum()),
        }
        if more is not None:
            row["more_cells"] = more[k].total
            row["reachable"] = more[k].reachable
        rows.append(row)
    return {
        "answered": review.n_answered,
        "unsure": int(found.counts.unsure.sum()),
        "unit": review.unit,
        "level": found.level,
        "overall_accuracy": asdict(found.overall),
        "classes": rows,
        "notes": list(found.notes),
    }


def _text(review: Review, found: FractionEstimate, powered: Shares, more: More) -> str:
    from napari_sem_classify.core.export.quantities import (
        counted,
        share_area_text,
        share_text,
    )

    head = ["CLASS", "AS MAPPED", "CORRECTED, 95 %"]
    head += ["PREDICTION-POWERED"] if powered is not None else []
    head += ["USER'S ACCURACY", "PRODUCER'S ACCURACY"]
    head += ["AREA"] if found.area_um2 is not None else []
    head += [f"MORE {review.unit.upper()}S"] if more is not None else []
    rows = [tuple(head)]
    for k, info in enumerate(review.classes):
        row = [info.title, f"{100 * found.naive[k]:.1f} %", share_text(found.corrected[k])]
        row += [share_text(powered[k])] if powered is not None else []
        row += [share_text(found.users[k]), share_text(found.producers[k])]
        if found.area_um2 is not None:
            whole = found.area_um2 if info.contains is None else None
            row.append(share_area_text(found.corrected[k], whole))
        if more is not None:
            row.append(str(more[k].total) if more[k].reachable else "not reachable")
        rows.append(tuple(row))
    right = f"the map is right on {share_text(found.overall)} of the area."
    first = f"{counted(review.n_answered, review.unit)} reviewed; {right}"
    return "\n".join([first, table(rows), *found.notes])


def _area(review: Review, found: FractionEstimate, k: int) -> float | None:
    if found.area_um2 is None or review.classes[k].contains is not None:
        return None
    return found.corrected[k].value * found.area_um2
