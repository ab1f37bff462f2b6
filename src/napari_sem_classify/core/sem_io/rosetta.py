"""Gatan, Bruker, Phenom projects and others, only where the user has RosettaSciIO (GPL) installed.

It is an extra and never a dependency: nothing of it is imported unless such a file is opened. What
it cannot read by region is read whole, where that fits into the decoding budget.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

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
    ".emd": ("emd", "EMD"),
    ".ser": ("tia", "FEI TIA"),
    ".emi": ("tia", "FEI TIA"),
    ".mrc": ("mrc", "MRC"),
    ".unf": ("semper", "Semper"),
    ".rpl": ("ripple", "Ripple"),
    ".prz": ("pantarhei", "Panta Rhei"),
    ".sur": ("digitalsurf", "Digital Surf"),
    ".asw": ("jeol", "JEOL"),
    ".tvips": ("tvips", "TVIPS"),
}
# Readers that take a whole file hold it, its packed parts and the pixels at once.
WHOLE_PEAK = 4
ENERGY_UNITS = ("ev", "kev")


def open_rosetta(path: Path) -> Pixels:
    """Open the largest image of a file through RosettaSciIO.

    Raises
    ------
    ImageError
        When RosettaSciIO is not installed, or the file is damaged, holds no image, or is too large
        to be read whole where it cannot be read by region.
    """
    if find_spec("rsciio") is None:
        raise ImageError(
            f"{path} needs RosettaSciIO, which is not installed: "
            "pip install 'napari-sem-classify[rsciio]', or export the image as TIFF."
        )
    module, vendor = FORMATS[path.suffix.lower()]
    problem: Exception | None = None
    for lazy in (True, False):
        if not lazy:
            size = path.stat().st_size
            check_decoded_size(path, size, size, WHOLE_PEAK * size)
        try:
            signals = _read(path, module, lazy=lazy)
            signal = _largest(signals)
            if signal is None:
                continue
            return _pixels(path, vendor, signal)
        except ImageError:
            raise
        except Exception as error:  # readers of foreign formats raise what they like
            problem = error
    if problem is None:
        raise ImageError(f"{path} holds no image: spectra and other data cannot be tiled.")
    raise ImageError(
        f"{path} cannot be read ({first_line(problem)}): the file is probably damaged; "
        "export the image as TIFF."
    ) from problem


def _read(path: Path, module: str, *, lazy: bool) -> list[dict[str, Any]]:
    import_module("rsciio")  # makes its log
    log = logging.getLogger("rsciio")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            reader = import_module(f"rsciio.{module}").file_reader
            found: list[dict[str, Any]] = reader(str(path), lazy=lazy)
    finally:
        log.setLevel(level)
    return found


def _axes(signal: dict[str, Any]) -> list[dict[str, Any]]:
    axes = [axis for axis in signal.get("axes", []) if isinstance(axis, dict)]
    return sorted(axes, key=lambda axis: axis.get("index_in_array") or 0)


def _largest(signals: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The image with the most pixels a plane: previews and maps lie beside it in one file."""
    images = [signal for signal in signals if _is_image(signal)]
    return max(images, key=lambda one: int(np.prod(one["data"].shape[-2:])), default=None)


def _is_image(signal: dict[str, Any]) -> bool:
    """Two axes of pixels, or a stack of such: the last two are no energies, nor one pixel wide."""
    axes = _axes(signal)
    if len(axes) not in (2, 3) or len(axes) != signal["data"].ndim:
        return False
    last = axes[-2:]
    if any(str(axis.get("units", "")).lower() in ENERGY_UNITS for axis in last):
        return False
    if any(str(axis.get("name", "")).lower().startswith("energy") for axis in last):
        return False
    if min(int(length) for length in signal["data"].shape[-2:]) < 2:
        return False
    return len(axes) == 2 or bool(axes[0].get("navigate")) != bool(axes[-1].get("navigate"))


def _pixels(path: Path, vendor: str, signal: dict[str, Any]) -> Pixels:
    data = signal["data"]
    check_decoded_size(path, int(data.nbytes), path.stat().st_size)
    np.asarray(data[..., :1, :1])  # some arrays are lazy by name only and fail when they are read
    coloured = data.dtype.names is not None
    if coloured:
        names = [name for name in "RGB" if name in data.dtype.names]
        data = np.stack([np.asarray(data[name]) for name in names], axis=-1)
    y_nm, x_nm = (length_nm(axis.get("scale"), axis.get("units")) for axis in _axes(signal)[-2:])
    size, note = pixel_size(abs(x_nm) if x_nm else None, abs(y_nm) if y_nm else None)
    rows, cols = (int(n) for n in (data.shape[-3:-1] if coloured else data.shape[-2:]))
    return Pixels(
        data=data,
        has_channels=coloured,
        source=Source(path=path, shape=(rows, cols)),
        pixel_size_nm=size,
        pixel_size_source=f"{vendor} metadata" if size else "",
        plain={"vendor": vendor} | ({"note": note} if note else {}),
    )
