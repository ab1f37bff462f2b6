"""What a batch found in all its images: one table, one list of failures, one HTML page.

The page is made of the numbers and pictures that the images left, one at a time, so that a thousand
images take no more memory than one.
"""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from napari_sem_classify.core.batch.batch_outcome import BatchReport, ImageOutcome
from napari_sem_classify.core.batch.batch_outputs import KINDS
from napari_sem_classify.core.common.files import ensure_folder, to_json, write_text
from napari_sem_classify.core.common.html_page import data_table, page
from napari_sem_classify.core.export.figure import area_text
from napari_sem_classify.core.export.report import card_section, class_cell, failures_section
from napari_sem_classify.core.measure.field_statistics import field_spread
from napari_sem_classify.core.model.card import ModelCard

TABLE, FAILURES, PAGE = "batch.csv", "batch.failures.csv", "batch.html"
COLUMNS = (
    *("image", "plane", "files", "tile_px", "stride_px", "pixel_size_nm"),
    *("cells", "cells_left_out", "area_um2"),
)
MOST_PICTURES = 60
PICTURE_PX = 640


def write_batch_report(report: BatchReport, out: Path, card: ModelCard) -> list[Path]:
    """Write ``batch.csv``, ``batch.html`` and, where there were any, ``batch.failures.csv``.

    Parameters
    ----------
    report : BatchReport
    out : Path
        The batch's folder.
    card : ModelCard
        Of the model that was used.

    Raises
    ------
    OutputError
        When they cannot be written.
    """
    ensure_folder(out)
    written = [out / TABLE, out / PAGE]
    write_text(out / TABLE, batch_csv(report, card))
    failures = out / FAILURES
    if report.failed:
        rows = [[str(each.path), each.problem] for each in report.failed]
        write_text(failures, _csv([["image", "problem"], *rows]))
        written.insert(1, failures)
    else:
        failures.unlink(missing_ok=True)  # of an earlier run
    write_text(out / PAGE, batch_html(report, card))
    return written


def batch_csv(report: BatchReport, card: ModelCard) -> str:
    """The table as text: a row per classified image (of a stack per plane).

    ``fraction_<class>`` is the share of the classified area, 0 to 1, as the map says;
    ``area_um2_<class>`` is empty without calibration. ``files`` is the start of the image's files.
    """
    names = card.class_names
    head = [*COLUMNS, *(f"fraction_{n}" for n in names), *(f"area_um2_{n}" for n in names)]
    rows: list[list[Any]] = [[*head, "tile_size_note"]]
    for outcome, plane in _planes(report):
        shares = [_share(plane, name) for name in names]
        areas = [share["area_um2"] for share in shares]
        whole = None if None in areas else sum(areas)
        rows.append(
            [
                *(str(outcome.path), "/".join(str(index) for index in plane["plane"])),
                *(outcome.stem, plane["tile_px"], plane["stride_px"]),
                *(_number(plane["pixel_size_nm"]), plane["cells"], plane["cells_left_out"]),
                _number(whole),
                *(_number(share["fraction"]) for share in shares),
                *(_number(area) for area in areas),
                outcome.note,
            ]
        )
    return _csv(rows)


def batch_html(report: BatchReport, card: ModelCard) -> str:
    """The page as text: pooled fractions, a row per image, pictures, failures, model, record."""
    done, failed = len(report.done), len(report.failed)
    title = f"{card.name}: {done} image{'' if done == 1 else 's'}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{_summary(report, card)}</p>",
        _pooled(report, card) if done else "",
        failures_section({str(each.path): each.problem for each in report.failed}),
        _per_image(report, card) if done else "",
        _pictures(report.done),
        card_section(card),
        _record(report.done),
    ]
    if failed:
        parts[1] += f"\n<p><b>{failed} files could not be used</b>; they are named below.</p>"
    return page(title, [part for part in parts if part])


def _summary(report: BatchReport, card: ModelCard) -> str:
    cells = sum(p["cells"] - p["cells_left_out"] for _, p in _planes(report))
    left_out = sum(p["cells_left_out"] for _, p in _planes(report))
    earlier = sum(each.resumed for each in report.done)
    warned = sum(each.scale_warning for each in report.done)
    words = [f"{len(report.done)} images, {cells:,} cells classified with {escape(card.name)}"]
    if left_out:
        words.append(f"{left_out:,} cells left out")
    if earlier:
        words.append(f"{earlier} images were finished by an earlier run")
    text = "; ".join(words) + "."
    if warned:
        text += (
            f" <b>{warned} images have another scale than the model learned at, or none</b>: see "
            "the notes in the table."
        )
    return text


