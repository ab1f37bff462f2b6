"""A user's mouse and keyboard over a viewer, as events of the window system."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

LONGEST_MS = 300
DOUBLE_CLICK_S = 0.4


class Hand:
    """A user's mouse and keyboard over the canvas of a viewer."""

    def __init__(self, viewer: Any, chance: random.Random) -> None:
        from qtpy.QtWidgets import QApplication

        self._canvas = viewer.window._qt_viewer.canvas
        self._native = self._canvas.native
        self._chance = chance
        self._work = QApplication.processEvents
        self._last: tuple[Any, float] = (None, 0.0)

    def pause(self, longest_ms: float = LONGEST_MS) -> None:
        """Do nothing for a while; the window works meanwhile, or is busy and gets no event."""
        end = time.monotonic() + self._chance.uniform(0, longest_ms) / 1000
        idle = self._chance.random() < 0.5
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.005))
            if idle:
                self._work()

    def key(self, text: str) -> None:
        """Press and release a key."""
        from qtpy.QtTest import QTest

        QTest.keyClick(self._native, text)

    def stroke(self, points: list[Any], within: Callable[[], None] | None = None) -> None:
        """Press at the first place of the world, move over the others, release at the last.

        `within` happens while the button is down.
        """
        places = [self._on_canvas(point) for point in points]
        there, when = self._last
        again = there == places[0] and time.monotonic() - when < DOUBLE_CLICK_S
        self._last = (places[0], time.monotonic())
        self._mouse("MouseButtonDblClick" if again else "MouseButtonPress", places[0])
        for place in places[1:]:
            time.sleep(0.012)  # vispy leaves out moves less than 10 ms apart
            self._mouse("MouseMove", place)
        if within is not None:
            within()
        self._mouse("MouseButtonRelease", places[-1])

    def _on_canvas(self, point: Any) -> tuple[int, int]:
        view = self._canvas.view
        zero = np.array(self._canvas._map_canvas2world((0, 0), view))[-2:]
        step = np.array(self._canvas._map_canvas2world((100, 100), view))[-2:] - zero
        y, x = 100 * (np.asarray(point) - zero) / step
        return round(x), round(y)

    def _mouse(self, kind: str, place: tuple[int, int]) -> None:
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        up, move = kind == "MouseButtonRelease", kind == "MouseMove"
        at = QPointF(*place)
        event = QMouseEvent(
            getattr(QEvent.Type, kind),
            at,
            QPointF(self._native.mapToGlobal(at.toPoint())),
            none if move else left,
            none if up else left,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self._native, event)
