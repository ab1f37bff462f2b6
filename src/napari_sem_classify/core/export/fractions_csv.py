"""Area fractions as a table: each image as its map says, and all together corrected."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import FractionEstimate, Share

ALL = "(all images)"
COLUMNS = (
    *("image", "plane", "class", "cells", "area_px", "area_um2", "fraction"),
    *("corrected", "standard_error", "low", "high", "prediction_powered"),
    *("prediction_powered_low", "prediction_powered_high", "cells_reviewed", "users_accuracy"),
    *("users_low", "users_high", "producers_accuracy", "producers_low", "producers_high"),
)


def fractions_csv(
    maps: Sequence[ClassMap],
    estimate: FractionEstimate | None = None,
    powered: Sequence[Share] | None = None,
) -> str:
    """The table as text: a row per image and class, then, with an `estimate`, one per class of all.

    Fractions are shares of the classified area, 0 to 1. What is not known is empty: µm² without
    calibration, corrected values of single images, whose review was one of all images together.

    Parameters
    ----------
    maps : sequence of ClassMap
        Of the same classes.
    estimate : FractionEstimate, optional
        From one review of all the maps.
    powered : sequence of Share, optional
        The prediction-powered estimate of the same review.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    each = [class_map.fractions() for class_map in maps]
    blank = [""] * (len(COLUMNS) - 7)
    for class_map, rows in zip(maps, each, strict=True):
        plane = "/".join(str(index) for index in class_map.plane)
        for row in rows:
            area = [row.cells, row.area_px, _number(row.area_um2), _number(row.fraction)]
            writer.writerow([class_map.image_name, plane, row.name, *area, *blank])
    if estimate is None:
        return text.getvalue()
    reviewed = estimate.counts.counts.sum(axis=1)
    for k, name in enumerate(estimate.names):
        share = estimate.corrected[k]
        calibrated = all(rows[k].area_um2 is not None for rows in each)
        um2 = sum(rows[k].area_um2 or 0.0 for rows in each) if calibrated else None
        second = _interval(powered[k]) if powered is not None else ["", "", ""]
        writer.writerow(
            [
                *(ALL, "", name, sum(rows[k].cells for rows in each)),
                *(sum(rows[k].area_px for rows in each), _number(um2)),
                *(_number(estimate.naive[k]), _number(share.value)),
                *(_number(share.standard_error), _number(share.low), _number(share.high)),
                *(*second, int(reviewed[k])),
                *(*_interval(estimate.users[k]), *_interval(estimate.producers[k])),
            ]
        )
    return text.getvalue()


def write_fractions(
    maps: Sequence[ClassMap],
    path: Path,
    estimate: FractionEstimate | None = None,
    powered: Sequence[Share] | None = None,
) -> None:
    """Write the table of `fractions_csv`.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    write_text(path, fractions_csv(maps, estimate, powered))


def _interval(share: Share) -> list[str]:
    return [_number(share.value), _number(share.low), _number(share.high)]


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"
