"""Which tiles to leave out: by rule, outside a drawn region, or by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.tiles.tile_rules import FLAT_BELOW, TileChecks
from napari_sem_classify.plugin.forms.area_form import AreaForm
from napari_sem_classify.plugin.forms.layout import Form, Note, check_box, explain, slim
from napari_sem_classify.plugin.layers.grid_layers import BY_HAND, FLAT, NO_DATA, OUTSIDE

if TYPE_CHECKING:
    from napari.components import ViewerModel

BY_HAND_NOTE = "Click a tile to leave it out, click again to take it back (grid layer selected)."


@dataclass(eq=False)
class HandPicked:
    """What was clicked: tiles left out, and tiles taken back although a rule leaves them out.

    Both have the shape ``grid.tile_shape``.
    """

    out: NDArray[np.bool_]
    back: NDArray[np.bool_]

    @classmethod
    def none(cls, shape: tuple[int, int]) -> HandPicked:
        """Nothing clicked yet."""
        return cls(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))

    def toggle(self, row: int, col: int, kept: bool) -> None:
        """Leave a kept tile out, take any other back."""
        self.out[row, col] = kept
        self.back[row, col] = not kept


class LeaveOutForm:
    """Rules that leave tiles out."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        tip = "Tiles of nothing but black or NaN"
        self.no_data = check_box("without data", tip, "Leave out tiles without data", True)
        tip = "Tiles in which hardly anything is seen"
        self.flat = check_box("flat, under", tip, "Leave out flat tiles")
        self.limit = widgets.FloatSpinBox(value=100 * FLAT_BELOW, min=0, max=100, step=0.5)
        self.limit.native.setSuffix(" %")
        self.limit.native.setDecimals(1)
        slim(self.limit, "00.0 %")
        explain(
            self.limit,
            "Contrast of a flat tile",
            "Standard deviation of the grey values, as a share of the image's range",
        )
        form.row("Leave out", self.no_data)
        form.row("", self.flat, self.limit)
        self.area = AreaForm(viewer, form, owner)
        hint = Note("Leaving out by hand")
        form.wide(hint)
        hint.say(BY_HAND_NOTE)
        for control in (self.no_data, self.flat, self.limit, self.area):
            control.changed.connect(self.changed.emit)

    @property
    def needs_pixels(self) -> bool:
        """Whether a rule looks at the pixels."""
        return bool(self.no_data.value or self.flat.value)

    def states(
        self,
        board: NDArray[np.uint8],
        checks: TileChecks | None,
        inside: NDArray[np.bool_] | None,
        picked: HandPicked,
    ) -> NDArray[np.uint8]:
        """State of each tile of a board of kept ones; what was picked by hand goes before rules.

        `checks` is None where the pixels were not looked at yet, `inside` for everywhere.
        """
        states = board.copy()
        if checks is not None and self.flat.value:
            states[checks.flat(float(self.limit.value) / 100.0)] = FLAT
        if checks is not None and self.no_data.value:
            states[checks.no_data] = NO_DATA
        if inside is not None:
            states[~inside] = OUTSIDE
        states[picked.back] = board[picked.back]
        states[picked.out] = BY_HAND
        return states
