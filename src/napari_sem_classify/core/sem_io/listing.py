"""Which images a user means by files, folders and patterns."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io.zarr_store import is_zarr

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
ZARR_SUFFIXES = (".zarr",)
# Only where the user has RosettaSciIO.
RSCIIO_SUFFIXES = (".dm3", ".dm4", ".elid", ".bcf")
# The same, opened by name alone: in a folder they are more often spectra than images.
MORE_RSCIIO_SUFFIXES = (
    *(".emd", ".ser", ".emi", ".mrc", ".unf", ".rpl", ".prz", ".sur", ".asw", ".tvips"),
)
IMAGE_SUFFIXES = TIFF_SUFFIXES + RASTER_SUFFIXES + ZARR_SUFFIXES


def list_images(inputs: Iterable[str | Path]) -> list[Path]:
    """Images named by files, folders and patterns such as ``scans/*.tif``.

    A folder stands for the images directly in it, in natural order (``a2`` before ``a10``); hidden
    files are left out. A file is taken whatever its suffix. Each image appears once.

    Raises
    ------
    ImageError
        For a name that is not there, a pattern without a match, or a folder without images.
    """
    found: dict[Path, None] = {}
    for given in inputs:
        for path in _resolve(str(given)):
            found.setdefault(path)
    if not found:
        raise ImageError("No image was given: name a file, a folder or a pattern such as *.tif.")
    return list(found)


def is_image_name(path: Path) -> bool:
    """Whether a file or folder looks like an image that `open_image` takes."""
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in IMAGE_SUFFIXES + RSCIIO_SUFFIXES


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key by which numbers inside names count as numbers."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def _resolve(given: str) -> list[Path]:
    path = Path(given).expanduser()
    if path.is_dir() and not is_zarr(path):
        return _images_in(path)
    if path.exists():
        return [path]
    if glob.has_magic(given):
        # A pattern is taken apart here: glob's own follows links round and round.
        start = Path(path.anchor)
        matches = _matches(start, list(path.parts[1:] if path.anchor else path.parts))
        images = sorted((m for m in matches if is_image_name(m)), key=natural_key)
        if not images:
            raise ImageError(f"No image matches {given}: check the folder and the pattern.")
        return images
    raise ImageError(f"{given} does not exist: check the name and the folder.")


def _matches(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Files and folders that a pattern's parts lead to; ``**`` enters each folder once."""
    if not parts:
        yield folder
        return
    first, *rest = parts
    if first == "**":
        for inner in _folders_in(folder):
            yield from _matches(inner, rest or ["*"])
    elif not glob.has_magic(first):
        if (folder / first).exists():
            yield from _matches(folder / first, rest)
    else:
        for entry in _entries(folder):
            shown = not entry.name.startswith(".") or first.startswith(".")
            if shown and fnmatch.fnmatch(entry.name, first) and (not rest or entry.is_dir()):
                yield from _matches(entry, rest)


def _folders_in(folder: Path) -> Iterator[Path]:
    """A folder and all below it, each once however many links lead there; zarrs are images."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        yield here
        waiting += [
            entry
            for entry in reversed(_entries(here))
            if not entry.name.startswith(".") and entry.is_dir() and not is_zarr(entry)
        ]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _images_in(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=natural_key)
    except OSError as error:
        raise ImageError(
            f"{folder} cannot be read ({error.strerror}): check its rights."
        ) from error
    images = [path for path in entries if is_image_name(path)]
    if not images:
        inner = next((path.name for path in entries if _has_images(path)), None)
        if inner is not None:
            raise ImageError(
                f"{folder} holds no images itself, but its subfolders do, such as {inner}: choose "
                f"those, or give the pattern {folder / '**' / '*'}."
            )
        raise ImageError(
            f"{folder} holds no images: choose a folder with TIFF, PNG, JPEG or zarr files."
        )
    return images


def _has_images(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(is_image_name(path) for path in folder.iterdir())
    except OSError:
        return False
