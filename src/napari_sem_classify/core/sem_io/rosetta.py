"""Gatan, Bruker and other formats, only where the user has installed RosettaSciIO (GPL)."""

from __future__ import annotations

from pathlib import Path

from ..errors import ImageError
from .pixels import Pixels


def open_rosetta(path: Path) -> Pixels:
    """Open a file through RosettaSciIO.

    Raises
    ------
    ImageError
        When RosettaSciIO is not installed, or the file holds no image.
    """
    raise ImageError(
        f"{path} needs RosettaSciIO, which is not installed: "
        "pip install napari-sem-classify[rsciio]."
    )
