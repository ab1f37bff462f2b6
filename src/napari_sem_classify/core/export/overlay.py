"""The picture of a class map: the specimen in grey, classes in colour, legend and scale bar."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.files import atomic_path
from napari_sem_classify.core.common.plain_text import printable
from napari_sem_classify.core.export.quantities import (
    bar_text,
    count_text,
    counted,
    heading_text,
    percent_text,
)
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import (
    IntensityRecipe,
    measure_range,
    stretch_to_uint8,
)
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND_ROWS = 24
"""The legend of more classes names those of most cells: it must not outgrow the picture."""

PICTURE_PX = 1600
LEGEND_PX = 470
BAND_PX = 1 << 24
SPARSE_ABOVE_PX = 1 << 28
SPARSE_ROWS = 4
OPACITY = 0.42
DPI = 100


def write_overlay(class_map: ClassMap, image: SemImage, path: Path) -> None:
    """Draw the class map over its specimen as a PNG.

    Raises
    ------
    OutputError
        When the file cannot be written.
    ImageError
        When the image cannot be read.
    """
    figure = draw_overlay(class_map, image)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor="white", format="png")


def draw_overlay(class_map: ClassMap, image: SemImage) -> Figure:
    """The figure: specimen with coloured classes on the left, legend on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    area = class_map.grid.area
    grey, step = overview(image, area, class_map.plane)
    scale = PICTURE_PX / max(area.height, area.width)
    height = max(1.0, area.height * scale)
    width = max(1.0, area.width * scale)
    margin, head = 30.0, 62.0
    legend_height = 150.0 + 58.0 * (min(len(class_map.classes), LEGEND_ROWS + 1) + 1)
    total_h = max(height + 2 * margin + head, legend_height + head)
    total_w = width + LEGEND_PX + 3 * margin
    figure = Figure(figsize=(total_w / DPI, total_h / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    box = (margin / total_w, 1 - (head + height) / total_h, width / total_w, height / total_h)
    axes = figure.add_axes(box)
    show_picture(axes, coloured(class_map, grey, step), area, step)
    scale_bar(axes, area, class_map.pixel_size_nm)
    name, x, y = printable(class_map.image_name), margin / total_w, 1 - head / 2 / total_h
    figure.text(x, y, name, fontsize=19, parse_math=False, va="center", weight="bold")
    left, bottom = (width + 2 * margin) / total_w, 1 - (head + legend_height) / total_h
    box = (left, bottom, LEGEND_PX / total_w, legend_height / total_h)
    _legend(figure.add_axes(box), class_map)
    return figure


def show_picture(axes: Axes, picture: NDArray[np.uint8], area: Area, step: int) -> None:
    """Show the picture of an area, grey or RGB, from `overview`.

    The last picture pixels may reach beyond the area: they are placed true to scale, then cut.
    """
    right, bottom = area.left + picture.shape[1] * step, area.top + picture.shape[0] * step
    extent = (area.left, right, bottom, area.top)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
    axes.set_xlim(area.left, area.right)
    axes.set_ylim(area.bottom, area.top)
    axes.set_axis_off()


def overview(
    image: SemImage, area: Area, plane: tuple[int, ...] = (), longest: int = PICTURE_PX
) -> tuple[NDArray[np.uint8], int]:
    """A small 8-bit picture of an area, read region by region: a huge image never is in memory.

    Pixels are averaged over blocks of `step` × `step`. An image stored in chunks is read in whole
    chunks, each of them once, whatever the blocks are; in images above `SPARSE_ABOVE_PX` px that
    are stored row by row only the first rows of each block are read.

    Returns
    -------
    grey : uint8, shape (⌈height / step⌉, ⌈width / step⌉)
        Stretched over the image's 1 to 99 % range.
    step : int
        Image pixels per picture pixel.
    """
    intensity = measure_range(image, IntensityRecipe(), plane)
    step = max(1, math.ceil(max(area.height, area.width) / longest))
    shape = (math.ceil(area.height / step), math.ceil(area.width / step))
    sums = np.zeros(shape, dtype=np.uint64)
    counts = np.zeros(shape, dtype=np.uint32)
    for window in _windows(image, area, step):
        pixels = image.read(window, plane)
        # Rows of blocks one after another, since stretching takes several float copies.
        edges = _edges(window.top, window.bottom, area.top, step)
        across = _edges(window.left, window.right, area.left, step)
        columns = (across[:-1] - area.left) // step
        for top, bottom in pairwise(edges):
            grey = stretch_to_uint8(pixels[top - window.top : bottom - window.top], intensity)
            place = ((top - area.top) // step, slice(int(columns[0]), int(columns[-1]) + 1))
            total = grey.sum(axis=0, dtype=np.uint32)
            sums[place] += np.add.reduceat(total, across[:-1] - window.left, dtype=np.uint64)
            counts[place] += ((bottom - top) * np.diff(across)).astype(np.uint32)
    return np.rint(sums / counts).astype(np.uint8), step


def _windows(image: SemImage, area: Area, step: int) -> Iterator[Area]:
    """What is read for the picture: whole chunks of an image that has them, else rows."""
    if image.chunks is None:
        sparse = area.height * area.width > SPARSE_ABOVE_PX
        per_band = 1 if sparse else max(1, BAND_PX // (area.width * step))
        for top in range(area.top, area.bottom, per_band * step):
            bottom = top + (min(step, SPARSE_ROWS) if sparse else per_band * step)
            yield Area(top, min(bottom, area.bottom), area.left, area.right)
        return
    chunk_y, chunk_x = image.chunks
    width = max(1, min(BAND_PX // chunk_y, area.width) // chunk_x) * chunk_x
    height = max(1, BAND_PX // min(width, area.width) // chunk_y) * chunk_y
    rows = _edges(area.top, area.bottom, 0, height)
    cols = _edges(area.left, area.right, 0, width)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            yield Area(int(top), int(bottom), int(left), int(right))


def _edges(first: int, last: int, origin: int, step: int) -> NDArray[np.int64]:
    """Cut first…last where ``origin + n · step`` lies inside; both ends included."""
    inner = np.arange(first + step - (first - origin) % step, last, step)
    return np.concatenate([[first], inner, [last]]).astype(np.int64)


def nice_length(limit: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above `limit` (> 0)."""
    power = 10.0 ** math.floor(math.log10(limit))
    return max(factor * power for factor in (1.0, 2.0, 5.0) if factor * power <= limit * 1.0001)


def scale_bar(
    axes: Axes,
    area: Area,
    pixel_size_nm: float | None,
    fontsize: float = 16.0,
    thickness: float = 0.007,
) -> None:
    """Draw a scale bar into the lower left corner, in px where the image is not calibrated.

    `thickness` is a share of the longer side of `area`; `fontsize` is in points.
    """
    from matplotlib_scalebar.scalebar import PIXEL_LENGTH, SI_LENGTH, ScaleBar

    unit = pixel_size_nm or 1.0
    # The library's own lengths go up to 750 px or µm, and then on in Mpx and cm.
    length = nice_length(area.width * unit / 4.5)
    text = bar_text(length) if pixel_size_nm else f"{length:g} px (not calibrated)"
    axes.add_artist(
        ScaleBar(
            unit,
            "nm" if pixel_size_nm else "px",
            SI_LENGTH if pixel_size_nm else PIXEL_LENGTH,
            fixed_value=length,
            location="lower left",
            width_fraction=thickness * max(area.height, area.width) / area.height,
            color="white",
            box_color="black",
            box_alpha=0.72,
            pad=0.04 * fontsize,
            border_pad=0.06 * fontsize,
            sep=fontsize / 5,
            scale_loc="top",
            scale_formatter=lambda _value, _unit: text,
            font_properties={"size": fontsize},
        )
    )


def coloured(
    class_map: ClassMap, grey: NDArray[np.uint8], step: int, opacity: float = OPACITY
) -> NDArray[np.uint8]:
    """Specimen and classes blended, uint8, shape (rows, cols, 3)."""
    grid = class_map.grid
    rows, cols = (
        np.minimum((np.arange(n) * step + step // 2) // grid.stride, last - 1)
        for n, last in zip(grey.shape, grid.shape, strict=True)
    )
    labels = class_map.labels()[np.ix_(rows, cols)]
    colours = np.zeros((len(class_map.classes) + 1, 3), dtype=np.float32)
    for number, info in enumerate(class_map.classes, start=1):
        colours[number] = info.rgb
    share = np.where(labels > 0, np.float32(opacity), np.float32(0.0))[..., None]
    mixed = grey[..., None] * (1 - share) + colours[labels] * share
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def _legend(axes: Axes, class_map: ClassMap) -> None:
    from matplotlib.patches import Rectangle

    grid, size = class_map.grid, class_map.pixel_size_nm
    fractions = class_map.fractions()
    rows, more = legend_rows(fractions)
    lines = len(rows) + bool(more) + 1
    axes.set_xlim(0, LEGEND_PX)
    axes.set_ylim(150 + 58 * lines, 0)
    axes.set_axis_off()
    axes.text(0, 4, heading_text(fractions), fontsize=17, weight="bold", va="top")
    y = 48.0
    for share in rows:
        axes.add_patch(Rectangle((0, y), 34, 34, facecolor=share.colour, edgecolor="black"))
        axes.text(48, y + 17, shortened(share.title), fontsize=16, va="center", parse_math=False)
        percent = percent_text(share.fraction)
        axes.text(LEGEND_PX - 8, y + 17, percent, fontsize=16, va="center", ha="right")
        y += 50
    if more:
        axes.text(48, y + 17, more, fontsize=16, va="center")
        y += 50
    left_out = int(class_map.left_out.sum())
    if left_out:
        axes.add_patch(Rectangle((0, y), 34, 34, fc="#bbbbbb", ec="black", hatch="//"))
        axes.text(48, y + 17, f"left out: {counted(left_out, 'cell')}", fontsize=16, va="center")
        y += 50
    tile = f"Tile {grid.tile} px"
    if size is not None:
        tile += f" = {grid.tile * size / 1000:.3g} µm"
    overlap = 1 - grid.stride / grid.tile
    notes = [tile + (f", overlap {overlap:.0%}".replace("%", " %") if overlap else "")]
    notes.append(f"{size:.4g} nm/px" if size is not None else "px (not calibrated)")
    model = class_map.record.get("model")
    name = model.get("name") if isinstance(model, dict) else model
    if name:
        notes.append(shortened(f"Model {name}", 44))
    for note in notes:
        y += 4
        axes.text(0, y + 10, note, fontsize=13, va="center", color="#444444", parse_math=False)
        y += 26


def legend_rows(fractions: Sequence[ClassFraction]) -> tuple[list[ClassFraction], str]:
    """What a legend names, in the classes' order, and what it says of those left out of it."""
    if len(fractions) <= LEGEND_ROWS:
        return list(fractions), ""
    named = sorted(range(len(fractions)), key=lambda k: -fractions[k].cells)[:LEGEND_ROWS]
    rest = len(fractions) - LEGEND_ROWS
    words = f"and {count_text(rest)} more class{'' if rest == 1 else 'es'}"
    return [fractions[k] for k in sorted(named)], words


def shortened(text: str, most: int = 24) -> str:
    """A long name without its end."""
    return text if len(text) <= most else text[: most - 1] + "…"
