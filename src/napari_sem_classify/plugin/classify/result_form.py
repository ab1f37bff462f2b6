"""What came out: the table of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtWidgets import QLabel

from napari_sem_classify.core.export.quantities import (
    TILES_NOTE,
    cell_of_area,
    fraction_text,
    size_text,
)
from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.text import count_text, percent_text
from napari_sem_classify.plugin.forms.fitted_table import FittedTable
from napari_sem_classify.plugin.forms.layout import Form, Note

AREA_TIP = "Area fraction: share of the classified area"
TILES_TIP = (
    'Share of the classified area; of "tiles with" a class the share of tiles, which is none of '
    "the area"
)
FRACTIONS_NOTE = "As classified: not corrected for the mistakes of the model."
AREA_COLUMN = 3
NOT_CLASSIFIED = "This plane was not classified."


class ResultTable(FittedTable):
    """A row per class: colour and name, tiles, fraction and area, in px² without calibration."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(
            label,
            "Classes of the map",
            "How much of the classified area each class covers",
            4,
            may_hide=(1, AREA_COLUMN),
        )

    def show_shares(self, shares: Sequence[ClassFraction], *, overlapping: bool) -> None:
        """Fill the table; with overlap the map's cells are counted, which are not tiles then."""
        counted = "Cells" if overlapping else "Tiles"
        cells = "Cells of the map: squares as wide as the distance between tiles"
        self.header_tips = {
            1: cells if overlapping else "Tiles of the class",
            2: TILES_TIP if any(not share.is_area for share in shares) else AREA_TIP,
        }
        rows = [
            (
                share.title,
                count_text(share.cells),
                percent_text(share.fraction),
                cell_of_area(share),
            )
            for share in shares
        ]
        told = [
            ", ".join(filter(None, (*row[:2], fraction_text(share), size_text(share))))
            for row, share in zip(rows, shares, strict=True)
        ]
        self.fill(
            ["Class", counted, "Fraction", "Area"],
            rows,
            [share.colour for share in shares],
            tooltips=told,
        )


class ResultForm:
    """The table of one map."""

    def __init__(self, form: Form) -> None:
        self.note = Note("About the area fractions")
        self.table = ResultTable(self.note)
        form.wide(self.table, self.note)

    def show_maps(self, maps: Mapping[tuple[int, ...], ClassMap], plane: tuple[int, ...]) -> None:
        """Show the finished maps of an image: the table tells the plane in view."""
        class_map = maps.get(plane)
        if class_map is None:
            self.table.hide()
            self.note.say(NOT_CLASSIFIED if maps else "")
        else:
            self.show_shares(class_map.fractions(), class_map.grid)

    def show_shares(self, shares: list[ClassFraction], grid: TileGrid) -> None:
        """Fill the table, also while the map is still filling."""
        self.table.show_shares(shares, overlapping=grid.stride < grid.tile)
        tiles = any(not share.is_area for share in shares)
        self.note.say(f"{FRACTIONS_NOTE} {TILES_NOTE}" if tiles else FRACTIONS_NOTE)
