"""A one-page report: pictures, area fractions, model card and record in one HTML file.

The file needs no network and no other file: pictures are inside it, nothing is loaded, nothing
runs. Every text from outside (names, cards, records) is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.files import to_json, write_text
from napari_sem_classify.core.common.html_page import data_table, page
from napari_sem_classify.core.export.figure import area_text, draw_figure, share_text
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import FractionEstimate, Share
from napari_sem_classify.core.measure.field_statistics import FieldSpread
from napari_sem_classify.core.measure.regions import find_regions
from napari_sem_classify.core.model.card import ModelCard

PICTURE_DPI = 130
MOST_PICTURES = 24
NOT_BLIND = (
    "The map was in view during the review: one tends to agree with it, so that the fractions may "
    "be corrected too little."
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a report tells.

    Attributes
    ----------
    title : str
    pairs : sequence of (ClassMap, SemImage)
        At least one.
    estimate : FractionEstimate or None
        From a review of all the maps together.
    powered : sequence of Share or None
        The prediction-powered estimate of the same review.
    spreads : sequence of FieldSpread or None
        One a class, over the fields.
    card : ModelCard or None
        Of the model that made the maps.
    failures : mapping of str to str
        Files that could not be used and why.
    blind : bool or None
        Whether the reviewer never saw what the map says; None where that is not known.
    """

    title: str
    pairs: Sequence[tuple[ClassMap, SemImage]]
    estimate: FractionEstimate | None = None
    powered: Sequence[Share] | None = None
    spreads: Sequence[FieldSpread] | None = None
    card: ModelCard | None = None
    failures: Mapping[str, str] | None = None
    blind: bool | None = None


def write_report(report: Report, path: Path) -> None:
    """Write the report as one HTML file, all of it or nothing.

    Raises
    ------
    OutputError
        When the file cannot be written.
    ImageError
        When an image cannot be read for its picture.
    """
    write_text(path, report_html(report))


def report_html(report: Report) -> str:
    """The report as text."""
    maps = [class_map for class_map, _ in report.pairs]
    parts = [
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{_summary(maps)}</p>",
        _fractions(report, maps),
        _accuracies(report),
        _fields(report, maps),
        _pictures(report),
        _regions(maps),
        failures_section(report.failures),
        card_section(report.card),
        _records(maps),
    ]
    return page(report.title, [part for part in parts if part])


def _summary(maps: Sequence[ClassMap]) -> str:
    cells = sum(int((~m.left_out).sum()) for m in maps)
    left = sum(int(m.left_out.sum()) for m in maps)
    grid, size = maps[0].grid, maps[0].pixel_size_nm
    tile = f"{grid.tile} px"
    tile += " (not calibrated)" if size is None else f" = {grid.tile * size / 1000:.4g} µm"
    images = f"{len(maps)} images" if len(maps) > 1 else escape(maps[0].image_name or "1 image")
    text = f"{images}, {cells:,} cells classified, tiles of {tile}"
    if len({(m.grid.tile, m.pixel_size_nm) for m in maps}) > 1:
        text += " in the first image"
    return text + (f"; {left:,} cells left out." if left else ".")


def class_cell(name: str, colour: str) -> str:
    """A class as HTML: a square of its colour and its name."""
    return f'<span class="swatch" style="background:{escape(colour)}"></span>{escape(name)}'


def _fractions(report: Report, maps: Sequence[ClassMap]) -> str:
    estimate = report.estimate
    each = [class_map.fractions() for class_map in maps]
    total_px = sum(row.area_px for rows in each for row in rows)
    calibrated = all(m.pixel_size_nm is not None for m in maps)
    head = ["Class", "cells", "map as it is"]
    if estimate is not None:
        head += ["corrected"] + (["prediction-powered"] if report.powered else [])
    head += ["area"]
    rows = []
    for k, info in enumerate(maps[0].classes):
        px = sum(fractions[k].area_px for fractions in each)
        um2 = sum(fractions[k].area_um2 or 0.0 for fractions in each) if calibrated else None
        naive = f"{100 * px / total_px:.1f} %" if total_px else "–"
        cells = f"{sum(fractions[k].cells for fractions in each):,}"
        row = [class_cell(info.name, info.colour), cells, naive]
        if estimate is not None:
            share = estimate.corrected[k]
            row.append(f"<b>{share_text(share)}</b>")
            if report.powered:
                row.append(share_text(report.powered[k]))
            whole = estimate.area_um2
            um2 = None if whole is None else share.value * whole
            px = round(share.value * total_px)
        row.append(area_text(um2) if um2 is not None else f"{px:,} px (not calibrated)")
        rows.append(row)
    if estimate is None:
        note = (
            "These fractions are what the map says. They are biased by the classifier's errors: "
            "review a sample of cells to correct them."
        )
    else:
        n = int(estimate.counts.counts.sum())
        note = (
            f"Corrected by {n} reviewed cells (stratified estimator, Olofsson et al. 2014); "
            f"{100 * estimate.level:.0f} % intervals. They speak of the classified images. "
        ) + " ".join([*estimate.notes, *_how_reviewed(report.blind)])
    return f'<h2>Area fractions</h2>\n{data_table(head, rows)}\n<p class="note">{escape(note)}</p>'


