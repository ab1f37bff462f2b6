"""Metadata that no longer fit the pixels: the file was resized, binned or cropped since.

Texts beside an image and tags that programs carry along speak of the scan as it was. Where the
picture shrank or grew by one factor in both directions the pixel size goes with it; else it is not
known any more.
"""

from __future__ import annotations

from dataclasses import replace

from napari_sem_classify.core.sem_io.vendors.values import VendorMetadata, pixel_size, scaled

# Programs round the new size; the other side may then be off by a pixel or two.
ROUNDING_PX = 1.5
ROUNDING_SHARE = 0.002
# A bar whose height is not recorded: at most this share of the scan's rows.
LIKELY_BAR_SHARE = 0.12
LARGEST_BAR_SHARE = 0.7
# Cut in one direction, with the other side whole: what is left at least.
CROPPED_SHARE = 0.75
# Widths that are computed from rounded lengths.
COMPUTED_SHARE = 0.03


def fit(found: VendorMetadata, shape: tuple[int, int]) -> VendorMetadata:
    """Bring metadata to a file's own size.

    Parameters
    ----------
    found : VendorMetadata
        Pixel size and bar of the scan of `found.scan_shape`.
    shape : (int, int)
        Rows and columns of the file.

    Returns
    -------
    VendorMetadata
        As it is where it fits; scaled; or without a pixel size and with the reason in `note`.
    """
    if found.scan_shape is None or found.scan_shape[1] <= 0:
        return found
    scan_rows, scan_cols = found.scan_shape
    rows, cols = shape
    if scan_rows is None or scan_rows <= 0:
        fits = abs(cols - scan_cols) <= COMPUTED_SHARE * scan_cols
        return found if fits else _unknown(found, f"{scan_cols} columns", shape)
    if cols == scan_cols and _cropped_or_with_bar(rows, scan_rows):
        return found
    bar, bar_unknown = found.scan_bar_rows or 0, found.scan_bar_rows is None
    if rows in (scan_rows, scan_rows + bar) and CROPPED_SHARE * scan_cols <= cols < scan_cols:
        return replace(found, field_width_um=None)
    factor = cols / scan_cols
    margin = max(ROUNDING_PX, ROUNDING_SHARE * rows) * max(1.0, factor)
    excess = rows - factor * scan_rows
    if cols != scan_cols and abs(excess - factor * bar) <= margin:
        return _scaled(found, factor, shape, round(factor * bar) if bar else None)
    if cols != scan_cols and abs(excess) <= margin:
        return _scaled(found, factor, shape, None)
    if cols != scan_cols and bar_unknown and 0 < excess <= LIKELY_BAR_SHARE * factor * scan_rows:
        return _scaled(found, factor, shape, rows - round(factor * scan_rows))
    return _unknown(found, f"{scan_cols} × {scan_rows} px", shape)


def _cropped_or_with_bar(rows: int, scan_rows: int) -> bool:
    return CROPPED_SHARE * scan_rows <= rows <= (1 + LARGEST_BAR_SHARE) * scan_rows


def _scaled(
    found: VendorMetadata, factor: float, shape: tuple[int, int], bar_rows: int | None
) -> VendorMetadata:
    if found.pixel_size_nm is None:
        return replace(found, bar_rows=bar_rows)
    size, note = pixel_size(found.pixel_size_nm / factor)
    was = f"{found.scan_shape[1]} × {found.scan_shape[0]}" if found.scan_shape else ""
    how = found.size_source or f"{found.vendor} metadata"
    return replace(
        found,
        pixel_size_nm=size,
        bar_rows=bar_rows,
        field_width_um=scaled(size, shape[1] * 1e-3),
        size_source=f"{how} of {was} px, scaled by {1 / factor:.4g} to this file's size",
        note=note or found.note,
    )


def _unknown(found: VendorMetadata, was: str, shape: tuple[int, int]) -> VendorMetadata:
    if found.pixel_size_nm is None:
        return replace(found, bar_rows=None)
    return replace(
        found,
        pixel_size_nm=None,
        bar_rows=None,
        field_width_um=None,
        size_source="",
        note=f"the metadata speak of {was} and the file has {shape[1]} × {shape[0]} px, so its "
        "pixel size is not known",
    )
