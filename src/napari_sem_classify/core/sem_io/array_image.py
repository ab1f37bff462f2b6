"""Arrays that are already open, such as a viewer's layers, as `SemImage`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_sem_classify.core.image.sem_image import ColourMode, SemImage, Specimen
from napari_sem_classify.core.sem_io.info_bar import find_specimen
from napari_sem_classify.core.sem_io.pixels import Pixels, check_usable, guarded, settle_colour
from napari_sem_classify.core.sem_io.source import Source


def image_from_array(
    array: Any,
    name: str,
    *,
    rgb: bool = False,
    pixel_size_nm: float | None = None,
    pixel_size_source: str = "",
    specimen: Specimen | None = None,
    vendor: str = "",
    metadata: Mapping[str, Any] | None = None,
    path: Path | None = None,  # nine in all: each a fact that whoever has an array may know or not
) -> SemImage:
    """Take a numpy, dask, zarr or other lazy array, or a list of multiscale levels, as an image.

    Parameters
    ----------
    array : array-like or sequence of them
        Shape (..., Y, X), or (..., Y, X, 3 or 4) with `rgb`. Of a multiscale list the first, finest
        level is taken.
    rgb : bool
        Whether the last axis is colour.
    pixel_size_source : str
        Where the pixel size comes from; "layer scale" when left out.
    specimen : Specimen or None
        Where the specimen is, if that is known already; else it is looked for in the pixels.

    Raises
    ------
    ImageError
        When the array holds no picture or cannot be read.
    """
    data = finest_level(array)
    if not hasattr(data, "shape") or not hasattr(data, "dtype"):
        import numpy as np

        data = np.asarray(data)
    check_usable(name, data, rgb)
    spatial = data.shape[-3:-1] if rgb else data.shape[-2:]
    shape = (int(spatial[0]), int(spatial[1]))
    pixels = Pixels(
        data=data,
        has_channels=rgb,
        source=Source(path=path or Path(name), shape=shape),
        chunks=stored_chunks(data, rgb),
    )
    if specimen is None or specimen.area.bottom > shape[0] or specimen.area.right > shape[1]:
        stored: ColourMode = "colour" if rgb else "grey"
        specimen = guarded(name, lambda: find_specimen(data, shape, stored, None))
    area = specimen.area
    pixels, colour = guarded(name, lambda: settle_colour(pixels, area))
    if pixel_size_nm is None:
        pixel_size_source = "not calibrated"
    return SemImage(
        name=name,
        data=pixels.data,
        specimen=specimen,
        pixel_size_nm=pixel_size_nm,
        pixel_size_source=pixel_size_source or "layer scale",
        vendor=vendor,
        path=path,
        colour=colour,
        metadata=dict(metadata or {}),
        chunks=pixels.chunks,
    )


def finest_level(array: Any) -> Any:
    """The first of a multiscale list of arrays; any other array as it is."""
    is_list = isinstance(array, Sequence) and not isinstance(array, (str, bytes))
    if is_list and len(array) and hasattr(array[0], "shape") and len(array[0].shape) >= 2:
        return array[0]
    if type(array).__name__ == "MultiScaleData":  # napari's wrapper of such a list
        return array[0]
    return array


def stored_chunks(data: Any, rgb: bool) -> tuple[int, int] | None:
    """Rows and columns of the blocks of a dask, zarr or similar array; None for one block."""
    chunks = getattr(data, "chunksize", None) or getattr(data, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != len(data.shape):
        return None
    if not all(isinstance(n, int) for n in chunks):
        return None
    rows, cols = chunks[-3:-1] if rgb else chunks[-2:]
    return int(rows), int(cols)
