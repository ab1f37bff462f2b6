"""JEOL: a ``.txt`` beside the image with lines ``$KEY value``.

Format facts: ``$$SM_MICRON_BAR`` is the scale bar in pixels, ``$$SM_MICRON_MARKER`` what it
stands for ("10um"); ``$CM_FULL_SIZE`` gives columns and rows of the specimen, so the file's height
minus its rows is the bar's. ``$CM_MAG`` is the magnification on a picture 120 mm wide with the
JSM series before JSM-IT (10 µm are 139 px of 2560 at 650; JSM-IT takes 128 mm or a screen, and is
not computed).
"""

from __future__ import annotations

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v

SIDECARS = ("{stem}.txt", "{name}.txt")
MARK = "$"
PICTURE_MM = 120


def read(source: Source) -> v.VendorMetadata | None:
    """What a JEOL microscope wrote, None where there is nothing of it."""
    sidecar = source.sidecar(*SIDECARS)
    if sidecar is None or ("$CM_" not in sidecar and "SM_MICRON_BAR" not in sidecar):
        return None
    values: dict[str, str] = {}
    for line in sidecar.splitlines():
        name, _, value = line.strip().partition(" ")
        if name.startswith(MARK):
            values.setdefault(name.lstrip(MARK), value.strip()[:500])
    values = v.in_one_locale(values)
    cols, rows = _scan(values)
    micron_bar = values.get("SM_MICRON_BAR")
    size, note = v.pixel_size(_pixel_nm(values))
    how = ""
    if size is None and not note and not v.whole(micron_bar):
        size, note = v.pixel_size(_by_magnification(values, v.whole(cols)))
        how = f"JEOL metadata, {values.get('CM_MAG')} × on a picture {PICTURE_MM} mm wide"
    return v.VendorMetadata(
        vendor="JEOL",
        pixel_size_nm=size,
        bar_rows=v.bar_below(source.shape, rows, cols),
        instrument=v.text(values.get("CM_INSTRUMENT")),
        accelerating_voltage_kV=v.number(values.get("CM_ACCEL_VOLT")),
        working_distance_mm=v.number(values.get("SM_WD") or values.get("CM_WD")),
        detector=v.text(values.get("CM_SIGNAL_NAME") or values.get("CM_SIGNAL")),
        magnification=v.text(values.get("CM_MAG")),
        date=v.text(f"{values.get('CM_DATE', '')} {values.get('CM_TIME', '')}"),
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note or v.unread("SM_MICRON_MARKER", values.get("SM_MICRON_MARKER"), size),
        size_source=how,
        scan_shape=v.scan_shape(rows, cols),
        raw=values,
    )


def _pixel_nm(values: dict[str, str]) -> float | None:
    bar = v.number(values.get("SM_MICRON_BAR"))
    marker = v.length_text_nm(values.get("SM_MICRON_MARKER"))
    return marker / bar if bar and marker and bar > 0 else None


def _by_magnification(values: dict[str, str], cols: int | None) -> float | None:
    """Side of a pixel from the magnification, where the width that it is told for is known."""
    instrument = values.get("CM_INSTRUMENT", "").upper()
    magnification = v.number(values.get("CM_MAG"))
    if not instrument.startswith("JSM") or instrument.startswith("JSM-IT"):
        return None
    if not magnification or magnification <= 0 or not cols:
        return None
    return PICTURE_MM * 1e6 / magnification / cols


def _scan(values: dict[str, str]) -> tuple[str, str]:
    """Columns and rows of the specimen as they are written."""
    size = values.get("CM_FULL_SIZE", "").replace(",", " ").split()
    return (size[0], size[1]) if len(size) == 2 else ("", "")
