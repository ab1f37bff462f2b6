"""Bringing a place of the image into view, and the keys to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# So many tiles fit across the view when the camera goes to one.
AROUND = 9.0


def look_at(
    viewer: ViewerModel,
    layer: Layer,
    low: Any,
    high: Any,
    around: float = AROUND,
    least: float = 0.0,
) -> None:
    """Move the camera to a box, nearer where it would be small and away where it would not fit.

    `low` and `high` are corners of the box in the data coordinates of a two-dimensional layer. At
    most `around` such boxes fit across the view then, and at least `least`; 0 never moves away.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    world = np.asarray(layer.data_to_world((low + high) / 2))
    length = float(np.linalg.norm(np.asarray(layer.data_to_world(high)) - world)) * 2**0.5
    # Since napari 0.9 the camera is the scene's.
    camera: Any = getattr(viewer, "scene", viewer).camera
    camera.center = (*camera.center[:-2], *world[-2:])
    room = min(getattr(viewer, "_canvas_size", (600, 600)))
    camera.zoom = max(camera.zoom, room / (around * length))
    if least:
        camera.zoom = min(camera.zoom, room / (least * length))


def focus_canvas(widget: Any) -> None:
    """Let the next key press go to the image, not to the button just clicked."""
    window = widget.window()
    middle = window.centralWidget() if hasattr(window, "centralWidget") else None
    if middle is None:
        return
    from qtpy.QtWidgets import QWidget

    for child in middle.findChildren(QWidget):
        if "Canvas" in type(child).__name__:
            child.setFocus()
            return
