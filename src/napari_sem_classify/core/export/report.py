"""A one-page report: pictures, area fractions, model card and record in one HTML file.

The file needs no network and no other file: pictures are inside it, nothing is loaded, nothing
runs. Its text is in ``report.html``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.common.html_page import as_base64, render
from napari_sem_classify.core.export.figure import draw_figure
from napari_sem_classify.core.export.measured import Measured, file_stem
from napari_sem_classify.core.export.quantities import (
    TILES_NOTE,
    area_text,
    count_text,
    counted,
    fraction_text,
    pixels_text,
    share_area_text,
    share_text,
    size_text,
    spread_texts,
)
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import FractionEstimate
from napari_sem_classify.core.measure.field_statistics import pooled_fractions
from napari_sem_classify.core.measure.regions import find_regions
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.transfer import judgement_in

MOST_PICTURES = 24
NOT_CORRECTED = (
    "These fractions are what the map says. They are biased by the classifier's errors: review a "
    "sample of cells to correct them."
)
NOT_BLIND = (
    "The map was in view during the review: one tends to agree with it, so that the fractions may "
    "be corrected too little."
)


def write_report(measured: Measured, path: Path) -> None:
    """Write the report as one HTML file, all of it or nothing.

    Raises
    ------
    OutputError
        When an image is not at hand, the maps have different classes, or the file cannot be
        written.
    ImageError
        When an image cannot be read for its picture.
    """
    write_text(path, report_html(measured))


def _card_of(maps: Sequence[ClassMap]) -> ModelCard | None:
    """The card of the model that made all these maps, where its file is found by the records."""
    from napari_sem_classify.core.classify.rerun_inputs import recorded_card

    models = [class_map.record.get("model") or {} for class_map in maps]
    hashes = {model.get("head_sha256") for model in models}
    return recorded_card(models[0]) if len(hashes) == 1 else None


def report_html(measured: Measured) -> str:
    """The report as text, with the model's card where its file is found; see `write_report`."""
    maps, estimate = measured.maps, measured.estimate
    names = [[info.name for info in class_map.classes] for class_map in maps]
    if any(each != names[0] for each in names):
        raise OutputError("The maps have different classes: make a report for each model.")
    of = file_stem(maps[0]) if len(maps) == 1 else f"{len(maps)} images"
    return render(
        "export/report.html",
        title=measured.title or f"Area fractions of {of}",
        summary=_summary(maps),
        judgements=_judgements(maps),
        fractions=_fractions(measured),
        accuracies=[] if estimate is None else _accuracies(estimate),
        overall="" if estimate is None else share_text(estimate.overall),
        fields=_fields(measured),
        n_fields=measured.spreads[0].fields if measured.spreads else 0,
        pictures=_pictures(measured),
        not_shown=len(maps) - MOST_PICTURES,
        regions=_regions(maps),
        failures=[f"{name}: {why}" for name, why in measured.failures.items()],
        card=measured.card or _card_of(maps),
        records=[(each.image_name or "image", dict(each.record)) for each in maps],
    )


def _summary(maps: Sequence[ClassMap]) -> str:
    cells = sum(int((~m.left_out).sum()) for m in maps)
    left = sum(int(m.left_out.sum()) for m in maps)
    grid, size = maps[0].grid, maps[0].pixel_size_nm
    tile = f"{grid.tile} px"
    tile += " (not calibrated)" if size is None else f" = {grid.tile * size / 1000:.4g} µm"
    images = f"{len(maps)} images" if len(maps) > 1 else maps[0].image_name or "1 image"
    text = f"{images}, {counted(cells, 'cell')} classified, tiles of {tile}"
    if len({(m.grid.tile, m.pixel_size_nm) for m in maps}) > 1:
        text += " in the first image"
    return text + (f"; {counted(left, 'cell')} left out." if left else ".")


