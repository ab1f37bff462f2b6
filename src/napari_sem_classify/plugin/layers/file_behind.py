"""What the file behind a layer tells, where another reader than this program's opened it.

napari's own reader gives pixels alone: the maker's pixel size and info bar are in the file still.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.plugin.layers.layer_image import (
    image_from_layer,
    notes_of,
    spatial_shape,
)

if TYPE_CHECKING:
    from napari.layers import Image

LOOKED = "file_looked_at"
"""Noted in a layer once its file was asked: what was taken back is not taken again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An image layer as the program sees it, and what its file tells besides."""

    image: SemImage
    file: SemImage | None = None


def look_at(layer: Image) -> Seen:
    """Read an image layer, and its file where nothing is noted of it; off the main thread.

    Raises
    ------
    ImageError
        When the layer holds no picture or cannot be read.
    """
    return Seen(image_from_layer(layer), file_behind(layer))


def file_behind(layer: Image) -> SemImage | None:
    """The image in a layer's file; None without one, of another size, and where it was asked."""
    notes, path = notes_of(layer), getattr(layer.source, "path", None)
    if "specimen" in notes or LOOKED in notes or not path or not Path(path).exists():
        return None
    from napari_sem_classify.core.sem_io import open_image

    try:
        told = open_image(path)
    except SemClassifyError:  # of a kind that other readers know
        return None
    return told if told.shape == spatial_shape(layer) else None
