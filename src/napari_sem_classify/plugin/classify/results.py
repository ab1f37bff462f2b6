"""The table of classes, tiles and area fractions."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QLabel

from napari_sem_classify.core.maps.class_map import ClassFraction
from napari_sem_classify.plugin.app.text import area_text, count_text, percent_text
from napari_sem_classify.plugin.forms.fitted_table import FittedTable

AREA_COLUMN = 3


class ResultTable(FittedTable):
    """A row per class: colour and name, tiles, area fraction and, where calibrated, area."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(
            label,
            "Classes of the map",
            "How much of the classified area each class covers",
            4,
            may_hide=(AREA_COLUMN,),
        )

    def show_shares(self, shares: Sequence[ClassFraction], *, overlapping: bool) -> None:
        """Fill the table; with overlap the map's cells are counted, which are not tiles then."""
        counted = "Cells" if overlapping else "Tiles"
        rows = [
            (
                share.name,
                count_text(share.cells),
                percent_text(share.fraction),
                "" if share.area_um2 is None else area_text(share.area_um2),
            )
            for share in shares
        ]
        calibrated = any(share.area_um2 is not None for share in shares)
        self.fill(
            ["Class", counted, "Fraction", "Area"],
            rows,
            [share.colour for share in shares],
            unused=() if calibrated else (AREA_COLUMN,),
        )
        self.horizontalHeaderItem(1).setToolTip(
            "Cells of the map: squares as wide as the distance between tiles"
            if overlapping
            else "Tiles of the class"
        )
        self.horizontalHeaderItem(2).setToolTip("Area fraction: share of the classified area")
