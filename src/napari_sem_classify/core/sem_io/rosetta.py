"""Gatan, Bruker, Phenom projects and others, only where the user has RosettaSciIO (GPL) installed.

It is an extra and never a dependency: nothing of it is imported unless such a file is opened.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io.memory_budget import check_decoded_size
from napari_sem_classify.core.sem_io.pixels import Pixels, first_line
from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors.values import length_nm, pixel_size

# Suffix, the module in rsciio, and the maker's name.
FORMATS = {
    ".dm3": ("digitalmicrograph", "Gatan"),
    ".dm4": ("digitalmicrograph", "Gatan"),
    ".bcf": ("bruker", "Bruker"),
    ".elid": ("phenom", "Phenom"),
}


def open_rosetta(path: Path) -> Pixels:
    """Open the first image of a file through RosettaSciIO.

    Raises
    ------
    ImageError
        When RosettaSciIO is not installed, or the file is damaged or holds no image.
    """
    if find_spec("rsciio") is None:
        raise ImageError(
            f"{path} needs RosettaSciIO, which is not installed: "
            "pip install napari-sem-classify[rsciio], or export the image as TIFF."
        )
    module, vendor = FORMATS[path.suffix.lower()]
    try:
        signals = import_module(f"rsciio.{module}").file_reader(str(path), lazy=True)
    except Exception as error:  # readers of foreign formats raise what they like
        raise ImageError(
            f"{path} cannot be read ({first_line(error)}): the file is probably damaged; "
            "export the image as TIFF."
        ) from error
    for signal in signals:
        axes = signal.get("axes", [])
        if len(axes) == 2 and all(int(axis["size"]) > 1 for axis in axes):
            return _pixels(path, vendor, signal, axes)
    raise ImageError(f"{path} holds no image: spectra and other data cannot be tiled.")


def _pixels(path: Path, vendor: str, signal: dict[str, Any], axes: list[Any]) -> Pixels:
    data = signal["data"]
    check_decoded_size(path, int(data.nbytes), path.stat().st_size)
    y_nm, x_nm = (length_nm(axis.get("scale"), axis.get("units")) for axis in axes)
    size, note = pixel_size(x_nm, y_nm)
    return Pixels(
        data=data,
        has_channels=False,
        source=Source(path=path, shape=(int(data.shape[0]), int(data.shape[1]))),
        pixel_size_nm=size,
        pixel_size_source=f"{vendor} metadata" if size else "",
        plain={"vendor": vendor} | ({"note": note} if note else {}),
    )
