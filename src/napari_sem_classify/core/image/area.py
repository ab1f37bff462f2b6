"""A rectangle of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.errors import GridError

if TYPE_CHECKING:
    pass


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

    def as_list(self) -> list[int]:
        """``[top, bottom, left, right]``, as files and the command line show it."""
        return [self.top, self.bottom, self.left, self.right]
