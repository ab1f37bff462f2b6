"""What the user asks of outlines."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sem_classify.core.common.errors import GridError

STEPS_A_TILE = 8


@dataclass(frozen=True, slots=True)
class OutlineOptions:
    """How outlines are drawn.

    Attributes
    ----------
    step_px : int or None
        Distance in image px between the places that are judged; between them outlines are
        interpolated. None for an eighth of a tile.
    """

    step_px: int | None = None

    def step_for(self, tile: int) -> int:
        """The step in px on tiles of so many px.

        Raises
        ------
        GridError
            When it is below one pixel or above half a tile.
        """
        if self.step_px is None:
            return max(1, tile // STEPS_A_TILE)
        if not 1 <= self.step_px <= tile // 2:
            raise GridError(
                f"Outlines cannot be drawn in steps of {self.step_px} px on tiles of {tile} px: "
                f"use 1 to {tile // 2} px."
            )
        return self.step_px