def _judgements(maps: Sequence[ClassMap]) -> list[tuple[str, str]]:
    """Name and sentence of each image of which it is known whether the model holds there."""
    judged = [(each.image_name or "image", judgement_in(each.record)) for each in maps]
    return [(name, each.sentence) for name, each in judged if each.agreement is not None]


def _fractions(measured: Measured) -> dict[str, Any]:
    """The table of area fractions: its head, its rows, what is printed bold, the note under it."""
    estimate, powered = measured.estimate, measured.powered
    pooled = pooled_fractions(measured.maps)
    total_px = sum(each.area_px for each in pooled)
    head = ["Class", "cells", "map as it is"]
    if estimate is not None:
        head += ["corrected"] + (["prediction-powered"] if powered else [])
    head += ["area"]
    rows = []
    for k, (info, each) in enumerate(zip(measured.map.classes, pooled, strict=True)):
        size = size_text(each)
        row: list[Any] = [info, count_text(each.cells), fraction_text(each)]
        if estimate is not None:
            share = estimate.corrected[k]
            row.append(share_text(share))
            if powered:
                row.append(share_text(powered[k]))
            if each.is_area:
                size = share_area_text(share, estimate.area_um2) or pixels_text(
                    share.value * total_px
                )
        row.append(size)
        rows.append(row)
    note = NOT_CORRECTED
    if estimate is not None:
        n, unit = int(estimate.counts.counts.sum()), estimate.counts.unit
        note = (
            f"Corrected by {counted(n, f'reviewed {unit}')} (stratified estimator, Olofsson et al. "
            f"2014); {100 * estimate.level:.0f} % intervals. They speak of the classified images. "
        ) + " ".join([*estimate.notes, *_how_reviewed(measured.blind)])
    if not all(each.is_area for each in pooled):
        note += f" {TILES_NOTE}"
    if any(each.is_area and each.area_um2 is None for each in pooled):
        note += " Areas are in px²: not calibrated."
    return {"head": head, "rows": rows, "strong": None if estimate is None else 3, "note": note}


def _how_reviewed(blind: bool | None) -> list[str]:
    """What to add about the reviewer, nothing where nothing is known."""
    if blind is None:
        return []
    return ["The review was blind: the map was hidden."] if blind else [NOT_BLIND]


def _accuracies(estimate: FractionEstimate) -> list[list[str]]:
    reviewed = estimate.counts.counts.sum(axis=1)
    each = zip(estimate.names, reviewed, estimate.users, estimate.producers, strict=True)
    return [[name, str(int(n)), share_text(u), share_text(p)] for name, n, u, p in each]


def _fields(measured: Measured) -> list[list[str]]:
    if not measured.spreads:
        return []
    pairs = zip(measured.map.classes, measured.spreads, strict=True)
    return [[info.name, *spread_texts(spread)] for info, spread in pairs]


def _pictures(measured: Measured) -> Iterator[tuple[str, str]]:
    images = measured.need_images("a report")
    for number, image in enumerate(images[:MOST_PICTURES]):
        one = measured.one(number)
        figure = draw_figure(one.map, image, one.estimate)
        yield one.map.image_name or image.name, as_base64(figure)


def _regions(maps: Sequence[ClassMap]) -> list[list[Any]]:
    regions = [region for class_map in maps for region in find_regions(class_map)]
    calibrated = all(m.pixel_size_nm is not None for m in maps)
    rows: list[list[Any]] = []
    for info in maps[0].classes:
        mine = [region for region in regions if region.class_name == info.name]
        largest = max(mine, key=lambda region: region.area_um2 or region.area_px, default=None)
        size = "–"
        if largest is not None:
            told = largest.area_um2 if calibrated else None
            size = pixels_text(largest.area_px) if told is None else area_text(told)
            if info.contains is not None:
                size = counted(largest.cells, "tile")
        at_border = sum(region.at_border for region in mine)
        rows.append([info, count_text(len(mine)), count_text(at_border), size])
    return rows
