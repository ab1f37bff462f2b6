"""The microscopes whose metadata is understood: one module each, one signature, tried in turn."""

from __future__ import annotations

from collections.abc import Callable

from ..source import Source
from . import fei, tescan, zeiss
from .values import VendorMetadata

Reader = Callable[[Source], VendorMetadata | None]

READERS: tuple[Reader, ...] = (fei.read, zeiss.read, tescan.read)


def read_vendor(source: Source) -> VendorMetadata | None:
    """The first vendor's metadata that the file carries, None where no vendor is recognised.

    Never raises: metadata that cannot be understood is the same as none.
    """
    best: VendorMetadata | None = None
    for read in READERS:
        try:
            found = read(source)
        except Exception:  # damaged metadata may hold anything; the image itself is still good
            continue
        if found is None:
            continue
        if found.pixel_size_nm is not None:
            return found
        best = best or found
    return best
