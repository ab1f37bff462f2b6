"""Zeiss SmartSEM: TIFF tag 34118.

Format facts: tifffile's ``sem_metadata`` gives ``name: (label, value, unit)`` and the unnamed
values first. ``ap_image_pixel_size`` is the pixel size. ``ap_pixel_size`` is that of a 1024 px wide
image and so wrong for other store sizes: never used. Without the image key the unnamed value number
3 (metres, for 1024 px) × 1024 / width gives it. The bar's height is not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors import values as v

TAG = 34118
UNNAMED_PIXEL_SIZE = 3
UNNAMED_WIDTH_PX = 1024
ROUNDED_SHARE = 0.015


def read(source: Source) -> v.VendorMetadata | None:
    """What a Zeiss microscope wrote, None where there is nothing of it."""
    sem = source.tags.get(TAG)
    if not isinstance(sem, Mapping) or not any(str(key).startswith("ap_") for key in sem):
        return None
    size, note = v.pixel_size(_pixel_nm(source, sem))
    date = " ".join(filter(None, (v.text(_value(sem, "ap_date")), v.text(_value(sem, "ap_time")))))
    return v.VendorMetadata(
        vendor="Zeiss",
        pixel_size_nm=size,
        instrument=v.text(_value(sem, "sv_instrument_id")) or v.text(_value(sem, "dp_sem")),
        accelerating_voltage_kV=_in(sem, ("ap_actualkv", "ap_manualkv"), {"kv": 1.0, "v": 1e-3}),
        working_distance_mm=_length(sem, "ap_wd", 1e-6),
        detector=v.text(_value(sem, "dp_detector_type"))
        or v.text(_value(sem, "dp_detector_channel")),
        magnification=v.text(_value(sem, "ap_mag")),
        date=v.text(date),
        field_width_um=_length(sem, "ap_width", 1e-3),
        note=note,
        scan_shape=_stored(sem) or _by_field(source, sem, size),
        scan_bar_rows=0,
        raw=sem,
    )


def _pixel_nm(source: Source, sem: Mapping[str, Any]) -> float | None:
    direct = _length(sem, "ap_image_pixel_size", 1.0)
    if direct:
        return direct
    unnamed = sem.get("")
    if isinstance(unnamed, tuple) and len(unnamed) > UNNAMED_PIXEL_SIZE:
        found = v.number(unnamed[UNNAMED_PIXEL_SIZE])
        if found and found > 0:
            stored = _stored(sem)
            width = stored[1] if stored else source.shape[1]
            return found * 1e9 * UNNAMED_WIDTH_PX / width
    return None


def _stored(sem: Mapping[str, Any]) -> tuple[int | None, int] | None:
    """Rows and columns as they were saved, bar and all: "Store resolution = 1024 * 768"."""
    cols, _, rows = str(_value(sem, "dp_image_store") or "").partition("*")
    return v.scan_shape(rows, cols)


def _by_field(
    source: Source, sem: Mapping[str, Any], size: float | None
) -> tuple[int | None, int] | None:
    """Rows and columns from the field's width and height, where those are not the file's.

    The lengths are rounded to three or four digits, so a count near the file's is the file's, and
    one near a multiple or part of it is that.
    """
    lengths = [
        v.length_text_nm(f"{_value(sem, n)} {_unit(sem, n)}") for n in ("ap_height", "ap_width")
    ]
    if size is None or None in lengths:
        return None
    found = []
    for length, own in zip(lengths, source.shape, strict=True):
        ratio = (length or 0.0) / size / own
        if ratio <= 0:
            return None
        whole = round(ratio) if ratio > 1 else 1 / round(1 / ratio)
        found.append(round(own * (whole if abs(ratio / whole - 1) < ROUNDED_SHARE else ratio)))
    return None if tuple(found) == source.shape else (found[0], found[1])


def _value(sem: Mapping[str, Any], name: str) -> Any:
    found = sem.get(name)
    return found[1] if isinstance(found, tuple) and len(found) > 1 else None


def _unit(sem: Mapping[str, Any], name: str) -> str:
    found = sem.get(name)
    return str(found[2]) if isinstance(found, tuple) and len(found) > 2 else ""


def _length(sem: Mapping[str, Any], name: str, factor: float) -> float | None:
    value, unit = _value(sem, name), _unit(sem, name)
    # What tifffile does not take for a number (24,65 nm) it leaves as one text.
    found = v.length_nm(value, unit) if unit else v.length_text_nm(value)
    return v.scaled(found, factor)


def _in(
    sem: Mapping[str, Any], names: tuple[str, ...], factors: Mapping[str, float]
) -> float | None:
    for name in names:
        factor = factors.get(_unit(sem, name).strip().lower())
        if factor is not None and v.number(_value(sem, name)) is not None:
            return v.scaled(_value(sem, name), factor)
    return None
