"""A class map as polygons, in the GeoJSON that QuPath reads.

QuPath (File > Import objects from file) takes a GeoJSON FeatureCollection whose features have the
properties ``objectType`` and ``classification`` with ``name`` and ``color`` ([red, green, blue]);
coordinates are [x, y] in pixels with (0, 0) the upper left corner of the first pixel
(https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html). There is no
length in the file: QuPath takes the pixel size from the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.files import atomic_path
from napari_sem_classify.core.common.plain_text import ascii_where_needed
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.regions import Region, find_regions, label_regions


def write_geojson(class_map: ClassMap, path: Path) -> None:
    """Write one polygon per connected region, holes included.

    Cells that touch at a corner only are two regions, so that each polygon is simple. Cells left
    out are in none. Coordinates are those of the image file, info bar included.

    Parameters
    ----------
    class_map : ClassMap
    path : Path
        Usually ``STEM.regions.geojson``.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    import json

    with atomic_path(path) as temporary:
        text = ascii_where_needed(json.dumps(to_geojson(class_map), ensure_ascii=False))
        temporary.write_text(text, encoding="utf-8")


def to_geojson(class_map: ClassMap) -> dict[str, Any]:
    """The FeatureCollection as plain values, see `write_geojson`."""
    from scipy.ndimage import find_objects

    numbers = label_regions(class_map)
    boxes = [box for box in find_objects(numbers) if box is not None]
    grid = class_map.grid
    # Corners of cells in pixels; the last row and column of cells may be narrower.
    heights, widths = grid.cell_sizes()
    y = grid.area.top + np.concatenate([[0], np.cumsum(heights)])
    x = grid.area.left + np.concatenate([[0], np.cumsum(widths)])
    colours = {info.name: info.rgb for info in class_map.classes}
    features = []
    for region, (rows, cols) in zip(find_regions(class_map), boxes, strict=True):
        mask = numbers[rows, cols] == region.number
        rings: list[Any] = [
            [[int(x[cols.start + c]), int(y[rows.start + r])] for r, c in ring]
            for ring in outline(mask)
        ]
        if grid.stride == 1:  # outlines, whose cells are pixels
            rings = [smoothed(ring) for ring in rings]
        features.append(_feature(region, rings, colours[region.class_name]))
    return {"type": "FeatureCollection", "features": features}


def outline(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Closed rings of corners around the True cells of a 4-connected mask.

    Parameters
    ----------
    mask : bool, shape (rows, cols)

    Returns
    -------
    list of list of (row, col)
        Corner (0, 0) is the upper left one of cell (0, 0). The first ring is the outer one, the
        others are holes; they turn as RFC 7946, section 3.1.6, asks for, with x = column and
        y = row. Corners on a straight line are left out, the first one comes again at the end.
    """
    padded = np.pad(mask, 1)
    # Edges go with the mask on their left-hand side as seen on the screen (y down).
    above, below = padded[:-1, 1:-1], padded[1:, 1:-1]
    left, right = padded[1:-1, :-1], padded[1:-1, 1:]
    sides = (
        (above & ~below, (0, 0), (0, 1)),  # lower side, to the right
        (~above & below, (0, 1), (0, 0)),  # upper side, to the left
        (left & ~right, (1, 0), (0, 0)),  # right side, upwards
        (~left & right, (0, 0), (1, 0)),  # left side, downwards
    )
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for side, (r0, c0), (r1, c1) in sides:
        for r, c in np.argwhere(side).tolist():
            following.setdefault((r + r0, c + c0), []).append((r + r1, c + c1))

    rings = []
    while following:
        start = min(following)  # the first one in reading order lies on the outer ring
        ring, here = [start], start
        before = (0, 0)
        while True:
            ends = following[here]
            end = ends[0] if len(ends) == 1 else _apart(here, before, ends)
            ends.remove(end)
            if not ends:
                del following[here]
            before, here = here, end
            if here == start:
                break
            ring.append(here)
        rings.append(_corners(ring)[::-1])
    return rings


def smoothed(ring: list[list[int]]) -> list[list[float]]:
    """A closed ring along the sides of pixels with its corners cut half a pixel away.

    Stairs become straight lines. No ring comes to touch itself or another one.
    """
    cut: list[list[float]] = []
    corners = ring[:-1]
    for index, (x, y) in enumerate(corners):
        for x1, y1 in (corners[index - 1], corners[(index + 1) % len(corners)]):
            length = abs(x1 - x) + abs(y1 - y)
            point = [x + 0.5 * (x1 - x) / length, y + 0.5 * (y1 - y) / length]
            if not cut or cut[-1] != point:
                cut.append(point)
    if cut[0] == cut[-1]:
        cut.pop()
    turns = zip(cut[-1:] + cut[:-1], cut, cut[1:] + cut[:1], strict=True)
    straight = [point for before, point, after in turns if not _on_line(before, point, after)]
    return [*straight, straight[0]]


def _on_line(before: list[float], point: list[float], after: list[float]) -> bool:
    (x0, y0), (x, y), (x1, y1) = before, point, after
    return (x - x0) * (y1 - y) == (y - y0) * (x1 - x)


def _apart(
    here: tuple[int, int], before: tuple[int, int], ends: list[tuple[int, int]]
) -> tuple[int, int]:
    """Where two cells of the mask meet at a corner: cross over to the other cell.

    A hole that touches the outside or another hole there becomes a ring of its own, and no ring
    touches itself, which GeoJSON readers call invalid.
    """
    dr, dc = here[0] - before[0], here[1] - before[1]
    # The mask is on the left-hand side on the screen; a right turn in (row, col) is (dc, -dr).
    right = (here[0] + dc, here[1] - dr)
    return right if right in ends else ends[0]


def _corners(ring: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop corners between two steps of one direction, and close the ring."""
    kept = []
    for index, (r, c) in enumerate(ring):
        (r0, c0), (r1, c1) = ring[index - 1], ring[(index + 1) % len(ring)]
        if (r - r0, c - c0) != (r1 - r, c1 - c):
            kept.append((r, c))
    return [*kept, kept[0]]


def _feature(
    region: Region, rings: Sequence[Sequence[Sequence[float]]], colour: list[int]
) -> dict[str, Any]:
    measurements: dict[str, float] = {"Cells": region.cells}
    if region.is_area:
        measurements["Area px^2"] = region.area_px
    if region.area_um2 is not None:
        measurements["Area µm^2"] = region.area_um2
    if region.mean_confidence is not None:
        measurements["Mean confidence"] = round(region.mean_confidence, 5)
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {
            "objectType": "annotation",
            "name": f"{region.title} {region.number}",
            "classification": {"name": region.class_name, "color": colour},
            "isLocked": False,
            "measurements": measurements,
        },
    }