def _how_reviewed(blind: bool | None) -> list[str]:
    """What to add about the reviewer, nothing where nothing is known."""
    if blind is None:
        return []
    return ["The review was blind: the map was hidden."] if blind else [NOT_BLIND]


def _accuracies(report: Report) -> str:
    estimate = report.estimate
    if estimate is None:
        return ""
    reviewed = estimate.counts.counts.sum(axis=1)
    rows = [
        [
            escape(name),
            str(int(reviewed[k])),
            share_text(estimate.users[k]),
            share_text(estimate.producers[k]),
        ]
        for k, name in enumerate(estimate.names)
    ]
    head = ["Class", "cells reviewed", "user's accuracy", "producer's accuracy"]
    return (
        f"<h2>Accuracy of the map</h2>\n{data_table(head, rows)}\n"
        f'<p class="note">Overall {share_text(estimate.overall)} of the area has the right class. '
        "User's accuracy: of what the map calls the class, how much is. "
        "Producer's accuracy: of what is the class, how much the map calls so.</p>"
    )


def _fields(report: Report, maps: Sequence[ClassMap]) -> str:
    if not report.spreads:
        return ""
    rows = []
    for info, spread in zip(maps[0].classes, report.spreads, strict=True):
        accuracy = spread.relative_accuracy_percent
        rows.append(
            [
                escape(info.name),
                f"{100 * spread.mean:.1f} ± {100 * spread.half_width:.1f} %",
                f"{100 * spread.standard_deviation:.1f} %",
                "–" if accuracy != accuracy else f"{accuracy:.0f} %",
            ]
        )
    head = ["Class", "mean of fields, 95 %", "standard deviation", "%RA"]
    return (
        f"<h2>From field to field</h2>\n{data_table(head, rows)}\n"
        f'<p class="note">{report.spreads[0].fields} fields, after ASTM E562.</p>'
    )


def _pictures(report: Report) -> str:
    shown = report.pairs[:MOST_PICTURES]
    # A pooled estimate is no statement about one image of several.
    estimate = report.estimate if len(report.pairs) == 1 else None
    figures = []
    for class_map, image in shown:
        name = escape(class_map.image_name or image.name)
        data = base64.b64encode(_png(class_map, image, estimate)).decode("ascii")
        figures.append(
            f'<figure><img alt="{name}: specimen and classes" '
            f'src="data:image/png;base64,{data}"><figcaption>{name}</figcaption></figure>'
        )
    more = len(report.pairs) - len(shown)
    rest = f'<p class="note">{more} more images are not shown.</p>' if more else ""
    return "<h2>Pictures</h2>\n" + "\n".join(figures) + rest


def _png(class_map: ClassMap, image: SemImage, estimate: FractionEstimate | None) -> bytes:
    buffer = io.BytesIO()
    figure = draw_figure(class_map, image, estimate)
    figure.savefig(buffer, dpi=PICTURE_DPI, facecolor="white", format="png")
    return buffer.getvalue()


def _regions(maps: Sequence[ClassMap]) -> str:
    regions = [region for class_map in maps for region in find_regions(class_map)]
    calibrated = all(m.pixel_size_nm is not None for m in maps)
    rows = []
    for info in maps[0].classes:
        mine = [region for region in regions if region.class_name == info.name]
        largest = max(mine, key=lambda region: region.area_um2 or region.area_px, default=None)
        size = "–"
        if largest is not None:
            size = area_text(largest.area_um2) if calibrated else f"{largest.area_px:,} px"
        at_border = sum(region.at_border for region in mine)
        rows.append([class_cell(info.name, info.colour), f"{len(mine):,}", f"{at_border:,}", size])
    head = ["Class", "regions", "of them at the border", "largest"]
    return f"<h2>Connected regions</h2>\n{data_table(head, rows)}"


def failures_section(failures: Mapping[str, str] | None) -> str:
    """Files that could not be used and why; empty without any."""
    if not failures:
        return ""
    lines = "\n".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in failures.items())
    return f"<h2>Files that could not be used</h2>\n<ul>\n{lines}\n</ul>"


def card_section(card: ModelCard | None) -> str:
    """What the model is, and its whole card to unfold; empty without one."""
    if card is None:
        return ""
    size = card.pixel_size_nm
    learned = "not calibrated" if size is None else f"{size:.4g} nm/px"
    about = (
        f"{card.name}, {card.kind}: {', '.join(card.class_names)}; learned from tiles of "
        f"{card.tile_px} px, {learned}."
    )
    return (
        f"<h2>Model</h2>\n<p>{escape(about)}</p>\n"
        f"<details><summary>Model card</summary>\n<pre>{_json(card.to_dict())}</pre></details>"
    )


def _records(maps: Sequence[ClassMap]) -> str:
    parts = ["<h2>Record</h2>"]
    for class_map in maps:
        name = escape(class_map.image_name or "image")
        record = _json(dict(class_map.record))
        parts.append(f"<details><summary>{name}</summary>\n<pre>{record}</pre></details>")
    return "\n".join(parts)


def _json(value: Any) -> str:
    return escape(to_json(value))
