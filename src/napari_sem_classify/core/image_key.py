"""A short name for what an image holds, cheap enough to ask before every run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from .image import SemImage
from .tiles import Area

SAMPLE_SIDE = 8
SAMPLE_PX = 64
MAX_FILES = 200_000


def image_key(image: SemImage, plane: tuple[int, ...] = ()) -> str | None:
    """Name the content of a plane, or None where that is not to be had cheaply.

    An array in memory can change without a trace, so all its pixels are hashed, which is far
    faster than a network looks at them. A file of 100 GB cannot be hashed whole before each run:
    its size and time of change tell, and a sample of pixels guards against a copy that keeps both.
    For a folder (zarr), sizes and times of all its files count. An array that is neither, a
    computed dask array for one, has no name.

    Parameters
    ----------
    image : SemImage
    plane : tuple of int

    Returns
    -------
    str or None
        64 hexadecimal digits.

    Raises
    ------
    OSError, ImageError
        When the file cannot be read.
    """
    digest = hashlib.sha256()
    digest.update(f"{image.shape} {image.dtype} {image.colour} {plane}".encode())
    if type(image.data) is np.ndarray:
        digest.update(np.ascontiguousarray(image.data[plane]).data)
        return digest.hexdigest()
    if image.path is None:
        return None
    if image.path.is_file():
        state = image.path.stat()
        digest.update(f"{state.st_size} {state.st_mtime_ns}".encode())
    elif image.path.is_dir():
        states = _folder_states(image.path)
        if states is None:
            return None
        digest.update(states.encode())
    else:
        return None
    for window in _sample_windows(image):
        digest.update(np.ascontiguousarray(image.read(window, plane)).data)
    return digest.hexdigest()


def _folder_states(folder: Path) -> str | None:
    states: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            state = path.stat()
            states.append(f"{path.relative_to(folder)} {state.st_size} {state.st_mtime_ns}")
        if len(states) > MAX_FILES:
            return None
    return "\n".join(states)


def _sample_windows(image: SemImage) -> list[Area]:
    """Small windows spread evenly over the plane, on a diagonal to touch few chunks."""
    rows, cols = image.shape
    tops = np.linspace(0, max(0, rows - SAMPLE_PX), SAMPLE_SIDE).astype(int)
    lefts = np.linspace(0, max(0, cols - SAMPLE_PX), SAMPLE_SIDE).astype(int)
    return [
        Area(int(top), min(int(top) + SAMPLE_PX, rows), int(left), min(int(left) + SAMPLE_PX, cols))
        for top, left in zip(tops, lefts, strict=True)
    ]
