"""Tile, classify and map large SEM images: the public names of the package.

Importing this package loads nothing heavy: napari discovers plugins by importing them, and a
microscope PC should not wait for torch to show an empty window. Names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sem_classify.core.classify.driver import classify_image
    from napari_sem_classify.core.image.sem_image import SemImage
    from napari_sem_classify.core.maps.class_map import ClassMap
    from napari_sem_classify.core.model import load_model, save_model
    from napari_sem_classify.core.sem_io import open_image
    from napari_sem_classify.core.tiles.grid import TileGrid

    __version__: str

_HOME_OF = {
    "ClassMap": "napari_sem_classify.core.maps.class_map",
    "SemImage": "napari_sem_classify.core.image.sem_image",
    "TileGrid": "napari_sem_classify.core.tiles.grid",
    "classify_image": "napari_sem_classify.core.classify.driver",
    "load_model": "napari_sem_classify.core.model",
    "open_image": "napari_sem_classify.core.sem_io",
    "save_model": "napari_sem_classify.core.model",
}

__all__ = [
    "ClassMap",
    "SemImage",
    "TileGrid",
    "__version__",
    "classify_image",
    "load_model",
    "open_image",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """Load a public name, or the version, on first use."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("napari-sem-classify")
        except PackageNotFoundError:  # run from an unpacked source tree without installing
            value = "0+unknown"
    elif name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, the ones not loaded yet included."""
    return sorted({*globals(), *__all__})
