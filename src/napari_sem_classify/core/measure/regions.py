"""Connected regions of each class: how many, how large, what shape, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.csv_text import csv_text, number_text
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap


@dataclass(frozen=True, slots=True)
class Region:
    """Cells of one class that hang together.

    Attributes
    ----------
    number : int
        1 for the first; its number in the image of `label_regions`.
    class_name : str
    cells : int
    area_px : int
        Pixels of its cells; cells at the border hold fewer.
    area_um2 : float or None
        None without calibration, like the other lengths in µm, and of tiles that only contain the
        class.
    equivalent_diameter_px : float
        Of the circle of the same area.
    equivalent_diameter_um : float or None
    aspect_ratio : float
        Long by short axis of the ellipse with the same second moments, 1 for a circle or square.
    at_border : bool
        Touches the classified area's border or cells left out: its true size is not known.
    y, x : float
        Its centre in pixels of the image, where integers are pixel centres.
    box : Area
        Its pixels' bounding box in the image.
    mean_confidence : float or None
        None where the map tells its classes alone.
    """

    number: int
    class_name: str
    cells: int
    area_px: int
    area_um2: float | None
    equivalent_diameter_px: float
    equivalent_diameter_um: float | None
    aspect_ratio: float
    at_border: bool
    y: float
    x: float
    box: Area
    mean_confidence: float | None
    is_area: bool = True

    @property
    def title(self) -> str:
        """What it is made of: "oxide", or "tiles with crack"."""
        return self.class_name if self.is_area else f"tiles with {self.class_name}"


COLUMNS = (
    *("region", "class", "cells", "area_px", "area_um2"),
    *("equivalent_diameter_px", "equivalent_diameter_um", "aspect_ratio", "at_border"),
    *("y", "x", "top", "bottom", "left", "right", "mean_confidence"),
)


def label_regions(class_map: ClassMap, diagonal: bool = False) -> NDArray[np.int32]:
    """Number the connected regions, shape (rows, cols): 0 left out, then class by class.

    With `diagonal`, cells that touch at a corner only hang together too.
    """
    from skimage import measure

    label: Any = measure.label
    labels = class_map.labels()
    regions = np.zeros(labels.shape, np.int32)
    last = 0
    for number in range(1, len(class_map.classes) + 1):
        mine = label(labels == number, connectivity=2 if diagonal else 1)
        regions[mine > 0] = mine[mine > 0] + last
        last += int(mine.max())
    return regions


def find_regions(
    class_map: ClassMap, *, min_cells: int = 1, diagonal: bool = False
) -> list[Region]:
    """Measure the connected regions of each class, class by class in the order of their numbers.

    Regions of fewer than `min_cells` are not listed; the numbers of the others stay. `diagonal` is
    that of `label_regions`.
    """
    from skimage import measure

    regionprops: Any = measure.regionprops
    numbers = label_regions(class_map, diagonal)
    labels, confidence = class_map.labels(), class_map.confidence()
    areas, open_side = class_map.grid.cell_areas(), _open_side(labels)
    centre_y, centre_x = _centres(class_map)
    grid, told = class_map.grid, class_map.confidence_known
    found = []
    for props in regionprops(numbers):
        if props.area < min_cells:
            continue
        rows, cols = props.coords.T
        weight = areas[rows, cols].astype(np.float64)
        area = int(weight.sum())
        diameter = float(np.sqrt(4.0 * area / np.pi))
        info = class_map.classes[int(labels[rows[0], cols[0]]) - 1]
        size = class_map.pixel_size_nm if info.contains is None else None
        top, left, bottom, right = props.bbox
        first, last = grid.cell(top, left), grid.cell(bottom - 1, right - 1)
        found.append(
            Region(
                number=int(props.label),
                class_name=info.name,
                cells=len(rows),
                area_px=area,
                area_um2=None if size is None else area * (size / 1000.0) ** 2,
                equivalent_diameter_px=diameter,
                equivalent_diameter_um=None if size is None else diameter * size / 1000.0,
                aspect_ratio=_aspect_ratio(props.coords),
                at_border=bool(open_side[rows, cols].any()),
                y=float(weight @ centre_y[rows]) / area,
                x=float(weight @ centre_x[cols]) / area,
                box=Area(first.top, last.bottom, first.left, last.right),
                mean_confidence=float(weight @ confidence[rows, cols]) / area if told else None,
                is_area=info.contains is None,
            )
        )
    return found


def regions_csv(regions: Sequence[Region]) -> str:
    """The table as text, a row per region; what is not known (µm, confidence) is empty.

    So is the size of regions of tiles that only contain a class.
    """
    return csv_text(COLUMNS, map(_row, regions))


def _row(each: Region) -> list[Any]:
    return [
        *(each.number, each.title, each.cells, each.area_px if each.is_area else ""),
        number_text(each.area_um2),
        number_text(each.equivalent_diameter_px if each.is_area else None),
        number_text(each.equivalent_diameter_um),
        *(number_text(each.aspect_ratio), "yes" if each.at_border else "no"),
        *(f"{each.y:.2f}", f"{each.x:.2f}", *each.box.as_list()),
        "" if each.mean_confidence is None else f"{each.mean_confidence:.5f}",
    ]


def _aspect_ratio(cells: NDArray[np.int64]) -> float:
    """Long by short axis, from the cells' second moments with a square's own 1/12 added.

    That 1/12 (as in scikit-image's `inertia_tensor`) gives a single cell the aspect ratio 1 and a
    row of n cells n, instead of a division by zero.
    """
    spread = np.cov(cells.T, bias=True) + np.eye(2) / 12.0 if len(cells) > 1 else np.eye(2)
    short, long = np.linalg.eigvalsh(spread)
    return float(np.sqrt(long / short))


def _open_side(labels: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """True in cells at the border or beside a cell left out."""
    padded = np.pad(labels == 0, 1, constant_values=True)
    return np.asarray(padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:])


def _centres(class_map: ClassMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of the rows and columns of cells in image pixels."""
    grid = class_map.grid
    heights, widths = grid.cell_sizes()
    rows = grid.area.top + np.arange(len(heights)) * grid.stride + (heights - 1) / 2.0
    cols = grid.area.left + np.arange(len(widths)) * grid.stride + (widths - 1) / 2.0
    return rows, cols
