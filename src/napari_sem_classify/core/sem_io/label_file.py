"""Label images from files: the number in each pixel, never a colour made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError


def read_labels(path: Path | str) -> NDArray[Any]:
    """Read a PNG or TIFF label image.

    Palette images give their indices, not their colours; grey written as RGB gives the grey value.

    Returns
    -------
    ndarray of bool or integers, shape (rows, cols)

    Raises
    ------
    AnnotationError
        When the file is missing, no image, damaged, in real colour or not of integers.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise AnnotationError(f"The labels {path} do not exist: check the name and the folder.")
    try:
        labels = _decode(path)
    except Exception as error:  # decoders raise whatever their format library raises
        raise AnnotationError(
            f"The labels {path} cannot be read: give a PNG or TIFF label image that is not damaged."
        ) from error
    if labels.ndim == 3 and labels.shape[-1] in (2, 3, 4):
        grey = labels[..., 0]
        if labels.shape[-1] > 2 and not (
            np.array_equal(grey, labels[..., 1]) and np.array_equal(grey, labels[..., 2])
        ):
            raise AnnotationError(
                f"The labels {path} are in colour: save them as numbers, a grey value per class."
            )
        labels = grey
    labels = np.squeeze(labels)
    if labels.ndim != 2:
        raise AnnotationError(f"The labels {path} are no single plane: give one plane per file.")
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "bui":
        raise AnnotationError(f"The labels {path} are not whole numbers: give a number per class.")
    return labels


def _decode(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in (".tif", ".tiff"):
        from tifffile import imread

        return np.asarray(imread(path))
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture)
