"""A rectangle of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sem_classify.core.common.errors import GridError


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of pixels: rows `top` to `bottom`, columns `left` to `right`, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def __post_init__(self) -> None:
        if not (0 <= self.top < self.bottom and 0 <= self.left < self.right):
            raise GridError(
                f"The area of rows {self.top} to {self.bottom} and columns {self.left} to "
                f"{self.right} is empty: choose an area inside the image."
            )

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def spread(self, side: int, px: int) -> list[Area]:
        """Windows of at most `px` squared, `side` × `side` of them evenly over it, row by row."""
        tops = np.linspace(self.top, max(self.top, self.bottom - px), side).astype(int).tolist()
        lefts = np.linspace(self.left, max(self.left, self.right - px), side).astype(int).tolist()
        return [
            Area(top, min(top + px, self.bottom), left, min(left + px, self.right))
            for top in tops
            for left in lefts
        ]

    def as_list(self) -> list[int]:
        """``[top, bottom, left, right]``, as files and the command line show it."""
        return [self.top, self.bottom, self.left, self.right]
