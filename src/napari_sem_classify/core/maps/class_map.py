"""The result: which class each cell is, how sure, and how much of the specimen each class covers.

Labels, confidence, entropy and fractions all derive from the one array of probabilities, so the
viewer, the tables, the files and the figures cannot disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.tiles.grid import TileGrid


@dataclass(frozen=True, slots=True)
class ClassFraction:
    """How much of the classified area one class covers.

    Attributes
    ----------
    cells : int
        Cells of the class.
    area_px : int
        Pixels of these cells.
    fraction : float
        Their share of the classified area, 0 to 1 (NaN where nothing was classified).
    area_um2 : float or None
        Their area in square micrometres; None without calibration, and of a class whose tiles only
        contain it.
    contains : float or None
        See `ClassInfo`. The fraction of such a class is one of tiles (each counts with its pixels)
        and no area fraction.
    """

    name: str
    colour: str
    cells: int
    area_px: int
    fraction: float
    area_um2: float | None
    contains: float | None = None

    @property
    def title(self) -> str:
        """What these cells are: "oxide", or "tiles with crack"."""
        return ClassInfo(self.name, self.colour, self.contains).title

    @property
    def is_area(self) -> bool:
        """Whether the fraction is one of the area, and not one of tiles."""
        return self.contains is None


@dataclass(frozen=True, slots=True)
class ClassMap:
    """Probabilities of each class in each cell of one plane.

    Attributes
    ----------
    probabilities : float32, shape (rows, cols, classes)
        Sum to 1 over the classes; NaN in cells left out.
    grid : TileGrid
        ``grid.shape == (rows, cols)``.
    pixel_size_nm : float or None
        Of the image.
    plane : tuple of int
        Which plane of a stack, ``()`` for a single image.
    record : mapping
        What it takes to repeat the run.
    agreement : float32, shape (rows, cols), or None
        Share of the model's stage heads that agree, 0 to 1, NaN in cells left out: low where it may
        not hold. It is not kept in files.
    outlines : ClassMap or None
        A finer map with the classes' outlines, where they were drawn, see `core.outlines`; they
        have a file of their own.
    """

    probabilities: NDArray[np.float32]
    grid: TileGrid
    classes: tuple[ClassInfo, ...]
    pixel_size_nm: float | None = None
    image_name: str = ""
    plane: tuple[int, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    agreement: NDArray[np.float32] | None = None
    outlines: ClassMap | None = None

    def __post_init__(self) -> None:
        expected = (*self.grid.shape, len(self.classes))
        if self.probabilities.shape != expected:
            raise ValueError(f"probabilities are {self.probabilities.shape}, not {expected}")

    @property
    def left_out(self) -> NDArray[np.bool_]:
        """True in cells without a class, shape (rows, cols)."""
        return np.isnan(self.probabilities[..., 0])

    @property
    def of_pixels(self) -> bool:
        """Whether its cells are pixels of the image, as those of outlines are."""
        return self.grid.stride == 1

    @property
    def confidence_known(self) -> bool:
        """False for a map of which only the classes are left: its probabilities are 0 and 1."""
        return self.record.get("confidence_known") is not False

    def labels(self) -> NDArray[np.uint16]:
        """Class numbers, shape (rows, cols): 0 left out, 1 the first class and so on."""
        labels: NDArray[np.uint16]
        labels = self.probabilities.argmax(axis=-1).astype(np.uint16) + np.uint16(1)
        labels[self.left_out] = 0
        return labels

    def confidence(self) -> NDArray[np.float32]:
        """Probability of the cell's class, shape (rows, cols), NaN where left out."""
        return np.asarray(self.probabilities.max(axis=-1))

    def entropy(self) -> NDArray[np.float32]:
        """Shannon entropy over the classes in bits, shape (rows, cols), NaN where left out."""
        p = self.probabilities.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p > 0, -p * np.log2(p), 0.0)
        bits = np.where(self.left_out, np.nan, terms.sum(axis=-1))
        return bits.astype(np.float32)

    def fractions(self) -> list[ClassFraction]:
        """Cells, area and area fraction of each class, in the classes' order.

        Cells count with the pixels they really hold, so narrower cells at the border weigh less.
        """
        areas = self.grid.cell_areas()
        labels = self.labels()
        total = int(areas[labels > 0].sum())
        size = self.pixel_size_nm
        rows = []
        for number, info in enumerate(self.classes, start=1):
            mine = labels == number
            area = int(areas[mine].sum())
            share = area / total if total else float("nan")
            measured = size if info.contains is None else None
            um2 = None if measured is None else area * (measured / 1000.0) ** 2
            cells = int(mine.sum())
            rows.append(
                ClassFraction(info.name, info.colour, cells, area, share, um2, info.contains)
            )
        return rows


def tiles_to_cells(grid: TileGrid, probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """Average tiles into cells: each cell is the Hann-weighted mean of the tiles that cover it.

    Parameters
    ----------
    probabilities : float, shape (tile rows, tile cols, classes)
        NaN for tiles left out or not done yet.

    Returns
    -------
    float32, shape (rows, cols, classes)
        NaN where no tile speaks for a cell.
    """
    by_row, by_col = grid.cell_weights()
    known = ~np.isnan(probabilities[..., 0])
    weight = by_row @ known.astype(np.float64) @ by_col.T
    n_classes = probabilities.shape[-1]
    cells = np.full((*grid.shape, n_classes), np.nan, dtype=np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        for index in range(n_classes):
            plane = np.where(known, probabilities[..., index], 0.0).astype(np.float64)
            cells[..., index] = np.where(weight > 0, (by_row @ plane @ by_col.T) / weight, np.nan)
    return cells


def map_sha256(class_map: ClassMap) -> str:
    """SHA-256 of a map's class numbers, grid and class names; confidences do not count."""
    grid = class_map.grid
    digest = hashlib.sha256()
    digest.update(repr((grid.area.as_list(), grid.tile, grid.stride)).encode())
    digest.update(repr([info.name for info in class_map.classes]).encode())
    digest.update(np.ascontiguousarray(class_map.labels(), dtype="<u2").tobytes())
    return digest.hexdigest()
