"""Zeiss Orion (helium ion) and Fibics (NPVE, Atlas): XML in TIFF tags 65000 and 51023.

Format facts: Orion's ``ImageTags`` hold ``ScalingX`` with ``Value`` and ``Units``, and
``SAS.ScanSize``, below which the bar lies. Fibics' ``Scan`` holds ``Ux``/``Vy`` (µm a
pixel along the axes, with the scan's rotation in ``Uy``/``Vx``) and ``FOV_X`` with its unit beside
``Image/Width``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v
from napari_sem_classify.core.sem_io.vendors.xml_text import find, flat, local_name, parse, text_at

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ORION_TAG = 65000
FIBICS_TAG = 51023
FIBICS_UNIT_NM = 1000.0


def read(source: Source) -> v.VendorMetadata | None:
    """What an Orion or Fibics software wrote, None where there is nothing of it."""
    root = parse(source.text_of(FIBICS_TAG))
    if root is not None and local_name(root) == "Fibics":
        return _fibics(root)
    root = parse(source.text_of(ORION_TAG))
    if root is not None and local_name(root) == "ImageTags":
        return _orion(source, root)
    return None


def _orion(source: Source, root: Element) -> v.VendorMetadata:
    size, note = v.pixel_size(_valued(root, "ScalingX"), _valued(root, "ScalingY"))
    volts = v.number(text_at(root, "GFIS.AccelerationVoltage", "Value")) or v.number(
        text_at(root, "AccelerationVoltage", "Value")
    )
    # The scan's size is written as "1024 x 1024", columns x rows.
    cols, _, rows = (text_at(root, "SAS.ScanSize", "Value") or "").partition("x")
    return v.VendorMetadata(
        vendor="Zeiss Orion",
        pixel_size_nm=size,
        bar_rows=v.bar_below(source.shape, rows, cols),
        instrument=v.text(text_at(root, "System.Model", "Value")),
        accelerating_voltage_kV=v.scaled(volts, 1e-3),
        working_distance_mm=v.scaled(_valued(root, "WorkingDistance"), 1e-6),
        detector=v.text(text_at(root, "DetectorName", "Value")),
        magnification=v.text(text_at(root, "Magnification4x5", "Value")),
        date=v.text(text_at(root, "TimeStamp", "Value")),
        field_width_um=v.scaled(_valued(root, "Fov"), 1e-3),
        note=note,
        scan_shape=v.scan_shape(rows, cols),
        raw={
            local_name(one): (text_at(one, "Value") or "")[:500]
            for one in root
            if find(one, "Value") is not None
        },
    )


def _fibics(root: Element) -> v.VendorMetadata:
    x_nm, y_nm = _step(root, "Ux", "Uy"), _step(root, "Vx", "Vy")
    field = find(root, "Scan", "FOV_X")
    field_nm = None if field is None else v.length_nm(field.text, field.get("units"))
    width = v.number(text_at(root, "Image", "Width"))
    if x_nm is None and field_nm and width and width > 0:
        x_nm, y_nm = field_nm / width, None
    size, note = v.pixel_size(x_nm, y_nm)
    items = {one.get("name"): one.text for one in root.iter() if local_name(one) == "item"}
    return v.VendorMetadata(
        vendor="Fibics",
        pixel_size_nm=size,
        instrument=v.text(text_at(root, "Image", "Beam")),
        accelerating_voltage_kV=v.scaled(items.get("AccV"), 1e-3),
        detector=v.text(text_at(root, "Image", "Detector")),
        date=v.text(text_at(root, "Application", "Date")),
        field_width_um=v.scaled(field_nm, 1e-3),
        note=note,
        scan_shape=v.scan_shape(text_at(root, "Image", "Height"), text_at(root, "Image", "Width")),
        scan_bar_rows=0,
        raw=flat(root),
    )


def _step(root: Element, along: str, across: str) -> float | None:
    one, other = v.number(text_at(root, "Scan", along)), v.number(text_at(root, "Scan", across))
    if one is None or other is None:
        return None
    length = math.hypot(one, other) * FIBICS_UNIT_NM
    return length if length > 0 else None


def _valued(root: Element, name: str) -> float | None:
    return v.length_nm(text_at(root, name, "Value"), text_at(root, name, "Units"))
