"""PNG, JPEG and BMP through Pillow, with the size checked before anything is decoded."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io.memory import check_decoded_size
from napari_sem_classify.core.sem_io.pixels import Pixels, first_line, guarded
from napari_sem_classify.core.sem_io.source import Source

FORMATS = ("PNG", "JPEG", "BMP")
_KEPT_MODES = {"L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L"}
_BYTES_A_PIXEL = {"L": 1, "P": 1, "1": 1, "LA": 2, "I;16": 2, "I;16B": 2, "I;16L": 2, "RGB": 3}
_pillow_limit = threading.Lock()


@contextmanager
def pillow_without_limit() -> Iterator[None]:
    """Lift Pillow's own limit of 179 megapixels: `check_decoded_size` judges instead."""
    from PIL import Image

    with _pillow_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def open_raster(path: Path) -> Pixels:
    """Decode a PNG, JPEG or BMP image.

    Raises
    ------
    ImageError
        When it is none of these, is damaged, or claims more than it can hold.
    """
    from PIL import Image, UnidentifiedImageError

    with pillow_without_limit():
        try:
            image = Image.open(path, formats=FORMATS)
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{path} is not an image that can be read: choose a TIFF, PNG, JPEG, zarr or "
                "OME-Zarr file."
            ) from error
        except Exception as error:  # damaged headers raise whatever the format's parser raises
            raise ImageError(
                f"{path} cannot be opened ({first_line(error)}): the file is probably damaged; "
                "copy it again from the microscope."
            ) from error
    with image:
        cols, rows = image.size
        decoded = cols * rows * _BYTES_A_PIXEL.get(image.mode, 4)
        check_decoded_size(path, decoded, path.stat().st_size)
        if image.mode in _KEPT_MODES:
            data = guarded(path, lambda: np.asarray(image))
        else:
            mode = "L" if image.mode == "1" else "RGB"
            data = guarded(path, lambda: np.asarray(image.convert(mode)))
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    return Pixels(
        data=data,
        has_channels=data.ndim == 3,
        source=Source(path=path, shape=(rows, cols)),
    )
