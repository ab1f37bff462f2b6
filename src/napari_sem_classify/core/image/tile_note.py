"""What a tile that was cut to a file says about the image that it comes from.

A tile of one phase fills a small part of its image's grey values: stretched over its own range it
looks like nothing that the image shows. So it carries the range of the whole image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

SOURCE_RANGE = "source_grey_range"
"""Name of the range in a `SemImage`'s metadata."""

_START = '{"napari_sem_classify_tile":'
_LONGEST = 4096


def tile_note(low: float, high: float, image: str, y: int, x: int) -> str:
    """Text for a tile's file: the grey values that are black and white in the whole image.

    Parameters
    ----------
    low, high : float
        In grey values of the tile's file.
    image : str
        Name of the image; with `y` and `x`, first row and column, for people who read the file.
    """
    told = {"grey_range": [low, high], "image": image, "y": y, "x": x}
    return json.dumps({"napari_sem_classify_tile": told}, separators=(",", ":"))


def noted(text: object) -> dict[str, Any]:
    """What a file's description says of the source, for an image's metadata; {} for no tile."""
    if not isinstance(text, str) or not text.startswith(_START) or len(text) > _LONGEST:
        return {}
    try:
        pair = json.loads(text)["napari_sem_classify_tile"]["grey_range"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found = source_range({SOURCE_RANGE: pair})
    return {} if found is None else {SOURCE_RANGE: list(found)}


def source_range(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    """The range of the image that a tile was cut from, None where there is no usable one."""
    pair = metadata.get(SOURCE_RANGE)
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return None
    if not all(type(end) in (int, float) for end in pair):
        return None
    low, high = float(pair[0]), float(pair[1])
    return (low, high) if np.isfinite([low, high]).all() and low < high else None
