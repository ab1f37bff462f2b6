"""The microscopes whose metadata is understood: one module each, one signature, tried in turn."""

from __future__ import annotations

from collections.abc import Callable

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import (
    digital_micrograph,
    fei,
    hitachi,
    imagej_ome,
    jeol,
    olympus,
    openfibsem,
    orion_fibics,
    phenom,
    sec,
    tescan,
    zeiss,
)
from napari_sem_classify.core.sem_io.vendors.fit import fit
from napari_sem_classify.core.sem_io.vendors.values import VendorMetadata

Reader = Callable[[Source], VendorMetadata | None]

# Makers before programs: ImageJ keeps a maker's tags only where it did not touch the pixels.
READERS: tuple[Reader, ...] = (
    fei.read,
    phenom.read,
    zeiss.read,
    orion_fibics.read,
    tescan.read,
    jeol.read,
    hitachi.read,
    sec.read,
    digital_micrograph.read,
    openfibsem.read,
    olympus.read,
    imagej_ome.read,
)


def read_vendor(source: Source) -> VendorMetadata | None:
    """What the file's maker wrote; None where no maker is recognised.

    The first reader that finds a pixel size wins, else the first that finds anything. Never raises:
    metadata that cannot be understood is the same as none.
    """
    best: VendorMetadata | None = None
    for read in READERS:
        try:
            found = read(source)
        except Exception:  # damaged metadata may hold anything; the image itself is still good
            continue
        if found is None:
            continue
        found = fit(found, source.shape)
        if found.pixel_size_nm is not None:
            return found
        best = best or found
    return best