def _pooled(report: BatchReport, card: ModelCard) -> str:
    planes = [plane for _, plane in _planes(report)]
    calibrated = all(plane["pixel_size_nm"] is not None for plane in planes)
    one_scale = len({plane["pixel_size_nm"] for plane in planes}) == 1
    measure = "area_um2" if calibrated else "area_px"
    sizes = [sum(share[measure] for share in plane["classes"]) for plane in planes]
    rows = []
    for info in card.classes:
        shares = [_share(plane, info.name) for plane in planes]
        area = sum(share[measure] for share in shares)
        each = [s["fraction"] for s, size in zip(shares, sizes, strict=True) if size]
        row = [
            class_cell(info.name, info.colour),
            f"{sum(share['cells'] for share in shares):,}",
            f"{100 * area / sum(sizes):.1f} %" if calibrated or one_scale else "–",
            area_text(area) if calibrated else f"{area:,} px (not calibrated)",
        ]
        if len(each) > 1:
            spread = field_spread(each)
            relative = spread.relative_accuracy_percent
            row += [
                f"{100 * spread.mean:.1f} ± {100 * spread.half_width:.1f} %",
                f"{100 * spread.standard_deviation:.1f} %",
                "–" if math.isnan(relative) else f"{relative:.0f} %",
            ]
        rows.append(row)
    head = ["Class", "cells", "all images together", "area"]
    note = (
        "Fractions are what the maps say. They are biased by the classifier's errors: review a "
        "sample of cells to correct them."
    )
    if len(rows[0]) > len(head):
        head += ["mean of images, 95 %", "standard deviation", "%RA"]
        note += " The mean of images and %RA are after ASTM E562, each image a field."
    if not (calibrated or one_scale):
        note += " Images with and without a scale, or of several, have no common area."
    return f'<h2>Area fractions</h2>\n{data_table(head, rows)}\n<p class="note">{note}</p>'


def _per_image(report: BatchReport, card: ModelCard) -> str:
    rows = []
    for outcome, plane in _planes(report):
        index = "".join(f", plane {n}" for n in plane["plane"])
        shares = [_share(plane, name)["fraction"] for name in card.class_names]
        size = plane["pixel_size_nm"]
        tile = f"{plane['tile_px']} px"
        tile += "" if size is None else f" = {plane['tile_px'] * size / 1000:.3g} µm"
        mark = f' <b title="{escape(outcome.note)}">⚠</b>' if outcome.scale_warning else ""
        rows.append(
            [
                f'<span title="{escape(str(outcome.path))}">{escape(outcome.path.name)}</span>'
                f"{index}",
                f"{tile}{mark}",
                f"{plane['cells'] - plane['cells_left_out']:,}",
                *("–" if share is None else f"{100 * share:.1f} %" for share in shares),
            ]
        )
    head = ["Image", "tile", "cells", *(escape(name) for name in card.class_names)]
    notes = {each.note for each in report.done if each.scale_warning}
    told = "".join(f'<p class="note">⚠ {escape(note)}.</p>' for note in sorted(notes)[:5])
    return f"<h2>Images</h2>\n{data_table(head, rows)}{told}"


def _pictures(done: Sequence[ImageOutcome]) -> str:
    suffix = f".{KINDS['overlay'].suffix}"
    files = [path for each in done for path in each.files if path.name.endswith(suffix)]
    figures = []
    for path in files[:MOST_PICTURES]:
        name = escape(path.name.removesuffix(suffix))
        data = _small_picture(path)
        if data:
            figures.append(
                f'<figure><img alt="{name}: classes over the specimen" '
                f'src="data:image/jpeg;base64,{data}"><figcaption>{name}</figcaption></figure>'
            )
    if not figures:
        return ""
    more = len(files) - MOST_PICTURES
    rest = f'<p class="note">{more} more are in the folder.</p>' if more > 0 else ""
    return "<h2>Pictures</h2>\n" + "\n".join(figures) + rest


def _small_picture(path: Path) -> str:
    """A picture as JPEG in base64; empty where it is gone."""
    from PIL import Image

    buffer = io.BytesIO()
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((PICTURE_PX, PICTURE_PX))
    except OSError:
        return ""
    small.save(buffer, "JPEG", quality=82)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _record(done: Sequence[ImageOutcome]) -> str:
    """The record of the last image: versions, model and device, which the batch has in common."""
    import json

    suffix = f".{KINDS['summary'].suffix}"
    summaries = [path for each in done for path in each.files if path.name.endswith(suffix)]
    if not summaries:
        return ""
    try:
        record = json.loads(summaries[-1].read_text(encoding="utf-8"))["record"]
    except (OSError, ValueError, KeyError):
        return ""
    name = escape(summaries[-1].name)
    return (
        f"<h2>Record</h2>\n<p>Each image's is in its own <code>*{suffix}</code>; "
        "<code>napari-sem-classify rerun</code> repeats it.</p>\n"
        f"<details><summary>{name}</summary>\n<pre>{escape(to_json(record))}</pre></details>"
    )


def _planes(report: BatchReport) -> list[tuple[ImageOutcome, Mapping[str, Any]]]:
    return [(outcome, plane) for outcome in report.done for plane in outcome.planes]


def _share(plane: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    share: Mapping[str, Any] = next(each for each in plane["classes"] if each["name"] == name)
    return share


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
