"""Numbers as text for people: lengths, durations, counts. One wording for every widget."""

from __future__ import annotations

import re
from pathlib import Path

from napari_sem_classify.core.common.plain_text import printable

THIN = "\u2009"
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def count_text(number: int) -> str:
    """A count with thin spaces between thousands: "7 552"."""
    return f"{number:,}".replace(",", THIN)


def length_text(nm: float) -> str:
    """A length in the unit that suits it: "12.3 nm", "0.79 µm", "1.2 mm"."""
    for limit, factor, unit in ((500.0, 1.0, "nm"), (500e3, 1e3, "µm")):
        if nm < limit:
            return f"{nm / factor:.3g} {unit}"
    return f"{nm / 1e6:.3g} mm"


def area_text(um2: float) -> str:
    """An area in the unit that suits it: "0.21 µm²", "1.4 mm²"."""
    if 0 < um2 < 0.01:
        return f"{um2 * 1e6:.3g} nm²"
    if um2 < 1e5:
        return f"{um2:.3g} µm²" if um2 < 1000 else f"{um2:.0f} µm²"
    return f"{um2 / 1e6:.3g} mm²"


def pixel_size_text(pixel_size_nm: float | None, source: str) -> str:
    """A pixel size and where it comes from: "12.3 nm/px (FEI metadata)"."""
    if pixel_size_nm is None:
        return "not calibrated"
    if pixel_size_nm < 1000:
        size = f"{pixel_size_nm:.4g} nm/px"
    else:
        size = f"{pixel_size_nm / 1000:.4g} µm/px"
    return f"{size} ({source})"


def duration_text(seconds: float) -> str:
    """A duration as one would say it: "0.4 s", "16 s", "3 min 20 s", "1 h 5 min"."""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def percent_text(fraction: float) -> str:
    """A fraction as a percentage with one decimal: "58.4 %", "–" where there is none."""
    return "–" if fraction != fraction else f"{100 * fraction:.1f} %"


def shortened(text: str, most: int = 34) -> str:
    """A long name with its middle left out, so that it fits in a narrow dock."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[head + 1 - most :]}"


def as_it_is(text: str | Path) -> str:
    """Text from outside for a label, a tooltip or a message: Qt takes none of it for mark-up.

    A class may be called ``<img src=x>`` or ``<b>oxide``. Behind its bracket comes a character that
    is not seen (U+2060), and no tag begins so.
    """
    return _TAG.sub("<\u2060", printable(str(text), lines=True))
