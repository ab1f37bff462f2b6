"""How annotations know an image, a plane of it and a tile: by pixels, not by a row of some grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from napari_sem_classify.core.image.fingerprint import fingerprint as fingerprint
from napari_sem_classify.core.image.sem_image import ArrayLike, SemImage
from napari_sem_classify.core.tiles.grid import TileGrid

TilePlace = tuple[int, int, int]
"""First row, first column and side of a tile, in pixels of the image file."""

_PLANE = "@"


def place_of(grid: TileGrid, row: int, col: int) -> TilePlace:
    """How annotations know the tile at (`row`, `col`)."""
    return int(grid.row_starts()[row]), int(grid.col_starts()[col]), grid.tile


def tile_numbers(grid: TileGrid, places: Iterable[TilePlace]) -> dict[TilePlace, int]:
    """Numbers of the tiles at some places, row by row; places without a tile are left out."""
    row_of = {int(top): row for row, top in enumerate(grid.row_starts())}
    col_of = {int(left): col for col, left in enumerate(grid.col_starts())}
    return {
        (y, x, size): row_of[y] * len(col_of) + col_of[x]
        for y, x, size in places
        if size == grid.tile and y in row_of and x in col_of
    }


def plane_key(name: str, plane: tuple[int, ...]) -> str:
    """Key of a plane of the image with fingerprint `name`: that of the first plane is `name`."""
    return f"{name}{_PLANE}{','.join(map(str, plane))}" if any(plane) else name


def plane_of(key: str) -> tuple[int, ...]:
    """The plane that a key names, () for the first one and for a single image."""
    _, _, plane = key.partition(_PLANE)
    return tuple(int(number) for number in plane.split(",")) if plane else ()


def is_of(key: str, name: str) -> bool:
    """Whether a key is that of the image with fingerprint `name`, or of one of its planes."""
    return key.partition(_PLANE)[0] == name


def full_plane(image: SemImage, plane: tuple[int, ...]) -> tuple[int, ...]:
    """Index along all leading axes of an image, where () is the first plane."""
    return plane or (0,) * len(image.leading_shape)


def has_plane(image: SemImage, plane: tuple[int, ...]) -> bool:
    """Whether an image has a plane; () is the first one, which every image has.

    A stack that was cut short, or its first plane alone, has the fingerprint of the whole one.
    """
    leading = image.leading_shape
    return not plane or (
        len(plane) == len(leading)
        and all(at < size for at, size in zip(plane, leading, strict=True))
    )


def plane_image(image: SemImage, plane: tuple[int, ...]) -> SemImage:
    """One plane of a stack as an image of its own, lazily; () is the first one."""
    if not image.leading_shape:
        return image
    data = _Plane(image.data, full_plane(image, plane))
    named = f"{image.name} plane {','.join(map(str, data.plane))}"
    return replace(image, data=data, name=named)


@dataclass(frozen=True, slots=True)
class _Plane:
    """A plane of an array, read where it is asked for."""

    stack: ArrayLike
    plane: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stack.shape[len(self.plane) :])

    @property
    def dtype(self) -> Any:
        return self.stack.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, key: Any) -> Any:
        return self.stack[(*self.plane, *(key if isinstance(key, tuple) else (key,)))]
