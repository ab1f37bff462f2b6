"""Small real pictures for tests: specimens with noise, info bars with text, cross-sections."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


def specimen(rows: int, cols: int, seed: int = 0, dtype: type = np.uint8) -> NDArray:
    """Noise with structure, as on a real specimen: no grey level covers a row."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(rows // 16 + 2, cols // 16 + 2))
    structure = np.kron(coarse, np.ones((16, 16)))[:rows, :cols]
    picture = np.clip(0.45 + 0.12 * structure + 0.06 * random.normal(size=(rows, cols)), 0.02, 0.98)
    if np.dtype(dtype).kind == "f":
        return picture.astype(dtype)
    return (picture * np.iinfo(dtype).max).astype(dtype)


def panel(rows: int, cols: int, ground: float = 0.0, text: float = 1.0) -> NDArray:
    """A microscope's info bar, 0 to 1: flat ground, a scale bar and letters."""
    bar = np.full((rows, cols), ground)
    bar[rows // 2 - 1 : rows // 2 + 1, cols // 10 : cols // 3] = text
    random = np.random.default_rng(7)
    for left in range(cols // 2, cols - 12, 10):
        letter = random.random((min(9, rows - 4), 6)) > 0.45
        bar[2 : 2 + letter.shape[0], left : left + 6][letter] = text
    return bar


def with_bar(picture: NDArray, bar: NDArray, *, top: bool = False) -> NDArray:
    """A picture with its bar below (or above), the bar in the picture's type and range."""
    if picture.dtype.kind == "f":
        shown = bar.astype(picture.dtype)
    else:
        shown = (bar * np.iinfo(picture.dtype).max).astype(picture.dtype)
    return np.vstack([shown, picture] if top else [picture, shown])


def one_strip(path, *, rows, cols, packed, compression):
    """A TIFF of one strip whose declared size and stored bytes do not belong together."""
    entries = [
        (256, 4, 1, cols),
        (257, 4, 1, rows),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1, 1),
        (278, 4, 1, rows),
        (279, 4, 1, len(packed)),
    ]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + packed)
