"""Olympus (Evident) Soft Imaging: TIFF tags 33560 and 33471; slide scanners: ``MPP`` in a text.

Format facts: tifffile's ``sis_metadata`` gives ``pixelsizex`` and ``pixelsizey`` in metres. Aperio
and programs after it write ``|MPP = 0.2528`` (µm a pixel) into the image description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors.values import (
    VendorMetadata,
    length_nm,
    pixel_size,
    scaled,
    text,
)

TAGS = (33560, 33471)
IMAGE_DESCRIPTION = 270
_MPP = re.compile(r"(?:^|[|;\s])MPP\s*[=:]\s*([0-9][0-9.,eE+-]{0,30})")


def read(source: Source) -> VendorMetadata | None:
    """What Olympus' Soft Imaging or a slide scanner wrote, None where there is nothing of it."""
    for code in TAGS:
        values = source.tags.get(code)
        if isinstance(values, Mapping) and "pixelsizex" in values:
            return _soft_imaging(source, values)
    written = source.text_of(IMAGE_DESCRIPTION) or ""
    found = _MPP.search(written[:100_000])
    if found is None:
        return None
    size, note = pixel_size(length_nm(found[1], "um"))
    return VendorMetadata(
        vendor="Aperio" if written.startswith("Aperio") else "MPP",
        pixel_size_nm=size,
        field_width_um=scaled(size, source.shape[1] * 1e-3) if size else None,
        note=note,
        raw={"MPP": found[1]},
    )


def _soft_imaging(source: Source, values: Mapping[str, object]) -> VendorMetadata:
    size, note = pixel_size(
        length_nm(values.get("pixelsizex"), "m"), length_nm(values.get("pixelsizey"), "m")
    )
    return VendorMetadata(
        vendor="Olympus",
        pixel_size_nm=size,
        instrument=text(values.get("cameraname")),
        magnification=text(values.get("magnification")),
        date=text(values.get("datetime")),
        field_width_um=scaled(size, source.shape[1] * 1e-3) if size else None,
        note=note,
        raw={str(name): value for name, value in values.items()},
    )
