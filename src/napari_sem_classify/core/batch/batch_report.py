"""What a batch found in all its images: one table, one list of failures, one HTML page.

The page is made of the numbers and pictures that the images left, one at a time, so that a thousand
images take no more memory than one.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.batch.batch_outcome import BatchReport, ImageOutcome
from napari_sem_classify.core.common.checked import read_json
from napari_sem_classify.core.common.csv_text import csv_text, number_text
from napari_sem_classify.core.common.errors import ImageError, OutputError
from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.common.html_page import render
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.export.kinds import ending
from napari_sem_classify.core.export.quantities import (
    TILES_NOTE,
    area_text,
    count_text,
    counted,
    percent_text,
    pixels_text,
    spread_texts,
)
from napari_sem_classify.core.measure.field_statistics import field_spread
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.transfer import estimate_of, judgement_in

STEM = "batch"
TABLE, FAILURES, PAGE = f"{STEM}.csv", f"{STEM}.failures.csv", f"{STEM}.html"
COLUMNS = (
    *("image", "plane", "files", "tile_px", "stride_px", "pixel_size_nm"),
    *("cells", "cells_left_out", "area_um2"),
    *("transfer", "expected_accuracy", "expected_low", "expected_high"),
)
MOST_PICTURES = 60
PICTURE_PX = 640


def write_batch_report(
    report: BatchReport, out: Path | OutputFolder, card: ModelCard
) -> list[Path]:
    """Write ``batch.csv``, ``batch.html`` and, where there were any, ``batch.failures.csv``.

    Those of an earlier run are replaced; where one is the user's, all get another start.

    Raises
    ------
    OutputError
        When they cannot be written.
    """
    with output_folder(out) as folder, folder.staging() as staging:
        write_text(staging / TABLE, batch_csv(report, card))
        if report.failed:
            rows = [[str(each.path), each.problem] for each in report.failed]
            write_text(staging / FAILURES, csv_text(["image", "problem"], rows))
        write_text(staging / PAGE, batch_html(report, card))
        places = folder.put(staging, STEM)
        if not report.failed:  # of an earlier run
            folder.remove(places[TABLE].stem + FAILURES.removeprefix(STEM))
    return list(places.values())


def batch_csv(report: BatchReport, card: ModelCard) -> str:
    """The table as text: a row per classified image (of a stack per plane).

    Rows with the least accuracy to expect come first, see `Judgement`.
    ``fraction_<class>`` is the share of the classified area, 0 to 1, as the map says, and
    ``fraction_tiles with <class>`` that of tiles, which has no area;
    ``area_um2_<class>`` is empty without calibration. ``files`` is the start of the image's files.
    """
    names = card.class_names
    areas_of = [info.name for info in card.classes if info.contains is None]
    head = [
        *COLUMNS,
        *(f"fraction_{info.title}" for info in card.classes),
        *(f"area_um2_{name}" for name in areas_of),
    ]
    rows: list[list[Any]] = []
    for outcome, plane in _planes(report):
        shares = [_share(plane, name) for name in names]
        areas = [_share(plane, name)["area_um2"] for name in areas_of]
        size = plane["pixel_size_nm"]
        px = sum(share["area_px"] for share in shares)
        whole = None if size is None else px * (size / 1000.0) ** 2
        rows.append(
            [
                *(str(outcome.path), "/".join(str(index) for index in plane["plane"])),
                *(outcome.stem, plane["tile_px"], plane["stride_px"]),
                *(number_text(plane["pixel_size_nm"]), plane["cells"], plane["cells_left_out"]),
                number_text(whole),
                *_judged(plane),
                *(number_text(share["fraction"]) for share in shares),
                *(number_text(area) for area in areas),
                outcome.note,
            ]
        )
    return csv_text([*head, "tile_size_note"], rows)


def batch_html(report: BatchReport, card: ModelCard) -> str:
    """The page as text: pooled fractions, a row per image, pictures, failures, model, record."""
    done = report.done
    overlays = _files(done, ending("overlay"))
    return render(
        "batch/batch_report.html",
        title=f"{card.name}: {len(done)} image{'' if len(done) == 1 else 's'}",
        summary=_summary(report, card),
        warned=sum(each.scale_warning for each in done),
        failures=[f"{each.path}: {each.problem}" for each in report.failed],
        done=done,
        pooled=_pooled(report, card) if done else None,
        planes=_planes(report),
        judged=judgement_in,
        unlike=_unlike(done),
        share_of=_share,
        percent=percent_text,
        count=count_text,
        counted=counted,
        scale_notes=sorted({each.note for each in done if each.scale_warning})[:5],
        pictures=_pictures(overlays[:MOST_PICTURES]),
        not_shown=len(overlays) - MOST_PICTURES,
        card=card,
        summaries=ending("summary"),
        record=_record(done),
    )


def _summary(report: BatchReport, card: ModelCard) -> str:
    cells = sum(p["cells"] - p["cells_left_out"] for _, p in _planes(report))
    left_out = sum(p["cells_left_out"] for _, p in _planes(report))
    earlier = sum(each.resumed for each in report.done)
    done = counted(len(report.done), "image")
    words = [f"{done}, {counted(cells, 'cell')} classified with {card.name}"]
    if left_out:
        words.append(f"{counted(left_out, 'cell')} left out")
    if earlier:
        was = "was" if earlier == 1 else "were"
        words.append(f"{counted(earlier, 'image')} {was} finished by an earlier run")
    return "; ".join(words) + "."


def _unlike(done: Sequence[ImageOutcome]) -> int:
    """Images that are unlike what the model learned from."""
    return sum(each.judgement.verdict in ("unlike", "very unlike") for each in done)


def _pooled(report: BatchReport, card: ModelCard) -> dict[str, Any]:
    """The table of all images together: its head, its rows, the note under it."""
    planes = [plane for _, plane in _planes(report)]
    calibrated = all(plane["pixel_size_nm"] is not None for plane in planes)
    common = calibrated or len({plane["pixel_size_nm"] for plane in planes}) == 1
    px_um2 = [((plane["pixel_size_nm"] or 1000.0) / 1000.0) ** 2 for plane in planes]
    weighed = list(zip(planes, px_um2, strict=True))
    sizes = [sum(share["area_px"] for share in plane["classes"]) * px for plane, px in weighed]
    rows: list[list[Any]] = []
    for info in card.classes:
        shares = [_share(plane, info.name) for plane in planes]
        area = sum(s["area_px"] * px for s, px in zip(shares, px_um2, strict=True))
        each = [s["fraction"] for s, size in zip(shares, sizes, strict=True) if size]
        row = [
            info,
            count_text(sum(share["cells"] for share in shares)),
            percent_text(area / sum(sizes) if common and any(sizes) else None),
            area_text(area) if calibrated else pixels_text(sum(s["area_px"] for s in shares)),
        ]
        if info.contains is not None:
            row[2:] = [f"{row[2]} of tiles", ""]
        rows.append(row + (spread_texts(field_spread(each)) if len(each) > 1 else []))
    head = ["Class", "cells", "all images together", "area"]
    note = (
        "Fractions are what the maps say. They are biased by the classifier's errors: review a "
        "sample of cells to correct them."
    )
    if len(rows[0]) > len(head):
        head += ["mean of images, 95 %", "standard deviation", "%RA"]
        note += " The mean of images and %RA are after ASTM E562, each image a field."
    if any(info.contains is not None for info in card.classes):
        note += f" {TILES_NOTE}"
    if not calibrated:
        note += " Areas are in px²: not all images are calibrated."
    if not common:
        note += " Images with and without a scale, or of several, have no common area."
    return {"head": head, "rows": rows, "note": note}


def _files(done: Sequence[ImageOutcome], suffix: str) -> list[Path]:
    return [path for each in done for path in each.files if path.name.endswith(suffix)]


def _pictures(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Names and pictures, one at a time, of those that are still there."""
    for path in files:
        data = _small_picture(path)
        if data:
            yield path.name.removesuffix(ending("overlay")), data


