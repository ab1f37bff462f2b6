"""Where the specimen ends and the microscope's info bar begins.

Metadata first, then the pixels, then no bar. The rule for pixels: on a specimen the most frequent
grey level of a row covers 0 to 2 % of it, on a panel 47 to 100 %. Measured on FEI, Zeiss and SEC
images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import ArrayLike, ColourMode, Specimen, luminance
from napari_sem_classify.core.sem_io.vendors.values import VendorMetadata

# Shares of a row that its most frequent grey level covers.
OUTER_ROW_SHARE = 0.6
PANEL_ROW_SHARE = 0.2
SPECIMEN_ROW_SHARE = 0.3
SMALLEST_STEP = 0.4
# Shares of a row that repeat the row beside it, for panels with a gradient from left to right.
REPEATING_PANEL_SHARE = 0.5
# Shares of a row within a few grey levels of one, for panels that JPEG and resampling made uneven.
SOFT_LEVELS = 7
SOFT_PANEL_SHARE = 0.3
BLURRED_ROWS = 2
# Only pictures of the size of a figure are looked at that way: it takes more rows of them.
LARGEST_SOFT_SIDE = 4096
# A panel is flat over the whole width; a box of text covers a part of it.
WIDTH_PARTS = 8
FLAT_PART_SHARE = 0.35
PARTS_NOT_FLAT = 1
LARGEST_SHARE_OF_HEIGHT = 0.25
SPECIMEN_ROWS_CHECKED = 6
PANEL_ROWS_CHECKED = 3
# Some files end in a row or two that are not the panel's.
ODD_OUTER_ROWS = 2
SMALLEST_PANEL_ROWS = 8
SMALLEST_IMAGE_ROWS = 64
LARGEST_PANEL_ROWS = 2048
# Columns looked at in wide images, in blocks spread over the width.
COLUMN_BLOCKS = 8
COLUMN_BLOCK_PX = 512
# Text and a scale bar differ from the panel's ground by at least this share of the grey range.
TEXT_CONTRAST = 0.2
TEXT_PIXELS = 0.003


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel found in the pixels: its rows at the top and at the bottom of the image."""

    top_rows: int = 0
    bottom_rows: int = 0


def find_specimen(
    data: ArrayLike, shape: tuple[int, int], colour: ColourMode, vendor: VendorMetadata | None
) -> Specimen:
    """Say where the specimen is, and how that is known.

    Parameters
    ----------
    data : array-like, shape (..., Y, X) or (..., Y, X, C) for colour
        Only the first plane is looked at, and of a wide image only a part of its columns.
    shape : (int, int)
        Rows and columns.
    colour : {"grey", "colour"}
    vendor : VendorMetadata or None
        Wins over the pixels where it knows the bar's height.
    """
    rows, cols = shape
    if vendor is not None and vendor.bar_rows is not None and vendor.bar_rows < rows:
        area = Area(0, rows - vendor.bar_rows, 0, cols)
        if vendor.bar_rows == 0:
            return Specimen(area, "metadata", f"no info bar, from metadata ({vendor.vendor})")
        phrase = f"{vendor.bar_rows} rows at the bottom, from metadata ({vendor.vendor})"
        return Specimen(area, "metadata", phrase)
    panel = find_panel(data, shape, colour)
    if not panel.top_rows and not panel.bottom_rows:
        return Specimen(Area(0, rows, 0, cols))
    area = Area(panel.top_rows, rows - panel.bottom_rows, 0, cols)
    places = []
    if panel.top_rows:
        places.append(f"{panel.top_rows} rows at the top")
    if panel.bottom_rows:
        places.append(f"{panel.bottom_rows} rows at the bottom")
    return Specimen(area, "pixels", f"{' and '.join(places)}, found in the picture")


def find_panel(data: ArrayLike, shape: tuple[int, int], colour: ColourMode) -> Panel:
    """Find panels at the top and bottom of the first plane by their pixels.

    Reads at most `LARGEST_PANEL_ROWS` rows of `COLUMN_BLOCKS` blocks at either end, and only one
    row where that already rules a panel out.
    """
    rows, cols = shape
    if rows < SMALLEST_IMAGE_ROWS or cols < SMALLEST_IMAGE_ROWS:
        return Panel()
    reach = min(int(rows * LARGEST_SHARE_OF_HEIGHT), LARGEST_PANEL_ROWS) + SPECIMEN_ROWS_CHECKED
    strip = _Columns(data, cols, colour)
    outer = ODD_OUTER_ROWS + 2
    top = strip.rows(0, outer)
    bottom = strip.rows(rows - outer, rows)[::-1]
    soft = max(rows, cols) <= LARGEST_SOFT_SIDE and top.dtype == np.uint8
    return Panel(
        _panel_height(strip.rows(0, reach), soft) if _may_be_panel(top, soft) else 0,
        _panel_height(strip.rows(rows - reach, rows)[::-1], soft)
        if _may_be_panel(bottom, soft)
        else 0,
    )


