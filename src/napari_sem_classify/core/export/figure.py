"""A figure for a paper: specimen, classes, area fractions with their intervals, scale bar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import atomic_path
from napari_sem_classify.core.export import overlay
from napari_sem_classify.core.export.quantities import (
    counted,
    fraction_text,
    heading_text,
    share_area_text,
    share_text,
    size_text,
)
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_sem_classify.core.measure.area_fraction import FractionEstimate

FORMATS = (".png", ".svg", ".pdf")
INCH_MM = 25.4
LINE_MM = 7.4


@dataclass(frozen=True, slots=True)
class FigureLook:
    """What a figure shows; `opacity` is that of the classes' colours over the specimen, 0 to 1."""

    opacity: float = overlay.OPACITY
    legend: bool = True
    scale_bar: bool = True


def write_figure(
    class_map: ClassMap,
    image: SemImage,
    path: Path,
    estimate: FractionEstimate | None = None,
    *,
    width_mm: float = 170.0,
    dpi: int = 300,
    look: FigureLook | None = None,
) -> None:
    """Draw specimen and classes side by side with a legend under them.

    Parameters
    ----------
    image : SemImage
        The image that was classified.
    path : Path
        Ending in .png, .svg or .pdf; text stays text in the last two.
    estimate : FractionEstimate, optional
        Corrected fractions of this map for the legend; without them the map's own are shown, and
        it says so.
    width_mm : float
        Two columns of a journal are about 170 mm, one about 85 mm.
    dpi : int
        Of a PNG, and of the picture within an SVG or PDF.

    Raises
    ------
    OutputError
        When the ending is another one, or the file cannot be written.
    ImageError
        When the image cannot be read.
    """
    import matplotlib

    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise OutputError(
            f"{path.name} ends in {kind or 'nothing'}: name the figure .png, .svg or .pdf."
        )
    # Text as text: editable in a drawing program, searchable in a PDF.
    settings: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "figure"}
    with matplotlib.rc_context(settings):
        figure = draw_figure(class_map, image, estimate, width_mm=width_mm, look=look)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=dpi, facecolor="white", format=kind[1:])


def draw_figure(
    class_map: ClassMap,
    image: SemImage,
    estimate: FractionEstimate | None = None,
    *,
    width_mm: float = 170.0,
    look: FigureLook | None = None,
) -> Figure:
    """The figure of `write_figure`: panels a (specimen) and b (classes), then the legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    look = look or FigureLook()
    area = class_map.grid.area
    gap, title = 3.0, 5.0
    panel = (width_mm - gap) / 2
    height = panel * min(area.height / area.width, 2.0)
    lines = min(len(class_map.classes), overlay.LEGEND_ROWS + 1) + 1
    legend = LINE_MM * lines + 4.0 if look.legend else 0.0
    total = title + height + gap + legend
    figure = Figure(figsize=(width_mm / INCH_MM, total / INCH_MM))
    FigureCanvasAgg(figure)
    grey, step = overlay.overview(image, area, class_map.plane)
    pictures = (grey, overlay.coloured(class_map, grey, step, look.opacity))
    for index, picture in enumerate(pictures):
        left = index * (panel + gap) / width_mm
        box = (left, (gap + legend) / total, panel / width_mm, height / total)
        axes = figure.add_axes(box)
        overlay.show_picture(axes, picture, area, step)
        y = 1 - title / 2 / total
        figure.text(left, y, "ab"[index], fontsize=10, weight="bold", va="center")
        if index == 0 and look.scale_bar:
            overlay.scale_bar(axes, area, class_map.pixel_size_nm, fontsize=8.0, thickness=0.02)
    if look.legend:
        legend_axes = figure.add_axes((0.0, 0.0, 1.0, legend / total))
        _legend(legend_axes, class_map, estimate, width_mm, legend)
    return figure


def _legend(
    axes: Axes,
    class_map: ClassMap,
    estimate: FractionEstimate | None,
    width_mm: float,
    height_mm: float,
) -> None:
    """Swatch, name and fraction of each class, in millimetres of the page."""
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, width_mm)
    axes.set_ylim(height_mm, 0)
    axes.set_axis_off()
    fractions = class_map.fractions()
    heading = heading_text(fractions)
    if estimate is None:
        heading += " (as the map says, not corrected)"
    else:
        n, unit = int(estimate.counts.counts.sum()), estimate.counts.unit
        heading += f", corrected, {estimate.level:.0%} interval, {counted(n, unit)} reviewed"
        heading = heading.replace("%", " %")
    axes.text(0, LINE_MM / 2, heading, fontsize=8, weight="bold", va="center")
    rows, more = overlay.legend_rows(fractions)
    axes.text(7.5, LINE_MM * (len(rows) + 1.5), more, fontsize=8, va="center")
    for index, row in enumerate(rows):
        y = LINE_MM * (index + 1)
        axes.add_patch(Rectangle((0.2, y + 1), 5, 5, fc=row.colour, ec="black", lw=0.6))
        middle = y + LINE_MM / 2
        axes.text(
            7.5, middle, overlay.shortened(row.title, 32), fontsize=8, va="center", parse_math=False
        )
        share, size = fraction_text(row), size_text(row)
        if estimate is not None:
            number = fractions.index(row)
            corrected, whole = estimate.corrected[number], estimate.area_um2
            share = share_text(corrected) + ("" if row.is_area else " of tiles")
            size = share_area_text(corrected, whole) if row.is_area else ""
        axes.text(width_mm * 0.45, middle, share, fontsize=8, va="center")
        axes.text(width_mm * 0.78, middle, size, fontsize=8, va="center")
