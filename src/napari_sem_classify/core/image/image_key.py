"""A short name for what an image holds, cheap enough to ask before every run."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage

SAMPLE_SIDE = 8
SAMPLE_PX = 64
PIECE_BYTES = 8 * 2**20
"""Hashed at once. It is part of the name: another size, and all images have another one."""


def image_key(
    image: SemImage, plane: tuple[int, ...] = (), held: SemImage | None = None
) -> str | None:
    """Name the content of a plane, or None where that is not to be had cheaply.

    An array in memory can change without a trace, so all its pixels are hashed, which is far
    faster than a network looks at them. A file of 100 GB cannot be hashed whole before each run:
    its size and time of change tell, and a sample of pixels guards against a copy that keeps both.
    For a folder (zarr), sizes and times of all its files count. An array that is neither, a
    computed dask array for one, has no name.

    Parameters
    ----------
    held : SemImage, optional
        The plane in memory, from `hold_plane`: the sample is then taken there.

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
        for piece in _pieces_sha256(image.data[plane]):
            digest.update(piece)
        return digest.hexdigest()
    if image.path is None:
        return None
    digest.update(file_state(image.path).encode())
    rows, cols = image.shape
    # On a diagonal, to touch few chunks.
    for window in Area(0, rows, 0, cols).spread(SAMPLE_SIDE, SAMPLE_PX)[:: SAMPLE_SIDE + 1]:
        pixels = image.read(window, plane) if held is None else held.read(window)
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _pieces_sha256(pixels: NDArray[Any]) -> list[bytes]:
    """Hashes of a plane's rows, piece by piece, made by all cores: one takes .6 s a gigabyte."""
    rows = max(1, PIECE_BYTES // max(1, pixels[:1].nbytes))
    pieces = [pixels[top : top + rows] for top in range(0, len(pixels), rows)]

    def sha256(piece: NDArray[Any]) -> bytes:
        return hashlib.sha256(np.ascontiguousarray(piece).data).digest()

    if len(pieces) < 2:
        return [sha256(piece) for piece in pieces]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(pieces))) as pool:
        return list(pool.map(sha256, pieces))


def file_state(path: Path) -> str:
    """Size and time of change of a file, or of every file in a folder.

    Raises
    ------
    OSError
        When it is not there.
    """
    state = path.stat()
    if not path.is_dir():
        return f"{state.st_size} {state.st_mtime_ns}"
    states: list[str] = []
    for parent, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            item = Path(parent, name)
            state = item.stat()
            states.append(f"{item.relative_to(path)} {state.st_size} {state.st_mtime_ns}")
    return "\n".join(states)
