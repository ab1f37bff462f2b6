"""FEI and Thermo Fisher: TIFF tags 34682 and 34680, INI text; tag 34683, XML.

Format facts: tifffile's ``fei_metadata`` (tags FEI_SFEG 34680 and FEI_HELIOS 34682); lengths in
metres, voltages in volts. The bar's height is the file's height − ``Image.ResolutionY``:
``PrivateFei.DatabarHeight`` is 0 in some files with a bar (Scios 2, software 20).
The XML is the same record under other names: ``BinaryResult/PixelSize`` carries its unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v
from napari_sem_classify.core.sem_io.vendors.xml_text import find, flat, parse, text_at

TAGS = (34682, 34680)
XML_TAG = 34683
# Sections beside [Scan] that tell of the field: [EScan], [NavCam], [CCD] and the like.
_CAMERA = re.compile(r"Scan$|Cam|Nav|CCD|Optical")


def read(source: Source) -> v.VendorMetadata | None:
    """What an FEI or Thermo Fisher microscope wrote, None where there is nothing of it."""
    for code in TAGS:
        value = source.tags.get(code)
        if isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values()):
            return _from_sections(source, value)
    return _from_xml(source)


def _from_sections(source: Source, ini: Mapping[str, Any]) -> v.VendorMetadata:
    rows, _ = source.shape
    scan, image = v.part(ini, "Scan"), v.part(ini, "Image")
    beam = v.part(ini, str(v.part(ini, "Beam").get("Beam", "EBeam")))
    detectors, private = v.part(ini, "Detectors"), v.part(ini, "PrivateFei")
    size, note = v.pixel_size(*_sides(source, ini, image))
    bar = v.bar_height(rows, image.get("ResolutionY"))
    if bar is None and v.number(image.get("ResolutionY")) is None:
        bar = v.checked_bar(rows, private.get("DatabarHeight"))
    user = v.part(ini, "User")
    return v.VendorMetadata(
        vendor="FEI",
        pixel_size_nm=size,
        bar_rows=bar,
        instrument=v.text(v.part(ini, "System").get("SystemType")),
        accelerating_voltage_kV=v.scaled(_first(beam, v.part(ini, "Beam"), "HV"), 1e-3),
        working_distance_mm=v.scaled(
            _first(beam, {"WD": v.part(ini, "Stage").get("WorkingDistance")}, "WD"), 1e3
        ),
        detector=v.text(detectors.get("Name")),
        date=v.text(f"{user.get('Date', '')} {user.get('Time', '')}"),
        field_width_um=v.scaled(scan.get("HorFieldsize"), 1e6),
        note=note,
        scan_shape=v.scan_shape(image.get("ResolutionY"), image.get("ResolutionX")),
        scan_bar_rows=v.whole(private.get("DatabarHeight")),
        raw=ini,
    )


def _from_xml(source: Source) -> v.VendorMetadata | None:
    root = parse(source.text_of(XML_TAG))
    if root is None or find(root, "BinaryResult") is None:
        return None
    steps = [find(root, "PixelSize", axis) for axis in "XY"]
    x_nm, y_nm = (
        v.length_nm(one.text, one.get("unit", "m")) if one is not None else None for one in steps
    )
    size, note = v.pixel_size(x_nm, y_nm)
    return v.VendorMetadata(
        vendor="FEI",
        pixel_size_nm=size,
        bar_rows=v.bar_height(source.shape[0], text_at(root, "ScanSize", "Height")),
        instrument=v.text(text_at(root, "InstrumentClass")),
        accelerating_voltage_kV=v.scaled(text_at(root, "AccelerationVoltage"), 1e-3),
        working_distance_mm=v.scaled(text_at(root, "WorkingDistance"), 1e3),
        detector=v.text(text_at(root, "DetectorName")),
        date=v.text(text_at(root, "AcquisitionDatetime")),
        field_width_um=v.scaled(text_at(root, "ScanFieldOfView", "X"), 1e6),
        note=note,
        scan_shape=v.scan_shape(
            text_at(root, "ScanSize", "Height"), text_at(root, "ScanSize", "Width")
        ),
        raw=flat(root),
    )


def _sides(
    source: Source, ini: Mapping[str, Any], image: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """Width and height of a pixel in nm, from the first section that tells them.

    A scan has both; a camera (navigation, inside the chamber) the width of its field at most.
    """
    sections = [v.part(ini, "Scan")]
    sections += [found for name in ini if _CAMERA.search(name) and (found := v.part(ini, name))]
    for each in sections:
        x_nm = v.length_nm(each.get("PixelWidth"), "m")
        if x_nm:
            return x_nm, v.length_nm(each.get("PixelHeight"), "m")
    for each in sections:
        field_nm = v.length_nm(each.get("HorFieldsize"), "m")
        cols = v.number(image.get("ResolutionX")) or source.shape[1]
        if field_nm and cols > 0:
            return field_nm / cols, None
    return None, None


def _first(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> Any:
    return one.get(name) if v.number(one.get(name)) is not None else other.get(name)
