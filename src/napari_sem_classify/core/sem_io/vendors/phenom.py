"""Phenom: XML with the root ``FeiImage`` in TIFF tag 34683.

Format facts: ``pixelWidth`` and ``pixelHeight`` carry their unit as an attribute (nm or um);
``databarHeight`` is the bar's height in rows; ``acquisition/scan`` holds voltage and detector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v
from napari_sem_classify.core.sem_io.vendors.xml_text import find, flat, local_name, parse, text_at

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TAG = 34683


def read(source: Source) -> v.VendorMetadata | None:
    """What a Phenom wrote, None where there is nothing of it."""
    root = parse(source.text_of(TAG))
    if root is None or (local_name(root) != "FeiImage" and find(root, "pixelWidth") is None):
        return None
    size, note = v.pixel_size(_length(root, "pixelWidth"), _length(root, "pixelHeight"))
    distance = _length(root, "workingDistance")
    return v.VendorMetadata(
        vendor="Phenom",
        pixel_size_nm=size,
        bar_rows=v.checked_bar(source.shape[0], text_at(root, "databarHeight")),
        instrument=v.text(text_at(root, "instrument", "type")),
        accelerating_voltage_kV=_voltage(root),
        working_distance_mm=v.scaled(distance, 1e-6),
        detector=v.text(text_at(root, "scan", "detector")),
        magnification=v.text(text_at(root, "magnification")),
        date=v.text(text_at(root, "time") or text_at(root, "date")),
        field_width_um=v.scaled(size, source.shape[1] * 1e-3),
        note=note,
        raw=flat(root),
    )


def _length(root: Element, name: str) -> float | None:
    element = find(root, name)
    return None if element is None else v.length_nm(element.text, element.get("unit"))


def _voltage(root: Element) -> float | None:
    element = find(root, "highVoltage")
    if element is None:
        return None
    factor = 1.0 if (element.get("unit") or "").lower() == "kv" else 1e-3
    volts = v.number(element.text)
    # Phenom counts the cathode's potential, which is negative.
    return None if volts is None else v.scaled(abs(volts), factor)
