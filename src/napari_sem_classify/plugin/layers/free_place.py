"""Room on the canvas beside the specimen: for the legend, which would cover it otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.plugin.layers.made_layers import is_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel

ROW, COLUMN = "bottom_left", "top_left"
"""napari lays what is at the bottom left side by side, what is at the top left in a list."""

PX_PER_POINT = 96 / 72
LETTER = 0.62  # mean width of a letter, by the height of the font
BOX_PX = 22
"""Square, margins and distance of an entry."""
MARGIN_PX = 8
SCALE_BAR_PX = 230
"""Room that napari's scale bar takes in the lower right corner."""


@dataclass(frozen=True, slots=True)
class Bands:
    """Canvas pixels between the picture in view and the canvas's borders, negative where beyond."""

    top: float
    bottom: float
    left: float
    right: float


def legend_place(viewer: ViewerModel, names: Sequence[str], font_size: float) -> str:
    """Where the legend covers least of the specimen: a row below it, or a list beside it.

    A picture that is wholly in view is moved up by the few pixels that the row needs, or down by
    those of the list, where there is so much room on the other side.
    """
    letter, line = font_size * PX_PER_POINT * LETTER, font_size * PX_PER_POINT * 2.2
    widths = [letter * (len(name) + 2) + BOX_PX for name in names]
    bands, width = picture_bands(viewer), float(viewer.canvas.size[1])
    fits = sum(widths) <= width - SCALE_BAR_PX
    if bands is None:
        return ROW if fits else COLUMN
    if bands.left >= max(widths):
        return COLUMN
    if fits:
        _make_room(viewer, bands, below=line)
        return ROW
    _make_room(viewer, bands, above=line * len(names) + MARGIN_PX)
    return COLUMN


def picture_bands(viewer: ViewerModel) -> Bands | None:
    """The room around the visible pictures; None without any, and in 3-D."""
    pictures = [layer for layer in viewer.layers if layer.visible and is_picture(layer)]
    if not pictures or viewer.dims.ndisplay != 2:
        return None
    # Since napari 0.9 the camera is the scene's.
    camera: Any = getattr(viewer, "scene", viewer).camera
    corners = [np.asarray(layer.extent.world)[:, -2:] for layer in pictures]
    low = np.min([each[0] for each in corners], axis=0)
    high = np.max([each[1] for each in corners], axis=0)
    size = np.asarray(viewer.canvas.size, dtype=float)
    centre = np.asarray(camera.center, dtype=float)[-2:]
    first, last = (size / 2 + (at - centre) * camera.zoom for at in (low, high))
    return Bands(first[0], size[0] - last[0], first[1], size[1] - last[1])


def _make_room(viewer: ViewerModel, bands: Bands, above: float = 0.0, below: float = 0.0) -> None:
    inside = min(bands.top, bands.bottom, bands.left, bands.right) >= 0
    if not inside or bands.top + bands.bottom < above + below:
        return
    camera: Any = getattr(viewer, "scene", viewer).camera
    y, x = camera.center[-2:]
    up = max(0.0, below - bands.bottom) - max(0.0, above - bands.top)
    if up:
        camera.center = (*tuple(camera.center)[:-2], float(y) + up / camera.zoom, float(x))
