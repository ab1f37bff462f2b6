"""TESCAN: TIFF tag 50431, or a ``.hdr`` text beside the image.

Format facts: the tag holds a thumbnail and then ``Name=value`` lines; the header file is INI text
named ``image.hdr`` or ``image-tif.hdr``. Lengths in metres, voltages in volts. ``ImageStripSize``
is the height of the info bar at the bottom. ``MagnificationReference`` is the width in metres of a
picture that ``Magnification`` is told for, so that both give the field's width.
"""

from __future__ import annotations

import re

from napari_sem_classify.core.sem_io.source import Source, decode
from napari_sem_classify.core.sem_io.vendors import values as v

TAG = 50431
SIDECARS = ("{stem}.hdr", "{stem}-{suffix}.hdr", "{name}.hdr")
_LINE = re.compile(r"^([A-Za-z][A-Za-z0-9 ]{0,60})=([^\r\n\x00]{0,500})", re.MULTILINE)
_BINARY_LINE = re.compile(rb"([A-Za-z][A-Za-z0-9]{0,60})=([^\r\n\x00]{0,500})[\r\n]")


def read(source: Source) -> v.VendorMetadata | None:
    """What a TESCAN microscope wrote, None where there is nothing of it."""
    values = _from_tag(source.tags.get(TAG))
    if "PixelSizeX" not in values:
        sidecar = source.sidecar(*SIDECARS)
        values = dict(_LINE.findall(sidecar)) if sidecar else values
    if "PixelSizeX" not in values:
        return None
    values = v.in_one_locale(values)
    size, note = v.pixel_size(
        v.length_nm(values.get("PixelSizeX"), "m"), v.length_nm(values.get("PixelSizeY"), "m")
    )
    return v.VendorMetadata(
        vendor="TESCAN",
        pixel_size_nm=size,
        bar_rows=v.checked_bar(source.shape[0], values.get("ImageStripSize")),
        instrument=v.text(values.get("Device")),
        accelerating_voltage_kV=v.scaled(
            values.get("HV") or values.get("AcceleratorVoltage"), 1e-3
        ),
        working_distance_mm=v.scaled(values.get("WD"), 1e3),
        detector=v.text(values.get("Detector")),
        magnification=v.text(values.get("Magnification")),
        date=v.text(f"{values.get('Date', '')} {values.get('Time', '')}"),
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note or v.unread("PixelSizeX", values.get("PixelSizeX"), size),
        scan_shape=v.scan_shape(None, _scan_cols(values, size)),
        raw=values,
    )


def _scan_cols(values: dict[str, str], size: float | None) -> int | None:
    """Columns of the scan, from its width; None of a mosaic of several fields."""
    width_nm = v.length_nm(values.get("MagnificationReference"), "m")
    magnification = v.number(values.get("Magnification"))
    one_field = v.number(values.get("ViewFieldsCountX", "1")) == 1
    if not (size and width_nm and magnification and one_field) or magnification <= 0:
        return None
    return round(width_nm / magnification / size)


def _from_tag(value: object) -> dict[str, str]:
    if isinstance(value, str):
        value = value.encode("latin-1", errors="replace")
    if not isinstance(value, bytes):
        return {}
    return {decode(name): decode(found) for name, found in _BINARY_LINE.findall(value)}
