"""How an image is known again wherever its file lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage

_SAMPLES, _SAMPLE_PX = 8, 64


def fingerprint(image: SemImage) -> str:
    """Name an image by a bounded sample of its pixels: a moved or copied file is known again.

    64 hexadecimal digits, from the shape, the type and 64 small windows of the first plane.

    Raises
    ------
    ImageError
        When the file cannot be read.
    """
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    plane = (0,) * len(image.leading_shape)
    for window in _windows(image.shape):
        digest.update(np.ascontiguousarray(image.read(window, plane)).tobytes())
    return digest.hexdigest()


def _windows(shape: tuple[int, int]) -> Iterable[Area]:
    def starts(length: int) -> NDArray[np.int64]:
        last = max(0, length - _SAMPLE_PX)
        return np.unique(np.linspace(0, last, _SAMPLES).astype(np.int64))

    rows, cols = shape
    for top in starts(rows).tolist():
        for left in starts(cols).tolist():
            yield Area(top, min(top + _SAMPLE_PX, rows), left, min(left + _SAMPLE_PX, cols))
