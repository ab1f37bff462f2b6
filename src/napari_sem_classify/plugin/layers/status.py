"""Class and confidence under the mouse, in napari's status bar."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.plugin.app.session import helper_of, session_of, unwrapped
from napari_sem_classify.plugin.app.text import as_it_is, percent_text
from napari_sem_classify.plugin.layers.made_layers import CLASSES, kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

MARK = "  |  "


class StatusLine:
    """Adds what the topmost visible class map says to each status that napari sets.

    napari works out the status of the active layer in a thread of its own and then sets
    ``viewer.status``; what is added follows that event. It comes one turn of the event loop later,
    since napari's models do not let a field be set again while its change is being told.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        # The session that keeps this object must not keep the viewer alive.
        self._viewer_ref = weakref.ref(viewer)
        self._adding = False
        self._waiting = False
        viewer.events.status.connect(self._on_status)

    def _on_status(self, _event: Any) -> None:
        viewer = self._viewer_ref()
        if viewer is None or self._adding or self._waiting or not viewer.mouse_over_canvas:
            return
        self._waiting = True
        QTimer.singleShot(0, self._add)

    def _add(self) -> None:
        self._waiting = False
        viewer = self._viewer_ref()
        if viewer is None:
            return
        said = describe(viewer, np.asarray(viewer.cursor.position, dtype=float))
        if not said:
            return
        said = as_it_is(said)  # napari's label takes some texts for mark-up
        status = viewer.status
        if isinstance(status, dict):
            status = dict(status)
            status["coordinates"] = _before_features(status.get("coordinates", "")) + MARK + said
        else:
            status = f"{status}{MARK}{said}"
        self._adding = True
        try:
            viewer.status = status
        finally:
            self._adding = False


def status_line_of(viewer: ViewerModel) -> StatusLine:
    """The viewer's status line, made on first use."""
    return helper_of(viewer, StatusLine, unwrapped(viewer))


def describe(viewer: ViewerModel, position: Any) -> str:
    """What the topmost visible class map says at a place of the world, "" outside of maps.

    For example ``oxide 97.1 % (coating 2.4 %)``.
    """
    session = session_of(viewer)
    for layer in reversed(viewer.layers):
        if not layer.visible or kind_of(layer) != CLASSES or layer not in session.maps:
            continue
        index = _cell_at(layer, position)
        if index is None:
            continue
        class_map = session.maps[layer].get(index[:-2])
        if class_map is not None:
            return cell_text(class_map, *index[-2:])
    return ""


def cell_text(class_map: ClassMap, row: int, col: int) -> str:
    """Class, confidence and the runner-up of one cell; the class alone where no more is known."""
    probabilities = class_map.probabilities[row, col]
    if np.isnan(probabilities[0]):
        return "left out"
    order = np.argsort(probabilities)[::-1]
    names = [info.title for info in class_map.classes]
    first, second = int(order[0]), int(order[1])
    if not class_map.confidence_known:
        return names[first]
    return (
        f"{names[first]} {percent_text(float(probabilities[first]))} "
        f"({names[second]} {percent_text(float(probabilities[second]))})"
    )


def _cell_at(layer: Layer, position: Any) -> tuple[int, ...] | None:
    place = np.asarray(layer.world_to_data(position[-layer.ndim :]))
    index = tuple(int(value) for value in np.rint(place))
    inside = all(0 <= i < n for i, n in zip(index, layer.data.shape, strict=True))
    return index if inside else None


def _before_features(coordinates: str) -> str:
    """Napari adds the features of a label behind a semicolon: the class is told already."""
    return coordinates.split(";", maxsplit=1)[0]
