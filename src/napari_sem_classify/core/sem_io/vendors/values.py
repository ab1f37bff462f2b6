"""The one form in which every vendor's module hands over what it found, and its checks.

Numbers and lengths of all vendors are read here, in the way of any country; a text that is not
wholly a number with a unit is none.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SMALLEST_PIXEL_NM = 1e-3
LARGEST_PIXEL_NM = 1e6
SQUARE_TOLERANCE = 0.01
# No vendor's panel covers more than this share of the picture.
LARGEST_BAR_SHARE = 0.4

_UNITS_NM = {
    1e9: "m meter metre meters metres",
    1e7: "cm centimeter centimetre centimeters centimetres",
    1e6: "mm millimeter millimetre millimeters millimetres",
    1e3: "um μm mum micron microns micrometer micrometre micrometers micrometres",
    1.0: "nm nanometer nanometre nanometers nanometres",
    0.1: "a å ang angstrom angstroms ångström",
    1e-3: "pm picometer picometre picometers picometres",
    1e-6: "fm femtometer femtometre femtometers femtometres",
}
LENGTH_NM = {name: factor for factor, names in _UNITS_NM.items() for name in names.split()}
_A_PIXEL = re.compile(r"\s*(?:/|\bper\b)\s*(?:px|pix|pixel|pixels)$")

# Digits with the marks that part them, an exponent, and a unit without digits.
_SPACES = " \u00a0\u2007\u2009\u202f'’"
_NUMBER = re.compile(
    rf"([-+]?(?:[0-9][0-9.,{_SPACES}]*|[.,][0-9]+))(?:[eE]([-+]?[0-9]+))?(\s*[^0-9.,:/\\][^0-9]*)?"
)
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:(?P<mark>.)[0-9]{3})(?:(?P=mark)[0-9]{3})*")
_POINT = re.compile(r"\s*[-+]?[0-9]*\.[0-9]+(?:[eE][-+]?[0-9]+)?\s*[^0-9.,]*")
_COMMA = re.compile(
    r"\s*[-+]?(?:[0-9]*,(?:[0-9]{1,2}|[0-9]{4,})|0,[0-9]+|[0-9]+,[0-9]+[eE][-+]?[0-9]+)\s*[^0-9.,]*"
)
_EITHER = re.compile(r"(\s*[-+]?[1-9][0-9]{0,2}),([0-9]{3}\s*(?:[^0-9.,].*)?)")


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
    size_source : str
        How the pixel size was got, where that is more than reading it; "" otherwise.
    scan_shape : (int or None, int), or None
        Rows and columns of which the metadata speak; see `fit`.
    scan_bar_rows : int or None
        Rows of the bar below those; 0 where they count it, None where it is not known.
    plane_spacing_nm : float or None
        Distance between the planes of a stack.
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
    size_source: str = ""
    scan_shape: tuple[int | None, int] | None = None
    scan_bar_rows: int | None = None
    plane_spacing_nm: float | None = None
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
            "plane_spacing_nm",
            "note",
        )
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value not in (None, "")}


def number(value: Any) -> float | None:
    """A finite number from a number, or from text that is one, with a unit or without ("15.0 kV").

    Decimal points and commas, and thousands parted by points, commas, spaces or apostrophes are
    understood. "1,234" can be read in two ways and is no number; see `in_one_locale`.
    """
    if isinstance(value, str):
        return _split(value)[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _split(text: str) -> tuple[float | None, str]:
    """The number that a text is, and the unit after it."""
    match = _NUMBER.fullmatch(text.strip().strip("\x00")[:80])
    if match is None:
        return None, ""
    plain = _plain_decimal(match[1].strip(_SPACES), exponent=match[2] is not None)
    if plain is None:
        return None, ""
    found = float(f"{plain}e{match[2] or 0}")
    return (found if math.isfinite(found) else None), (match[3] or "").strip()


def _plain_decimal(digits: str, *, exponent: bool) -> str | None:
    """Digits with a decimal point alone, None where the marks between them make no number."""
    sign, body = (digits[0], digits[1:]) if digits[0] in "+-" else ("", digits)
    last = max(body.rfind("."), body.rfind(","))
    marks = [mark for mark in body if not mark.isdigit()]
    if not marks:
        return sign + body
    whole, part = (body[:last], body[last + 1 :]) if last >= 0 else (body, "")
    grouped = _THOUSANDS.fullmatch(whole)
    if len(marks) == 1 and last >= 0:
        # A comma before three digits may be of either kind, but not after a nought.
        either = body[last] == "," and len(part) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0"
        return None if either and not exponent else f"{sign}{whole or 0}.{part or 0}"
    if last >= 0 and grouped and grouped["mark"] != body[last]:
        return f"{sign}{re.sub('[^0-9]', '', whole)}.{part or 0}"
    whole_number = _THOUSANDS.fullmatch(body)
    return sign + re.sub("[^0-9]", "", body) if whole_number else None


def in_one_locale(values: Mapping[str, str]) -> dict[str, str]:
    """The values of one file, with "1,234" settled by how its other numbers are written."""
    texts = list(values.values())
    comma, point = (any(p.fullmatch(each) for each in texts) for p in (_COMMA, _POINT))
    if comma == point:
        return dict(values)
    between = "." if comma else ""
    return {
        name: f"{found[1]}{between}{found[2]}" if (found := _EITHER.fullmatch(each)) else each
        for name, each in values.items()
    }


def length_nm(value: Any, unit: str | None) -> float | None:
    """A length in nanometres; None where the number or the unit is not understood."""
    found = number(value)
    factor = _factor_nm(unit)
    return None if found is None or factor is None else found * factor


def length_text_nm(text: Any) -> float | None:
    """A length in nanometres from text such as "10um" or "1,5 µm"."""
    if not isinstance(text, str):
        return None
    found, unit = _split(text)
    return length_nm(found, unit)


def _factor_nm(unit: str | None) -> float | None:
    # NFKC makes the micro sign a mu, and full-width letters plain ones.
    plain = unicodedata.normalize("NFKC", (unit or "").replace("Âµ", "µ")).strip().strip(".")
    return LENGTH_NM.get(_A_PIXEL.sub("", plain.lower()).replace("μ m", "μm"))


def unread(name: str, written: str | None, size: float | None) -> str:
    """The note on a pixel size that is written and not understood, "" where there is none."""
    if size is not None or not (written or "").strip():
        return ""
    return f"{name} is written as {str(written)[:40]!r}, which is no number that can be read"


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


def bar_below(shape: tuple[int, int], rows: Any, cols: Any) -> int | None:
    """Rows of the bar under a scan; None where another width tells that the file was resized."""
    return bar_height(shape[0], rows) if number(cols) == shape[1] else None


def checked_bar(rows: int, bar: Any) -> int | None:
    """A bar height that fits an image of so many rows, else None."""
    found = number(bar)
    if found is None or found != int(found) or not 0 <= found <= LARGEST_BAR_SHARE * rows:
        return None
    return int(found)


def whole(value: Any) -> int | None:
    """A positive whole number, else None."""
    found = number(value)
    return int(found) if found is not None and found == int(found) and found > 0 else None


def scan_shape(rows: Any, cols: Any) -> tuple[int | None, int] | None:
    """Rows and columns of a scan as its metadata tell them; None where they tell no columns."""
    width = whole(cols)
    return None if width is None else (whole(rows), width)


def scaled(value: Any, factor: float) -> float | None:
    """`value` × `factor`, rounded to what was written; None where it is no number."""
    found = number(value)
    return None if found is None else float(f"{found * factor:.9g}")


def part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of the metadata; an empty one where it is not there or no mapping."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def text(value: Any) -> str | None:
    """Trimmed text of at most 200 characters, None where there is none."""
    if value is None or isinstance(value, (dict, list, tuple, bytes)):
        return None
    found = str(value).strip().strip("\x00")
    return found[:200] or None
