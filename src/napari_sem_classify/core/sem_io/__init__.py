"""SEM files in: any vendor's image as one lazy, calibrated `SemImage`."""

from __future__ import annotations

from napari_sem_classify.core.sem_io.array_image import image_from_array
from napari_sem_classify.core.sem_io.listing import list_images
from napari_sem_classify.core.sem_io.opening import (
    nearest_level,
    open_for_scale,
    open_image,
    open_with_levels,
    pixel_size_from_scale_bar,
)
from napari_sem_classify.core.sem_io.pixels import Level
from napari_sem_classify.core.sem_io.series import open_series

__all__ = [
    "Level",
    "image_from_array",
    "list_images",
    "nearest_level",
    "open_for_scale",
    "open_image",
    "open_series",
    "open_with_levels",
    "pixel_size_from_scale_bar",
]
