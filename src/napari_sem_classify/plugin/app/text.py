"""Numbers as text for people: durations, sizes, names. One wording for every widget.

Counts, shares, areas and lengths are worded where exports word them, so that both say the same.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_sem_classify.core.common.durations import duration_text as duration_text
from napari_sem_classify.core.common.plain_text import printable
from napari_sem_classify.core.export.quantities import area_text as area_text
from napari_sem_classify.core.export.quantities import count_text as count_text
from napari_sem_classify.core.export.quantities import counted as counted
from napari_sem_classify.core.export.quantities import length_text as length_text
from napari_sem_classify.core.export.quantities import percent_text as percent_text

_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def pixel_size_text(pixel_size_nm: float | None, source: str) -> str:
    """A pixel size and where it comes from: "12.3 nm/px (FEI metadata)"."""
    if pixel_size_nm is None:
        return "not calibrated"
    if pixel_size_nm < 1000:
        size = f"{pixel_size_nm:.4g} nm/px"
    else:
        size = f"{pixel_size_nm / 1000:.4g} µm/px"
    return f"{size} ({source})"


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
