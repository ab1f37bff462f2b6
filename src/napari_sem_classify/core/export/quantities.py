"""Shares, areas and lengths as a microscopist would write them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sem_classify.core.measure.area_fraction import Share
    from napari_sem_classify.core.measure.field_statistics import FieldSpread


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


def area_text(um2: float | None) -> str:
    """An area in the unit a microscopist would write; empty without calibration."""
    if um2 is None:
        return ""
    if um2 >= 1e5:
        return f"{um2 / 1e6:.3g} mm²"
    if um2 < 0.01:
        return f"{um2 * 1e6:.3g} nm²"
    return f"{um2:.4g} µm²"


def spread_texts(spread: FieldSpread) -> list[str]:
    """Mean with its half-width, standard deviation and relative accuracy, in percent."""
    return [
        f"{100 * spread.mean:.1f} ± {100 * spread.half_width:.1f} %",
        f"{100 * spread.standard_deviation:.1f} %",
        percent_text(spread.relative_accuracy_percent / 100, digits=0),
    ]


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share in percent, a dash where it is not known."""
    return "–" if share is None or share != share else f"{100 * share:.{digits}f} %"


def length_text(nm: float) -> str:
    """A length with the unit a microscopist would write: "500 nm", "20 µm", "1 mm"."""
    if nm < 1e3:
        return f"{nm:g} nm"
    if nm < 1e6:
        return f"{nm / 1e3:g} µm"
    return f"{nm / 1e6:g} mm"
