"""Gatan DigitalMicrograph's TIFF export: private tags with a scale and its unit along each axis.

Format facts: 65003 and 65004 are the units of the two image axes as text, 65009 and 65010 the
lengths of a pixel in them.
"""

from __future__ import annotations

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors.values import (
    VendorMetadata,
    length_nm,
    pixel_size,
    scaled,
)

UNITS = (65003, 65004)
SCALES = (65009, 65010)


def read(source: Source) -> VendorMetadata | None:
    """What DigitalMicrograph exported, None where there is nothing of it."""
    units = [source.text_of(code) for code in UNITS]
    scales = [source.tags.get(code) for code in SCALES]
    if units[0] is None or scales[0] is None:
        return None
    sides = [
        length_nm(scale, (unit or units[0] or "").strip("\x00"))
        for scale, unit in zip(scales, units, strict=True)
    ]
    size, note = pixel_size(sides[0], sides[1])
    return VendorMetadata(
        vendor="Gatan",
        pixel_size_nm=size,
        field_width_um=scaled(size, source.shape[1] * 1e-3) if size else None,
        note=note,
        raw={"units": units, "scales": scales},
    )
