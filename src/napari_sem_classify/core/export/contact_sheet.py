"""Many tiles of many images on one picture, each with a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.files import atomic_path
from napari_sem_classify.core.common.plain_text import printable
from napari_sem_classify.core.export.overlay import DPI, shortened

COLUMNS = 8
CELL_PX, TEXT_PX, HEAD_PX = 150, 34, 60
LINE = 21


@dataclass(frozen=True, slots=True)
class SheetTile:
    """A tile, uint8 of shape (rows, columns), and up to two lines about it."""

    pixels: NDArray[np.uint8]
    caption: str


def write_contact_sheet(title: str, tiles: Sequence[SheetTile], path: Path) -> None:
    """Draw tiles in rows of `COLUMNS` as a PNG; the first one has a frame.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = max(1, math.ceil(len(tiles) / COLUMNS))
    width, height = COLUMNS * CELL_PX, HEAD_PX + rows * (CELL_PX + TEXT_PX)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    at = 8 / width, 1 - HEAD_PX / 2 / height
    figure.text(*at, printable(title), fontsize=15, weight="bold", va="center", parse_math=False)
    for number, tile in enumerate(tiles):
        row, col = divmod(number, COLUMNS)
        left = col * CELL_PX + 4
        bottom = height - HEAD_PX - (row + 1) * (CELL_PX + TEXT_PX) + TEXT_PX
        side = CELL_PX - 8
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.imshow(tile.pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for edge in axes.spines.values():
            edge.set_visible(number == 0)
            edge.set_linewidth(4)
        lines = printable(tile.caption, lines=True).split("\n")
        text = "\n".join(shortened(line, LINE) for line in lines)
        at = left / width, (bottom - 4) / height
        figure.text(*at, text, fontsize=8, va="top", parse_math=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor="white", format="png")
