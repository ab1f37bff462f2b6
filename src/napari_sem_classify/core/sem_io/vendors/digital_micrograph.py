"""Gatan DigitalMicrograph's TIFF export: private tags with a scale and its unit along each axis.

Format facts: 65003 and 65004 are the units of the two image axes as text, 65009 and 65010 the
lengths of a pixel in them.
"""

from __future__ import annotations

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v

UNITS = (65003, 65004)
SCALES = (65009, 65010)


def read(source: Source) -> v.VendorMetadata | None:
    """What DigitalMicrograph exported, None where there is nothing of it."""
    units = [source.text_of(code) for code in UNITS]
    scales = [source.tags.get(code) for code in SCALES]
    if units[0] is None or scales[0] is None:
        return None
    sides = [
        v.length_nm(scale, (unit or units[0] or "").strip("\x00"))
        for scale, unit in zip(scales, units, strict=True)
    ]
    size, note = v.pixel_size(sides[0], sides[1])
    return v.VendorMetadata(
        vendor="Gatan",
        pixel_size_nm=size,
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note,
        raw={"units": units, "scales": scales},
    )
