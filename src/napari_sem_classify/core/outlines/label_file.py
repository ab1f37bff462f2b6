"""Outlines as one TIFF of the image's size: a class number in each pixel.

It is written as a class map is, only that its cells are pixels: ImageJ opens it in colour and to
scale, and this program reads it back as a map, of classes without confidences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import atomic_path, to_json
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import MOST_BYTES, SavedMap, describe, lookup_table
from napari_sem_classify.core.outlines.outline import outline_labels

_BAND_PX = 1 << 24


def write_outlines(cells: ClassMap, image: SemImage, path: Path) -> None:
    """Write the class numbers of every pixel of the image: 0 left out, 1 the first class.

    `cells` are as `draw_outlines` gives them.

    Band by band, so that memory does not grow with the image.

    Raises
    ------
    OutputError
        When the file cannot be written, or would be larger than ImageJ reads.
    """
    from tifffile import memmap

    rows, cols = image.shape
    small = len(cells.classes) <= 255
    dtype = np.dtype(np.uint8 if small else np.uint16)
    if rows * cols * dtype.itemsize > MOST_BYTES:
        raise OutputError(
            f"{path} would hold {rows} × {cols} px, more than one such TIFF can: outline a part of "
            "the image, or a coarser level of it."
        )
    metadata: dict[str, Any] = {"axes": "YX", "Info": to_json(_description(cells, image))}
    if small:
        metadata |= {"LUTs": [lookup_table(cells)], "mode": "color", "min": 0.0, "max": 255.0}
    resolution = None
    if cells.pixel_size_nm is not None:
        resolution = (1000.0 / cells.pixel_size_nm,) * 2
        metadata["unit"] = "um"
    with atomic_path(path) as temporary:
        stored = memmap(
            temporary,
            shape=(rows, cols),
            dtype=dtype,
            imagej=True,
            metadata=metadata,
            resolution=resolution,
            resolutionunit="NONE",
        )
        band = max(1, _BAND_PX // (cols * len(cells.classes)))
        for top in range(0, rows, band):
            bottom = min(top + band, rows)
            stored[top:bottom] = outline_labels(cells, Area(top, bottom, 0, cols))
        stored.flush()
        del stored


def _description(cells: ClassMap, image: SemImage) -> dict[str, Any]:
    whole = Area(0, image.shape[0], 0, image.shape[1])
    told = describe(SavedMap.of(cells, image))
    return {**told, "cell_px": 1, "area": whole.as_list()}
