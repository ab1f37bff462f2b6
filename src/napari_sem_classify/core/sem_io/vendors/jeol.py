"""JEOL: a ``.txt`` beside the image with lines ``$KEY value``.

Format facts: ``$$SM_MICRON_BAR`` is the scale bar in pixels, ``$$SM_MICRON_MARKER`` what it
stands for ("10um"); ``$CM_FULL_SIZE`` gives columns and rows of the specimen, so the file's height
minus its rows is the bar's.
"""

from __future__ import annotations

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors.values import (
    VendorMetadata,
    bar_height,
    length_text_nm,
    number,
    pixel_size,
    scaled,
    text,
)

SIDECARS = ("{stem}.txt", "{name}.txt")
MARK = "$"


def read(source: Source) -> VendorMetadata | None:
    """What a JEOL microscope wrote, None where there is nothing of it."""
    sidecar = source.sidecar(*SIDECARS)
    if sidecar is None or ("$CM_" not in sidecar and "SM_MICRON_BAR" not in sidecar):
        return None
    values: dict[str, str] = {}
    for line in sidecar.splitlines():
        name, _, value = line.strip().partition(" ")
        if name.startswith(MARK):
            values.setdefault(name.lstrip(MARK), value.strip()[:500])
    size, note = pixel_size(_pixel_nm(values))
    return VendorMetadata(
        vendor="JEOL",
        pixel_size_nm=size,
        bar_rows=_bar(source, values),
        instrument=text(values.get("CM_INSTRUMENT")),
        accelerating_voltage_kV=number(values.get("CM_ACCEL_VOLT")),
        working_distance_mm=number(values.get("SM_WD") or values.get("CM_WD")),
        detector=text(values.get("CM_SIGNAL_NAME") or values.get("CM_SIGNAL")),
        magnification=text(values.get("CM_MAG")),
        date=text(f"{values.get('CM_DATE', '')} {values.get('CM_TIME', '')}"),
        field_width_um=scaled(size, source.shape[1] * 1e-3) if size else None,
        note=note,
        raw=values,
    )


def _pixel_nm(values: dict[str, str]) -> float | None:
    bar = number(values.get("SM_MICRON_BAR"))
    marker = length_text_nm(values.get("SM_MICRON_MARKER"))
    return marker / bar if bar and marker and bar > 0 else None


def _bar(source: Source, values: dict[str, str]) -> int | None:
    size = values.get("CM_FULL_SIZE", "").replace(",", " ").split()
    rows, cols = source.shape
    # Another width means that the file was saved at another size than the scan.
    if len(size) != 2 or number(size[0]) != cols:
        return None
    return bar_height(rows, size[1])
