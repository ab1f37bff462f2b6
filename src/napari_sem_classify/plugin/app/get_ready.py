"""What napari needs for its first layers, made ready before they come.

The first image, labels and shapes of a napari window take up to half a second in which nothing
moves, mostly for modules and tables that are read then. They are read here, beside the window and
in short steps, after the first dock has opened and while the user looks at it.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

# For thumbnails, features, colours of labels, outlines of labels and shapes.
MODULES = (
    "scipy.ndimage",
    "scipy.linalg",
    "pandas",
    "vispy.color.colorconv",
    "vispy.visuals.line.dash_atlas",
)
STEP_MS = 100
_begun = threading.Event()


def get_ready(owner: QObject) -> None:
    """Begin, the first time this is asked for; it ends with its owner."""
    if not _begun.is_set():
        _begun.set()
        _Readying(owner)


class _Readying(QTimer):
    def __init__(self, owner: QObject) -> None:
        super().__init__(owner)
        self._steps: list[Callable[[], Any]] = [_image, _labels, _shapes]
        self._reading = threading.Thread(target=_read, name="sem-classify: ready", daemon=True)
        self._reading.start()
        self.setInterval(STEP_MS)
        self.timeout.connect(self._look)
        self.start()

    def _look(self) -> None:
        if self._reading.is_alive():
            return
        self._steps.pop(0)()
        if not self._steps:
            self.stop()


def _read() -> None:
    for name in MODULES:
        # Another version of napari may do without; what is missing is told when it is needed.
        with contextlib.suppress(Exception):
            module = importlib.import_module(name)
            if hasattr(module, "DashAtlas"):
                module.DashAtlas()  # its patterns are kept


# Layers that nobody sees, on the main thread: two at once would spoil napari's table of units.


def _image() -> None:
    from napari.layers import Image

    Image(np.zeros((2, 2), np.uint8))


def _labels() -> None:
    from napari.layers import Labels

    Labels(np.zeros((2, 2), np.uint8), features={"index": [0]})


def _shapes() -> None:
    from napari.layers import Shapes

    Shapes([np.array([[0, 0], [0, 1], [1, 1]])], shape_type="polygon")
