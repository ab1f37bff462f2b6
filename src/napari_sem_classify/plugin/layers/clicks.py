"""Clicks on a viewer or a layer that are no drags."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


def click_callback(told: Callable[[Any], None]) -> Callable[..., Generator[None, None, None]]:
    """A mouse callback that tells the place of a click, in the world, once the button is let go."""

    def on_press(_of: Any, event: Any) -> Generator[None, None, None]:
        if event.button != 1:
            return
        position = event.position
        yield
        while event.type == "mouse_move":
            if np.linalg.norm(np.subtract(event.position, position)) > 0:
                return
            yield
        told(position)

    return on_press


class ClickPlace:
    """Waits for one click on the canvas, wherever the user paints otherwise.

    Meanwhile the image's own layer is active, on which a brush does nothing.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._callback: Any = None
        self._before: Layer | None = None

    @property
    def active(self) -> bool:
        """Whether a click is waited for."""
        return self._callback is not None

    def start(self, image_layer: Image, told: Callable[[Any], None]) -> None:
        """Tell the place of the next click, in the world, and wait no more."""
        self.stop()

        def clicked(position: Any) -> None:
            self.stop()
            told(position)

        self._callback = click_callback(clicked)
        self._before = self._viewer.layers.selection.active
        self._viewer.layers.selection.active = image_layer
        self._viewer.mouse_drag_callbacks.append(self._callback)

    def stop(self) -> None:
        """Wait no more; the layer that was active before is so again."""
        if self._callback is None:
            return
        if self._callback in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._callback)
        before, self._callback, self._before = self._before, None, None
        if before is not None and before in self._viewer.layers:
            self._viewer.layers.selection.active = before
