"""Strokes of napari's brush on a labels layer: each is heard at once, and no part of it goes by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari.layers import Labels

BRUSHES = ("paint", "erase", "fill")


class StrokeWatch:
    """Tells when a layer was painted on: when the button is let go, before any other event.

    What follows a stroke, such as the key of another class, redraws the layer and would otherwise
    find it not taken up yet.
    """

    def __init__(self, layer: Labels, painted: Callable[[], None]) -> None:
        self._layer = layer
        self._painted = painted
        layer.events.paint.connect(self._on_paint)
        for event in (layer.events.set_data, layer.events.data):
            event.connect(self._on_edit)
        layer.mouse_double_click_callbacks.append(press_again)
        # Before napari's own, so that what it adds belongs to the same stroke.
        layer.mouse_drag_callbacks.insert(0, draw_to_the_end)

    def stop(self) -> None:
        """Watch the layer no more."""
        layer = self._layer
        layer.events.paint.disconnect(self._on_paint)
        for event in (layer.events.set_data, layer.events.data):
            event.disconnect(self._on_edit)
        for callbacks, ours in (
            (layer.mouse_double_click_callbacks, press_again),
            (layer.mouse_drag_callbacks, draw_to_the_end),
        ):
            if ours in callbacks:
                callbacks.remove(ours)

    def _on_paint(self, _event: Any) -> None:
        self._painted()
        self._on_edit()

    def _on_edit(self, _event: Any = None) -> None:
        # A layer painted on by a program tells of it before it has changed.
        QTimer.singleShot(0, self._painted)


def press_again(layer: Labels, event: Any) -> None:
    """Paint with the second of two quick clicks too.

    Windows tell of it as a double click, in place of a press, and napari's brush hears only these.
    """
    from napari.utils.interactions import mouse_press_callbacks

    if str(layer.mode) in BRUSHES:
        mouse_press_callbacks(layer, event)


def draw_to_the_end(layer: Labels, event: Any) -> Iterator[None]:
    """Draw a stroke up to the place where the button was let go.

    napari hears of the moves of a mouse some 5 ms later at times, and then, where the window is
    busy, only after the button was let go.
    """
    mode = str(layer.mode)
    if event.button != 1 or mode not in BRUSHES[:2] or len(event.dims_displayed) != 2:
        return
    label = layer.selected_label if mode == "paint" else 0
    before = np.asarray(layer.world_to_data(event.position))
    yield
    while event.type == "mouse_move":
        before = np.asarray(layer.world_to_data(event.position))
        yield
    end = np.asarray(layer.world_to_data(event.position))
    steps = int(np.ceil(2 * np.abs(end - before).max()))
    if np.array_equal(np.round(before), np.round(end)):
        return
    for part in np.linspace(0.0, 1.0, steps + 1)[1:]:
        layer.paint(before + part * (end - before), label, refresh=False)
    layer.refresh()
