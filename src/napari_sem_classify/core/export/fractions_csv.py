"""Area fractions as a table: each image as its map says, and all together corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from napari_sem_classify.core.common.csv_text import csv_text, number_text
from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap
from napari_sem_classify.core.measure.area_fraction import FractionEstimate, Share
from napari_sem_classify.core.measure.field_statistics import pooled_fractions

ALL = "(all images)"
COLUMNS = (
    *("image", "plane", "class", "cells", "area_px", "area_um2", "fraction"),
    *("corrected", "standard_error", "low", "high", "prediction_powered"),
    *("prediction_powered_low", "prediction_powered_high", "cells_reviewed", "users_accuracy"),
    *("users_low", "users_high", "producers_accuracy", "producers_low", "producers_high"),
    "reviewed",
)


def fractions_csv(
    maps: Sequence[ClassMap],
    estimate: FractionEstimate | None = None,
    powered: Sequence[Share] | None = None,
) -> str:
    """The table as text: a row per image and class, then, with an `estimate`, one per class of all.

    Fractions are shares of the classified area, 0 to 1. Those of "tiles with crack" are shares of
    tiles, each with its pixels, and have no area. What is not known is empty: µm² without
    calibration, corrected values of single images, whose review was one of all images together.
    ``reviewed`` tells what was looked at, cells or points; ``cells_reviewed`` counts either.

    Parameters
    ----------
    maps : sequence of ClassMap
        Of the same classes.
    estimate : FractionEstimate, optional
        From one review of all the maps.
    powered : sequence of Share, optional
        The prediction-powered estimate of the same review.
    """
    each = [class_map.fractions() for class_map in maps]
    rows: list[list[Any]] = []
    blank = [""] * (len(COLUMNS) - 7)
    for class_map, shares in zip(maps, each, strict=True):
        plane = "/".join(str(index) for index in class_map.plane)
        for row in shares:
            told = [*_size(row), number_text(row.fraction)]
            rows.append([class_map.image_name, plane, row.title, *told, *blank])
    if estimate is not None:
        rows += _corrected(pooled_fractions(maps), estimate, powered)
    return csv_text(COLUMNS, rows)


def _corrected(
    pooled: Sequence[ClassFraction], estimate: FractionEstimate, powered: Sequence[Share] | None
) -> Iterator[list[Any]]:
    """A row per class of all the maps together."""
    reviewed = estimate.counts.counts.sum(axis=1)
    for k, raw in enumerate(pooled):
        share = estimate.corrected[k]
        second = _interval(powered[k]) if powered is not None else ["", "", ""]
        yield [
            *(ALL, "", raw.title, *_size(raw)),
            *(number_text(estimate.naive[k]), number_text(share.value)),
            *(number_text(share.standard_error), number_text(share.low), number_text(share.high)),
            *(*second, int(reviewed[k])),
            *(*_interval(estimate.users[k]), *_interval(estimate.producers[k])),
            f"{estimate.counts.unit}s",
        ]


def _size(row: ClassFraction) -> list[Any]:
    """Cells, px² and µm² of a class."""
    return [row.cells, row.area_px if row.is_area else "", number_text(row.area_um2)]


def _interval(share: Share) -> list[str]:
    return [number_text(share.value), number_text(share.low), number_text(share.high)]
