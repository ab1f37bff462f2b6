"""Where two class maps of one image say different things, and how much of the area that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.maps.class_map import ClassMap

LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class DifferentPair:
    """One way in which two maps differ.

    Attributes
    ----------
    first, second : str
        What each map says; `LEFT_OUT` where it has no class.
    """

    first: str
    second: str
    cells: int
    area_px: int

    @property
    def one_only(self) -> bool:
        """Whether only one of the maps has a class there."""
        return LEFT_OUT in (self.first, self.second)


@dataclass(frozen=True, slots=True)
class MapDifference:
    """The differing cells of two maps.

    Attributes
    ----------
    labels : uint16, shape (rows, cols)
        0 where the maps agree or neither has a class; else the number of the pair from 1.
    pairs : tuple of DifferentPair
        The largest area first.
    compared_cells, compared_px : int
        Cells to which both maps give a class, and their area in pixels.
    """

    labels: NDArray[np.uint16]
    pairs: tuple[DifferentPair, ...]
    compared_cells: int
    compared_px: int

    @property
    def cells(self) -> int:
        """Cells to which the maps give different classes."""
        return sum(pair.cells for pair in self.pairs if not pair.one_only)

    @property
    def area_fraction(self) -> float:
        """Their share of the area to which both give a class, 0 to 1; NaN without such an area."""
        if not self.compared_px:
            return float("nan")
        area = sum(pair.area_px for pair in self.pairs if not pair.one_only)
        return area / self.compared_px

    @property
    def one_only_cells(self) -> int:
        """Cells to which only one of the maps gives a class."""
        return sum(pair.cells for pair in self.pairs if pair.one_only)


def differing_cells(a: ClassMap, b: ClassMap) -> MapDifference:
    """Compare two maps of one image cell by cell; classes are the same where their names are.

    Raises
    ------
    GridError
        When the maps have other cells, or no class of the same name.
    """
    if _cells_of(a) != _cells_of(b):
        raise GridError(
            f"The two maps have different cells ({_cells_text(a)} and {_cells_text(b)}): classify "
            "with the same tile size, overlap and area to compare them."
        )
    names = [info.name for info in a.classes]
    more = [info.name for info in b.classes if info.name not in names]
    if len(more) == len(b.classes):
        raise GridError(
            "The two maps have no class of the same name: compare models of the same classes."
        )
    names += more
    first = a.labels().astype(np.int64)
    number_of = np.array([0] + [names.index(info.name) + 1 for info in b.classes])
    second = number_of[b.labels()]
    areas = a.grid.cell_areas()
    differ = first != second
    pair_of = first * (len(names) + 1) + second
    found = []
    for number in np.unique(pair_of[differ]).tolist():
        mine = pair_of == number
        one, other = divmod(number, len(names) + 1)
        words = [LEFT_OUT if each == 0 else names[each - 1] for each in (one, other)]
        pair = DifferentPair(words[0], words[1], int(mine.sum()), int(areas[mine].sum()))
        found.append((pair, mine))
    found.sort(key=lambda item: -item[0].area_px)
    labels = np.zeros(a.grid.shape, dtype=np.uint16)
    for label, (_, mine) in enumerate(found, start=1):
        labels[mine] = label
    both = (first > 0) & (second > 0)
    pairs = tuple(pair for pair, _ in found)
    return MapDifference(labels, pairs, int(both.sum()), int(areas[both].sum()))


def _cells_of(class_map: ClassMap) -> tuple[object, int]:
    return class_map.grid.area, class_map.grid.stride


def _cells_text(class_map: ClassMap) -> str:
    rows, cols = class_map.grid.shape
    return f"{rows} × {cols} of {class_map.grid.stride} px"
