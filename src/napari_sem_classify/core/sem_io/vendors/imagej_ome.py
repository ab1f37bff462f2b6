"""ImageJ and OME: pixel sizes that a program wrote on purpose, unlike a plain XResolution.

Format facts: ImageJ keeps pixels a unit in XResolution and the unit in its description
(``unit=nm``; https://imagej.net/ij, TiffEncoder); OME-XML has ``PhysicalSizeX`` with
``PhysicalSizeXUnit``, µm where that is left out (OME schema 2016-06).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v
from napari_sem_classify.core.sem_io.vendors.xml_text import find, flat, parse

X_RESOLUTION, Y_RESOLUTION = 282, 283
# ImageJ turns the screen resolution of a plain TIFF into a calibration in these.
SCREEN_UNITS = ("inch", "inches", "cm")


def read(source: Source) -> v.VendorMetadata | None:
    """What ImageJ or an OME writer noted, None where there is nothing of it."""
    return _ome(source) or _imagej(source)


def _ome(source: Source) -> v.VendorMetadata | None:
    root = parse(source.ome_xml)
    pixels = find(root, "Pixels") if root is not None else None
    if root is None or pixels is None:
        return None
    sizes = [
        v.length_nm(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XYZ"
    ]
    size, note = v.pixel_size(*sizes[:2])
    if size is None and not note:
        return None
    microscope = find(root, "Microscope")
    return v.VendorMetadata(
        vendor="OME",
        pixel_size_nm=size,
        instrument=v.text(microscope.get("Model")) if microscope is not None else None,
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note,
        scan_shape=v.scan_shape(pixels.get("SizeY"), pixels.get("SizeX")),
        scan_bar_rows=0,
        plane_spacing_nm=sizes[2],
        raw=flat(root),
    )


def _imagej(source: Source) -> v.VendorMetadata | None:
    if source.imagej is None:
        return None
    unit = source.imagej.get("unit")
    # ImageJ writes µm as an escape.
    unit = str(unit).replace("\\u00B5", "µ") if unit is not None else ""
    if unit.strip().lower() in SCREEN_UNITS:
        return None
    per_unit = [_ratio(source.tags.get(code)) for code in (X_RESOLUTION, Y_RESOLUTION)]
    x_nm, y_nm = (v.length_nm(1.0 / n, unit) if n else None for n in per_unit)
    size, note = v.pixel_size(x_nm, y_nm)
    if size is None and not note:
        return None
    return v.VendorMetadata(
        vendor="ImageJ",
        pixel_size_nm=size,
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note,
        plane_spacing_nm=_spacing_nm(source.imagej, unit),
        raw={str(key): value for key, value in source.imagej.items()},
    )


def _spacing_nm(imagej: Mapping[str, Any], unit: str) -> float | None:
    """Distance of planes: ``spacing`` is in ImageJ's unit; frames of a film have none."""
    apart = v.number(imagej.get("spacing"))
    if apart is None or apart <= 0 or "frames" in imagej:
        return None
    return v.length_nm(apart, unit)


def _ratio(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2:
        above, below = v.number(value[0]), v.number(value[1])
        return above / below if above and below and above > 0 and below > 0 else None
    found = v.number(value)
    return found if found and found > 0 else None
