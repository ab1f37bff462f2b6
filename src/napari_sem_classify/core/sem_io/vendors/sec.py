"""SEC (SNE series): a text named after the whole image file, ``image.jpg.txt``.

Format facts, from SNE-4500M Plus files: ``[Image Info]`` with ``Name : value`` lines, among them
the misspelt ``Acceleated Voltage``. It holds a magnification and no length that fits the pixels, so
there is no calibration.
"""

from __future__ import annotations

import re

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v

SIDECARS = ("{name}.txt",)
SECTION = "[Image Info]"
_LINE = re.compile(r"^([^:\r\n\[]{1,60}?)\s*:[ \t]*([^\r\n]{0,500})", re.MULTILINE)


def read(source: Source) -> v.VendorMetadata | None:
    """What an SEC microscope wrote, None where there is nothing of it."""
    sidecar = source.sidecar(*SIDECARS)
    if sidecar is None or SECTION not in sidecar[:200]:
        return None
    values: dict[str, str] = {}
    for name, value in _LINE.findall(sidecar):
        values.setdefault(name.strip(), value.strip())
    values = v.in_one_locale(values)
    return v.VendorMetadata(
        vendor="SEC",
        instrument=v.text(values.get("Model")),
        accelerating_voltage_kV=v.number(
            values.get("Acceleated Voltage") or values.get("Accelerated Voltage")
        ),
        working_distance_mm=v.scaled(v.length_text_nm(values.get("Working Distance")), 1e-6),
        detector=v.text(values.get("Detector Mode")),
        magnification=v.text(values.get("Magnification")),
        date=v.text(values.get("Date")),
        note="the file records a magnification and no pixel size",
        raw=values,
    )