def _small_picture(path: Path) -> str:
    """A picture as JPEG in base64; empty where it is gone."""
    from PIL import Image

    from napari_sem_classify.core.sem_io.raster import open_raster

    buffer = io.BytesIO()
    try:
        small = Image.fromarray(np.asarray(open_raster(path).data)).convert("RGB")
    except ImageError:
        return ""
    small.thumbnail((PICTURE_PX, PICTURE_PX))
    small.save(buffer, "JPEG", quality=82)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _record(done: Sequence[ImageOutcome]) -> tuple[str, Any] | None:
    """The record of the last image: versions, model and device, which the batch has in common."""
    summaries = _files(done, ending("summary"))
    try:
        return summaries[-1].name, read_json(summaries[-1])["record"]
    except (IndexError, OSError, ValueError, KeyError, TypeError):
        return None


def _planes(report: BatchReport) -> list[tuple[ImageOutcome, Mapping[str, Any]]]:
    planes = [(outcome, plane) for outcome in report.done for plane in outcome.planes]
    return sorted(planes, key=lambda each: estimate_of(judgement_in(each[1])))


def _judged(plane: Mapping[str, Any]) -> list[str]:
    judgement = judgement_in(plane)
    expected = judgement.expected
    if expected is None:
        return [judgement.verdict, "", "", ""]
    each = (expected.estimate, expected.low, expected.high)
    return [judgement.verdict, *(number_text(value) for value in each)]


def _share(plane: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for share in plane["classes"]:
        if share["name"] == name:
            return dict(share)
    raise OutputError(
        f"What an earlier run noted names no class {name!r}: classify the images again (--again)."
    )
