"""What takes the window a moment, one thing a turn of the event loop: it moves in between.

A new layer takes napari a tenth of a second or two, so does the first look of a kind of layer, and
a layer that goes. Two in one turn would be felt.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QTimer

TURN_MS = 30
_waiting: deque[Callable[[], Any]] = deque()
_timers: list[QTimer] = []
alive: Any = isalive


def later(call: Callable[[], Any]) -> None:
    """Call in a turn of its own, after those that wait already; at once where there is no window.

    Where the window is closed meanwhile, it is not told.
    """
    application = QCoreApplication.instance()
    if application is None:
        call()
        return
    if not _timers or not alive(_timers[0]):
        _waiting.clear()
        _timers[:] = [QTimer(application)]
        _timers[0].timeout.connect(_turn)
    _waiting.append(call)
    if not _timers[0].isActive():
        _timers[0].start(TURN_MS)


def now() -> None:
    """Do at once what waits, as where a dock goes."""
    while _waiting:
        _turn()


def _turn() -> None:
    call = _waiting.popleft() if _waiting else None
    if not _waiting and alive(_timers[0]):
        _timers[0].stop()
    if call is not None:
        with contextlib.suppress(RuntimeError):
            call()
