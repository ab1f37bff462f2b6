"""Olympus (Evident) Soft Imaging: TIFF tags 33560 and 33471; slide scanners: ``MPP`` in a text.

Format facts: tifffile's ``sis_metadata`` gives ``pixelsizex`` and ``pixelsizey`` in metres. Aperio
and programs after it write ``|MPP = 0.2528`` (µm a pixel) into the image description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v

TAGS = (33560, 33471)
IMAGE_DESCRIPTION = 270
_MPP = re.compile(r"(?:^|[|;\s])MPP\s*[=:]\s*([0-9][0-9.,eE+-]{0,30})")


def read(source: Source) -> v.VendorMetadata | None:
    """What Olympus' Soft Imaging or a slide scanner wrote, None where there is nothing of it."""
    for code in TAGS:
        values = source.tags.get(code)
        if isinstance(values, Mapping) and "pixelsizex" in values:
            return _soft_imaging(source, values)
    written = source.text_of(IMAGE_DESCRIPTION) or ""
    found = _MPP.search(written[:100_000])
    if found is None:
        return None
    size, note = v.pixel_size(v.length_nm(found[1], "um"))
    return v.VendorMetadata(
        vendor="Aperio" if written.startswith("Aperio") else "MPP",
        pixel_size_nm=size,
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note,
        raw={"MPP": found[1]},
    )


def _soft_imaging(source: Source, values: Mapping[str, object]) -> v.VendorMetadata:
    size, note = v.pixel_size(
        v.length_nm(values.get("pixelsizex"), "m"), v.length_nm(values.get("pixelsizey"), "m")
    )
    return v.VendorMetadata(
        vendor="Olympus",
        pixel_size_nm=size,
        instrument=v.text(values.get("cameraname")),
        magnification=v.text(values.get("magnification")),
        date=v.text(values.get("datetime")),
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note,
        raw={str(name): value for name, value in values.items()},
    )
