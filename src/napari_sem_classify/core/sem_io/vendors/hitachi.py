"""Hitachi: a ``.txt`` beside the image with a section ``[SemImageFile]``, in 8 bit or UTF-16.

Format facts: ``PixelSize=`` in nm; ``AcceleratingVoltage=15000 Volt``; ``WorkingDistance=8100 um``.
The bar's height is not recorded.
"""

from __future__ import annotations

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v

SIDECARS = ("{stem}.txt", "{name}.txt")
SECTION = "[SemImageFile]"


def read(source: Source) -> v.VendorMetadata | None:
    """What a Hitachi microscope wrote, None where there is nothing of it."""
    sidecar = source.sidecar(*SIDECARS)
    if sidecar is None or SECTION.lower() not in sidecar[:2000].lower():
        return None
    values: dict[str, str] = {}
    for line in sidecar.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            values.setdefault(name.strip().strip("\ufeff"), value.strip()[:500])
    values = v.in_one_locale(values)
    written = values.get("PixelSize")
    size, note = v.pixel_size(v.length_text_nm(written) or v.length_nm(written, "nm"))
    cols, _, rows = values.get("DataSize", "").lower().replace("*", "x").partition("x")
    return v.VendorMetadata(
        vendor="Hitachi",
        pixel_size_nm=size,
        instrument=v.text(values.get("InstructName") or values.get("InstrumentName")),
        accelerating_voltage_kV=v.scaled(values.get("AcceleratingVoltage"), 1e-3),
        working_distance_mm=v.scaled(v.length_text_nm(values.get("WorkingDistance")), 1e-6),
        detector=v.text(values.get("SignalName") or values.get("Signal")),
        magnification=v.text(values.get("Magnification")),
        date=v.text(f"{values.get('Date', '')} {values.get('Time', '')}"),
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note or v.unread("PixelSize", written, size),
        scan_shape=v.scan_shape(rows, cols),
        scan_bar_rows=0,
        raw=values,
    )
