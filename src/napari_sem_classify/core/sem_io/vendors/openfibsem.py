"""OpenFIBSEM: JSON in the image description.

Format facts: ``pixel_size`` with ``x`` and ``y`` in metres; ``image`` (in early versions the whole)
with ``resolution`` as columns and rows, ``hfw`` in metres and ``beam_type``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors.values import (
    VendorMetadata,
    length_nm,
    pixel_size,
    scaled,
    scan_shape,
    text,
)

IMAGE_DESCRIPTION = 270
MAX_JSON_CHARS = 4_000_000


def read(source: Source) -> VendorMetadata | None:
    """What OpenFIBSEM wrote, None where there is nothing of it."""
    written = (source.text_of(IMAGE_DESCRIPTION) or "").strip("\x00 \r\n")
    if not written.startswith("{") or '"pixel_size"' not in written:
        return None
    if len(written) > MAX_JSON_CHARS:
        return None
    values = json.loads(written)
    step, image = _part(values, "pixel_size"), _part(values, "image") or values
    resolution = image.get("resolution")
    if "x" not in step or not isinstance(resolution, list) or len(resolution) != 2:
        return None
    size, note = pixel_size(length_nm(step.get("x"), "m"), length_nm(step.get("y"), "m"))
    return VendorMetadata(
        vendor="OpenFIBSEM",
        pixel_size_nm=size,
        detector=text(image.get("beam_type")),
        field_width_um=scaled(image.get("hfw"), 1e6),
        note=note,
        scan_shape=scan_shape(resolution[1], resolution[0]),
        scan_bar_rows=0,
        raw=values,
    )


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
