"""TIFF files opened: only those whose directories and descriptions are small enough to look at."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io.memory_budget import check_regular
from napari_sem_classify.core.sem_io.vendors.values import number
from napari_sem_classify.core.sem_io.vendors.xml_text import local_name, parse

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_PAGES = 100_000
MOST_SUBIFDS = 64
# A stack of many planes has a line for each of them.
MOST_OME_CHARS = 64 * 2**20
_QUIET = logging.NullHandler()


def opened_tiff(path: Path, *, checked: bool = False) -> Any:
    """An open `tifffile.TiffFile` whose directories are few enough to be looked at.

    `checked` tells that this is known from opening it before.

    Raises
    ------
    ImageError
        When it is no file, or claims more pages or images within a page than any TIFF has, or
        names something that is no file.
    """
    import tifffile

    check_regular(path)
    # What tifffile logs about damaged tags is for developers: without a handler it goes to stderr.
    logging.getLogger("tifffile").addHandler(_QUIET)
    tiff = tifffile.TiffFile(path)
    try:
        # They name further files in files of their own; their planes are read as of any stack.
        tiff.is_ndtiff = tiff.is_mmstack = False
        if tiff.pages:
            _check_directories(path, tiff, checked)
    except BaseException:
        tiff.close()
        raise
    return tiff


def _check_directories(path: Path, tiff: Any, checked: bool) -> None:
    ome = parse(tiff.pages.first.description, MOST_OME_CHARS) if tiff.is_ome else None
    if ome is None:
        tiff.is_ome = False  # tifffile would parse it without any bounds
    if checked:
        return
    pieces = math.prod(tiff.pages.first.chunked)
    if pieces > path.stat().st_size:  # each takes a byte at least: reading would fill them all in
        raise ImageError(
            f"{path} claims {pieces:,} strips or tiles, more than it has bytes: the file is "
            "damaged or not safe to open."
        )
    subifds = tiff.pages.first.subifds or ()
    if len(subifds) > MOST_SUBIFDS:
        raise ImageError(
            f"{path} names {len(subifds):,} images within its first page, which no image has: the "
            "file is damaged or not safe to open."
        )
    if not tiff.is_imagej:  # ImageJ's stacks have one directory
        _check_pages(path, tiff)
    if ome is not None:
        _check_ome(path, ome)


def _check_pages(path: Path, tiff: Any) -> None:
    try:
        tiff.pages[MOST_PAGES]
    except IndexError:
        return
    raise ImageError(
        f"{path} has more than {MOST_PAGES:,} pages: the file is damaged, or a stack that is too "
        "long; save it in parts."
    )


def _check_ome(path: Path, ome: Element) -> None:
    """Refuse an OME-XML that tells of more planes than there can be, or names what is no file."""
    import tifffile

    names: set[str] = set()
    for element in ome.iter():
        told = element.attrib
        planes = [told.get(key) for key in ("NumPlanes", "PlaneCount")]
        kind = local_name(element)
        if kind == "Pixels":
            planes.append(str(math.prod(int(_of(told, f"Size{axis}", 1)) for axis in "ZCT")))
        elif kind.startswith("Along"):
            span = _of(told, "End", 0) - _of(told, "Start", 0)
            planes.append(str(span / (_of(told, "Step", 1) or 1e-9)))
        elif kind == "UUID" and told.get("FileName"):
            names.add(told["FileName"])
        if any(abs(number(count) or 0) > MOST_PAGES for count in planes):
            raise ImageError(
                f"{path} tells of more than {MOST_PAGES:,} planes: the file is damaged, or a "
                "stack that is too long; save it in parts."
            )
    whole = path.resolve()  # tifffile looks for the others where a link leads to
    for name in names - {whole.name}:
        named = whole.parent / name
        if named.exists():
            check_regular(named)
            try:
                with tifffile.TiffFile(named) as other:
                    _check_pages(named, other)
            except (tifffile.TiffFileError, OSError, ValueError):
                continue  # no TIFF: its planes are missing then


def _of(told: Any, name: str, default: float) -> float:
    found = number(told.get(name))
    return default if found is None else found
