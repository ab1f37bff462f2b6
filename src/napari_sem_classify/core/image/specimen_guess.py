"""Which specimen an image shows, guessed from the names that microscopists give to files."""

from __future__ import annotations

import re
from pathlib import Path

_TILE = re.compile(r"[ _\-]*[ry]\d+[ _\-]+[cx]\d+$")
"""The place of a tile that was cut to a file, as `write_tiles` names it."""

_COUNTER = re.compile(r"\d+$")
_GAPS = re.compile(r"[ _\-.,()\[\]]+")
_RECORDING = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"\d+(?:\.\d+)? ?k?V|x ?\d+(?:\.\d+)?k?|\d+(?:\.\d+)?k? ?x"  # voltage, magnification
    r"|\d+(?:d|deg|°)"  # turned on the stage
    r"|\d+(?:\.\d+)? ?(?:nm|um|µm|μm|mm|pA|nA|WD)|WD ?\d+(?:\.\d+)?"
    r"|SE2?|BSE|ETD|CBS|TLD|SED|BED|InLens|HighVac|LowVac|HV|LV|z\d+"
    r")(?![A-Za-z0-9])",
    re.IGNORECASE,
)


def guess_specimen(path: Path) -> str:
    """The specimen that an image file shows, as its name and folder have it.

    What remains of the name without, in this order, the place of a tile (``_r0003_c0012``), the
    counter at its end, and what tells of the recording (20 kV, x500, BSE, 180d). Where that holds
    no number it names a kind of image rather than a specimen, unless it was cut to tiles: then
    the folder counts too. Two specimens that are taken for one cost tiles, one that is taken for
    two makes scores too good: so the guess rather joins than parts.

    Parameters
    ----------
    path : Path
        A name alone will do.

    Returns
    -------
    str
        Never empty for a path with a name: "ebc 040617 3 S", "333/ETRI".
    """
    whole = _TILE.sub("", path.stem)
    rest = _RECORDING.sub(" ", _COUNTER.sub("", whole))
    name = _GAPS.sub(" ", rest).strip()
    folder = path.parent.name
    if whole != path.stem or any(sign.isdigit() for sign in name) or not folder:
        return name or whole
    return f"{folder}/{name}" if name else folder
