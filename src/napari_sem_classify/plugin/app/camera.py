"""Bringing a place of the image into view, and the keys to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.plugin.app.jobs import SettleTimer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtCore import QObject

# So many tiles fit across the view when the camera goes to one.
AROUND = 9.0
ROOM_MS = 150  # by then the canvas has the size that a new dock leaves it

View = tuple[float, ...]


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
    camera = _camera_of(viewer)
    camera.center = (*camera.center[:-2], *world[-2:])
    room = min(_canvas_size_of(viewer))
    camera.zoom = max(camera.zoom, room / (around * length))
    if least:
        camera.zoom = min(camera.zoom, room / (least * length))


def whole_view(viewer: ViewerModel) -> View | None:
    """The view where it shows all there is, as napari opens it; None where it was moved."""
    if not viewer.layers or viewer.dims.ndisplay != 2:
        return None
    before = _view_of(viewer)
    viewer.reset_view()
    whole = _view_of(viewer)
    if np.allclose(whole, before, rtol=1e-6, atol=1e-9):
        return whole
    camera = _camera_of(viewer)
    camera.center, camera.zoom = before[:-1], before[-1]
    return None


def keep_whole(viewer: ViewerModel, owner: QObject, seen: View) -> None:
    """Show all there is again once a new dock took its room, where nobody moved the view since."""

    def again() -> None:
        if _view_of(viewer) == seen:
            viewer.reset_view()

    SettleTimer(owner, ROOM_MS, again).start()


def _camera_of(viewer: ViewerModel) -> Any:
    # Since napari 0.9 the camera is the scene's.
    return getattr(viewer, "scene", viewer).camera


def _canvas_size_of(viewer: Any) -> Any:
    return viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size


def _view_of(viewer: ViewerModel) -> View:
    camera = _camera_of(viewer)
    return (*camera.center, camera.zoom)


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
