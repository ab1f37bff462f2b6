"""The one form in which every vendor's module hands over what it found, and its checks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SMALLEST_PIXEL_NM = 1e-3
LARGEST_PIXEL_NM = 1e6
SQUARE_TOLERANCE = 0.01
# No vendor's panel covers more than this share of the picture.
LARGEST_BAR_SHARE = 0.4

LENGTH_NM = {
    "m": 1e9,
    "meter": 1e9,
    "metre": 1e9,
    "cm": 1e7,
    "mm": 1e6,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "millimeters": 1e6,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "a": 0.1,
    "å": 0.1,
    "angstrom": 0.1,
    "pm": 1e-3,
    "picometer": 1e-3,
    "picometre": 1e-3,
}

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class VendorMetadata:
    """What a microscope wrote about an image, under plain names.

    Attributes
    ----------
    vendor : str
        Maker as users know it ("FEI", "Zeiss").
    pixel_size_nm : float or None
        Side of a square pixel.
    bar_rows : int or None
        Rows of the info bar at the bottom; 0 where the file says there is none; None where it
        does not say.
    instrument, detector, magnification, date : str or None
    accelerating_voltage_kV, working_distance_mm, field_width_um : float or None
    note : str
        One phrase on what was found and not used ("pixels are not square"), "" otherwise.
    raw : mapping
        The vendor's own names and values.
    """

    vendor: str
    pixel_size_nm: float | None = None
    bar_rows: int | None = None
    instrument: str | None = None
    accelerating_voltage_kV: float | None = None
    working_distance_mm: float | None = None
    detector: str | None = None
    magnification: str | None = None
    date: str | None = None
    field_width_um: float | None = None
    note: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Everything known under plain names, without the raw values."""
        names = (
            "vendor",
            "instrument",
            "accelerating_voltage_kV",
            "working_distance_mm",
            "detector",
            "magnification",
            "date",
            "field_width_um",
            "note",
        )
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value not in (None, "")}


def number(value: Any) -> float | None:
    """A finite number from a number or from text that begins with one ("15.0 kV"), else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            found = float(value)
        except OverflowError:
            return None
    elif isinstance(value, str):
        match = _NUMBER.match(value.strip()[:80])
        if match is None:
            return None
        found = float(match.group())
    else:
        return None
    return found if math.isfinite(found) else None


def length_nm(value: Any, unit: str | None) -> float | None:
    """A length in nanometres; None where the number or the unit is not understood."""
    found = number(value)
    factor = LENGTH_NM.get((unit or "").strip().lower())
    return None if found is None or factor is None else found * factor


def length_text_nm(text: Any) -> float | None:
    """A length in nanometres from text such as "10um" or "1.5 µm"."""
    if not isinstance(text, str):
        return None
    match = _NUMBER.match(text.strip()[:80])
    if match is None:
        return None
    return length_nm(match.group(), text.strip()[match.end() : 80])


def pixel_size(x_nm: float | None, y_nm: float | None = None) -> tuple[float | None, str]:
    """The side of a square pixel, and a note where what was found cannot be used.

    Pixels whose sides differ by more than 1 % give no calibration: tiles and areas would be wrong
    in one direction. Sizes outside 0.001 nm to 1 mm are no microscope's.

    Returns
    -------
    pixel_size_nm : float or None
    note : str
    """
    if x_nm is None or not math.isfinite(x_nm):
        return None, ""
    if not SMALLEST_PIXEL_NM <= x_nm <= LARGEST_PIXEL_NM:
        return None, f"a pixel size of {x_nm:.3g} nm in the metadata is not plausible"
    if y_nm is not None and not abs(y_nm - x_nm) <= SQUARE_TOLERANCE * x_nm:
        return None, f"pixels are not square ({x_nm:.4g} × {y_nm:.4g} nm)"
    return x_nm, ""


def bar_height(rows: int, specimen_rows: Any) -> int | None:
    """Rows of the info bar under `specimen_rows` of specimen; None where that makes no sense."""
    found = number(specimen_rows)
    return None if found is None else checked_bar(rows, rows - found)


def checked_bar(rows: int, bar: Any) -> int | None:
    """A bar height that fits an image of so many rows, else None."""
    found = number(bar)
    if found is None or found != int(found) or not 0 <= found <= LARGEST_BAR_SHARE * rows:
        return None
    return int(found)


def scaled(value: Any, factor: float) -> float | None:
    """`value` × `factor`, rounded to what was written; None where it is no number."""
    found = number(value)
    return None if found is None else float(f"{found * factor:.9g}")


def text(value: Any) -> str | None:
    """Trimmed text of at most 200 characters, None where there is none."""
    if value is None or isinstance(value, (dict, list, tuple, bytes)):
        return None
    found = str(value).strip().strip("\x00")
    return found[:200] or None
