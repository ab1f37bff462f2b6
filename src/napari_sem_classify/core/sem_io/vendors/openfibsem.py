"""OpenFIBSEM: JSON in the image description.

Format facts: ``pixel_size`` with ``x`` and ``y`` in metres; ``image`` (in early versions the whole)
with ``resolution`` as columns and rows, ``hfw`` in metres and ``beam_type``.
"""

from __future__ import annotations

import json

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v

IMAGE_DESCRIPTION = 270
MAX_JSON_CHARS = 4_000_000


def read(source: Source) -> v.VendorMetadata | None:
    """What OpenFIBSEM wrote, None where there is nothing of it."""
    written = (source.text_of(IMAGE_DESCRIPTION) or "").strip("\x00 \r\n")
    is_json = written.startswith("{") and len(written) <= MAX_JSON_CHARS
    if not is_json or '"pixel_size"' not in written:
        return None
    values = json.loads(written)
    step, image = v.part(values, "pixel_size"), v.part(values, "image") or values
    resolution = image.get("resolution")
    if "x" not in step or not isinstance(resolution, list) or len(resolution) != 2:
        return None
    size, note = v.pixel_size(v.length_nm(step.get("x"), "m"), v.length_nm(step.get("y"), "m"))
    return v.VendorMetadata(
        vendor="OpenFIBSEM",
        pixel_size_nm=size,
        detector=v.text(image.get("beam_type")),
        field_width_um=v.scaled(image.get("hfw"), 1e6),
        note=note,
        scan_shape=v.scan_shape(resolution[1], resolution[0]),
        scan_bar_rows=0,
        raw=values,
    )
