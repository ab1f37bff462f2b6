"""Shares, areas, lengths and counts as a microscopist would write them: one wording everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sem_classify.core.maps.class_map import ClassFraction
    from napari_sem_classify.core.measure.area_fraction import Share
    from napari_sem_classify.core.measure.field_statistics import FieldSpread

THIN = "\u2009"
PARTS = ((0.01, 1e6, "nm²"), (1e5, 1.0, "µm²"), (math.inf, 1e-6, "mm²"))
"""Areas below so many µm², their units in a µm², and the unit."""

TILES_NOTE = "A share of tiles is none of the area: the tile holds the class, however little."


def count_text(number: int) -> str:
    """A count with thin spaces between thousands: "7 552"."""
    return f"{number:,}".replace(",", THIN)


def counted(number: int, what: str) -> str:
    """How many of something: "1 tile", "7 552 tiles"."""
    return f"{count_text(number)} {what}{'' if number == 1 else 's'}"


def share_text(share: Share) -> str:
    """A share in percent: "61.2 ± 1.8 %", or "0.4 % (0.1 to 1.6)" where it is lopsided."""
    if math.isnan(share.value):
        return "–"
    value, low, high = (100.0 * part for part in (share.value, share.low, share.high))
    down, up = value - low, high - value
    half = max(down, up)
    # A second digit where rounding to one would hide the uncertainty or the share itself.
    digits = 2 if half < 0.095 or 0 < value < 0.095 else 1
    if half == 0:
        return f"{value:.{digits}f} %"
    if abs(up - down) > half / 3:
        return f"{value:.{digits}f} % ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f} ± {half:.{digits}f} %"


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share in percent, a dash where it is not known."""
    return "–" if share is None or share != share else f"{100 * share:.{digits}f} %"


def fraction_text(row: ClassFraction) -> str:
    """What a class's share is one of: "58.4 %" of the area, or "11.4 % of tiles"."""
    share = percent_text(row.fraction)
    return share if row.is_area else f"{share} of tiles"


def heading_text(rows: Sequence[ClassFraction]) -> str:
    """What the shares of some classes are, over their column."""
    return "Area fraction" if all(row.is_area for row in rows) else "Fraction"


def size_text(row: ClassFraction) -> str:
    """The area of a class: "735 µm²", px² without calibration, "" where only tiles are counted."""
    if not row.is_area:
        return ""
    return pixels_text(row.area_px) if row.area_um2 is None else area_text(row.area_um2)


def cell_of_area(row: ClassFraction) -> str:
    """What stands beside a percentage in a table: the area, or that it is one of tiles."""
    return size_text(row) if row.is_area else "of tiles"


def pixels_text(px: float) -> str:
    """An area without calibration: "12 800 px²"."""
    return f"{count_text(round(px))} px²"


def area_text(um2: float | None) -> str:
    """An area in the unit a microscopist would write; empty without calibration.

    Three digits: more than the map of a classifier warrants would be a promise.
    """
    if um2 is None:
        return ""
    factor, unit = _unit(um2)
    return f"{_digits(um2 * factor, 3)} {unit}"


def share_area_text(share: Share, whole_um2: float | None) -> str:
    """The area of a share of a whole, with as many digits as its interval warrants.

    Two digits of the half-width (GUM, JCGM 100:2008, 7.2.6) and the area to the same place:
    "735 ± 21 µm²"; the limits themselves where the interval is lopsided. Empty without calibration.
    """
    if whole_um2 is None or math.isnan(share.value):
        return ""
    value, low, high = (part * whole_um2 for part in (share.value, share.low, share.high))
    factor, unit = _unit(max(value, high) if value == 0 else value)
    down, up = (value - low) * factor, (high - value) * factor
    half = max(down, up)
    if half <= 0:
        return f"{_digits(value * factor, 3)} {unit}"
    places = 1 - math.floor(math.log10(half))
    told, below, above = (_rounded(part * factor, places) for part in (value, low, high))
    if abs(up - down) > half / 3:
        return f"{told} {unit} ({below} to {above})"
    return f"{told} ± {_rounded(half, places)} {unit}"


def spread_texts(spread: FieldSpread) -> list[str]:
    """Mean with its half-width, standard deviation and relative accuracy, in percent."""
    return [
        f"{100 * spread.mean:.1f} ± {100 * spread.half_width:.1f} %",
        f"{100 * spread.standard_deviation:.1f} %",
        percent_text(spread.relative_accuracy_percent / 100, digits=0),
    ]


def length_text(nm: float) -> str:
    """A length in the unit that suits it: "12.3 nm", "0.79 µm", "1.2 mm"."""
    for limit, factor, unit in ((500.0, 1.0, "nm"), (500e3, 1e3, "µm")):
        if nm < limit:
            return f"{nm / factor:.3g} {unit}"
    return f"{nm / 1e6:.3g} mm"


def bar_text(nm: float) -> str:
    """The length of a scale bar, a round number: "500 nm", "20 µm", "1 mm"."""
    for limit, factor, unit in ((1e3, 1.0, "nm"), (1e6, 1e3, "µm")):
        if nm < limit:
            return f"{nm / factor:g} {unit}"
    return f"{nm / 1e6:g} mm"


def _unit(um2: float) -> tuple[float, str]:
    for limit, factor, unit in PARTS:
        if um2 < limit and (um2 > 0 or unit == "µm²"):
            return factor, unit
    return 1e-6, "mm²"


def _digits(value: float, digits: int) -> str:
    """A number with so many significant digits, never as a power of ten."""
    if value == 0:
        return "0"
    return _rounded(value, digits - 1 - math.floor(math.log10(abs(value))))


def _rounded(value: float, places: int) -> str:
    return f"{round(value, places):,.{max(0, places)}f}".replace(",", THIN)
