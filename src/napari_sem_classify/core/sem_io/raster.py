"""PNG, JPEG and BMP through Pillow, with the size checked before anything is decoded.

Pixels are taken as they are stored: an EXIF orientation is not applied, as it is not in TIFF.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.tile_note import noted
from napari_sem_classify.core.sem_io.memory_budget import check_decoded_size, check_regular
from napari_sem_classify.core.sem_io.pixels import Pixels, first_line, guarded
from napari_sem_classify.core.sem_io.source import Source

FORMATS = ("PNG", "JPEG", "BMP")
_KEPT_MODES = {"L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L"}
# Bytes that Pillow holds a pixel, and bytes of the array made of it; 4 and 3 of other modes.
_BYTES_A_PIXEL = {"L": (1, 1), "P": (1, 3), "1": (1, 1), "LA": (4, 2), "RGBA": (4, 4)}
_BYTES_A_PIXEL |= {mode: (2, 2) for mode in ("I;16", "I;16B", "I;16L")}
_BYTES_A_PIXEL |= {mode: (4, 4) for mode in ("I", "F")}
# A progressive JPEG is held as 16 bit coefficients until its last scan.
PROGRESSIVE_BYTES_A_PIXEL = 6
BAND_PX = 2**20
ORIENTATION = 0x0112
_pillow_limit = threading.Lock()


@contextmanager
def pillow_without_limit() -> Iterator[None]:
    """Lift Pillow's own limit of 179 megapixels: `check_decoded_size` judges instead."""
    from PIL import Image

    with _pillow_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library prints about a file is no sentence
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def open_raster(path: Path, *, as_numbers: bool = False) -> Pixels:
    """Decode a PNG, JPEG or BMP image.

    With `as_numbers`, for labels, a palette image gives its indices with its colours in `palette`.

    Raises
    ------
    ImageError
        When it is no file, none of these, is damaged, or claims more than it can hold.
    """
    from PIL import Image, UnidentifiedImageError

    check_regular(path)
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
        n_pixels = cols * rows
        decoded = n_pixels * _BYTES_A_PIXEL.get(image.mode, (4, 3))[1]
        peak = n_pixels * _peak_bytes(image)
        check_decoded_size(path, decoded, path.stat().st_size, peak)
        palette = _palette(image) if as_numbers and image.mode == "P" else None
        turned = guarded(path, lambda: image.getexif().get(ORIENTATION, 1))
        data = guarded(path, lambda: _pixels(image, as_numbers))
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    return Pixels(
        data=data,
        has_channels=data.ndim == 3,
        source=Source(path=path, shape=(rows, cols)),
        plain=orientation_note(turned) | noted(image.info.get("Description")),
        palette=palette,
    )


def _peak_bytes(image: Any) -> int:
    """Bytes a pixel while it is decoded: Pillow's own, the array's, a converted band's."""
    own, array = _BYTES_A_PIXEL.get(image.mode, (4, 3))
    progressive = PROGRESSIVE_BYTES_A_PIXEL if image.info.get("progressive") else 0
    return own + max(array, progressive)


def _pixels(image: Any, as_numbers: bool) -> NDArray[Any]:
    """The picture as an array, band by band: at once Pillow would hold it three times."""
    mode = image.mode
    if mode not in _KEPT_MODES and not (as_numbers and mode == "P"):
        mode = "L" if mode == "1" else "RGB"
    pixels: NDArray[Any] | None = None
    with pillow_without_limit():
        image.load()
        cols, rows = image.size
        step = max(1, BAND_PX // max(1, cols))
        for top in range(0, rows, step):
            band = image.crop((0, top, cols, min(rows, top + step)))
            part = np.asarray(band if band.mode == mode else band.convert(mode))
            if pixels is None:
                pixels = np.empty((rows, *part.shape[1:]), part.dtype)
            pixels[top : top + len(part)] = part
    assert pixels is not None
    return pixels


def _palette(image: Any) -> NDArray[np.uint8]:
    """Colours of a palette image, uint8, shape (N, 3)."""
    colours = image.convert("P").getpalette("RGB") or []
    return np.array(colours, dtype=np.uint8).reshape(-1, 3)


def orientation_note(orientation: Any) -> dict[str, Any]:
    """What is told of a picture that asks to be shown turned or mirrored; {} of any other."""
    if not isinstance(orientation, int) or not 2 <= orientation <= 8:
        return {}
    return {"orientation": f"shown as stored; the file asks for orientation {orientation}"}