def row_shares(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Share of each row that its most frequent grey level covers.

    Parameters
    ----------
    pixels : shape (rows, cols)

    Returns
    -------
    float64, shape (rows,), 0 to 1
    """
    rows, cols = pixels.shape
    ordered = np.sort(pixels, axis=1)
    same = ordered[:, 1:] == ordered[:, :-1]
    if pixels.dtype.kind == "f":
        same |= np.isnan(ordered[:, 1:]) & np.isnan(ordered[:, :-1])
    starts = np.ones((rows, cols), dtype=bool)
    starts[:, 1:] = ~same
    where = np.flatnonzero(starts)
    lengths = np.diff(np.append(where, rows * cols))
    # Every row starts a run, so runs never span rows.
    first_run = np.searchsorted(where, np.arange(rows) * cols)
    longest = np.maximum.reduceat(lengths, first_run)
    return np.asarray(longest / cols, dtype=np.float64)


def row_repeats(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Share of each row that equals the one before, as in a gradient; a specimen's does not."""
    same = np.mean(pixels[1:] == pixels[:-1], axis=1)
    return np.append(same[:1], same)


def row_soft_shares(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of each row that lies within `SOFT_LEVELS` neighbouring grey levels.

    Parameters
    ----------
    pixels : uint8, shape (rows, cols)
    """
    rows, cols = pixels.shape
    places = np.arange(rows)[:, None] * 256 + pixels
    counts = np.bincount(places.ravel(), minlength=rows * 256).reshape(rows, 256)
    running = np.cumsum(np.pad(counts, [(0, 0), (1, 0)]), axis=1)
    within = running[:, SOFT_LEVELS:] - running[:, :-SOFT_LEVELS]
    return np.asarray(within.max(axis=1) / cols, dtype=np.float64)


def _may_be_panel(outer: NDArray[Any], soft: bool) -> bool:
    """Whether the outermost rows allow a panel, so that most images cost a few rows only."""
    share = max(row_shares(outer).max(), row_repeats(outer).max())
    if soft:
        share = max(share, row_soft_shares(outer).max())
    return bool(share >= OUTER_ROW_SHARE)


def _panel_height(block: NDArray[Any], soft: bool) -> int:
    """Rows of the panel that begins at row 0 of `block`, 0 where there is none."""
    height = _border(row_shares(block), PANEL_ROW_SHARE) or _border(
        row_repeats(block), REPEATING_PANEL_SHARE
    )
    if not height and soft:
        height = _border(row_shares(block), PANEL_ROW_SHARE, BLURRED_ROWS) or _border(
            row_soft_shares(block), SOFT_PANEL_SHARE, BLURRED_ROWS
        )
    panel = block[:height]
    return height if height and _has_text(panel) and _over_whole_width(panel) else 0


def _over_whole_width(panel: NDArray[Any]) -> bool:
    """Whether nearly all parts of the width are flat, or repeat from row to row."""
    values = np.nan_to_num(panel.astype(np.float64), posinf=0.0, neginf=0.0)
    near = SOFT_LEVELS / 2 / 255 * (values.max() - values.min())
    uneven = 0
    for part in np.array_split(values, WIDTH_PARTS, axis=1):
        flat = (np.abs(part - np.median(part, axis=1, keepdims=True)) <= near).mean()
        repeats = (part[1:] == part[:-1]).mean()
        uneven += max(flat, repeats) < FLAT_PART_SHARE
    return uneven <= PARTS_NOT_FLAT


def _border(shares: NDArray[np.float64], panel_share: float, blurred: int = 0) -> int:
    """The row at which the shares drop from a panel's to a specimen's, 0 where none does.

    Every row of the panel must have its share; at the border the drop must be sharp, since void and
    resin end gradually or along a line that is not exactly a row. Resampling blurs that border:
    up to `blurred` rows above it count for neither side.
    """
    flat = np.flatnonzero(shares[: ODD_OUTER_ROWS + 1] >= OUTER_ROW_SHARE)
    if not flat.size:
        return 0
    broken = np.flatnonzero(shares[flat[0] :] < panel_share)
    end = int(flat[0] + broken[0]) if broken.size else len(shares)
    best, largest = 0, SMALLEST_STEP
    for row in range(SMALLEST_PANEL_ROWS, min(end, len(shares) - SPECIMEN_ROWS_CHECKED) + 1):
        specimen = shares[row : row + SPECIMEN_ROWS_CHECKED].max()
        step = float(
            np.median(shares[row - blurred - PANEL_ROWS_CHECKED : row - blurred]) - specimen
        )
        if specimen <= SPECIMEN_ROW_SHARE and step > largest:
            best, largest = row, step
    return best


def _has_text(panel: NDArray[Any]) -> bool:
    """Whether something is written on the panel: bare flat rows may be void or resin."""
    values = np.nan_to_num(panel.astype(np.float64), posinf=0.0, neginf=0.0)
    span = values.max() - values.min()
    if not span > 0:
        return False
    ground = np.median(values)
    return bool((np.abs(values - ground) > TEXT_CONTRAST * span).mean() > TEXT_PIXELS)


class _Columns:
    """Rows of the first plane, in a wide image through a bounded choice of its columns."""

    def __init__(self, data: ArrayLike, cols: int, colour: ColourMode) -> None:
        self._data = data
        self._colour = colour
        self._leading = (0,) * (data.ndim - (3 if colour == "colour" else 2))
        if cols <= COLUMN_BLOCKS * COLUMN_BLOCK_PX:
            self._parts = [slice(0, cols)]
        else:
            starts = np.linspace(0, cols - COLUMN_BLOCK_PX, COLUMN_BLOCKS).astype(int)
            self._parts = [slice(int(s), int(s) + COLUMN_BLOCK_PX) for s in starts]

    def rows(self, first: int, last: int) -> NDArray[Any]:
        blocks = [
            np.asarray(self._data[(*self._leading, slice(first, last), part)])
            for part in self._parts
        ]
        pixels = np.concatenate(blocks, axis=1)
        return luminance(pixels) if self._colour == "colour" else pixels
