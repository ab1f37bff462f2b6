"""Outlines as labels of the image's own pixels, over the image and beside its class map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, noted_level
from napari_sem_classify.plugin.layers.made_layers import (
    CLASS_OPACITY,
    CLASSES,
    add_made,
    class_colormap,
    class_features,
    grid_to_dict,
    made_from,
    map_metadata,
    placed_on,
    remove_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

OUTLINES = "outlines"
PAINTED_PX = 1 << 27
"""Larger images are drawn as they come into view, and cannot be painted."""
_CHUNK_PX = 1024
_COARSEST_PX = 2048
"""Huge ones have coarser levels down to this side, so that the whole can be seen at once."""
_BAND_PX = 1 << 20
"""Measured or made at a time, so that memory does not grow with the image."""


def show_outlines(
    viewer: ViewerModel, image_layer: Image, cells: ClassMap, hers: NDArray[Any] | None = None
) -> Labels:
    """Show outlines as `draw_outlines` gives them in place of earlier ones; the map is hidden.

    Pixels that the user painted before, where `hers` is not 0, stay as she painted them.
    The labels can be painted, with undo, as any labels of napari, and are measured as a map.
    """
    for old in made_from(viewer, image_layer, OUTLINES):
        remove_layer(viewer, old)
    level = noted_level(image_layer)
    area = cells.grid.area
    notes = map_metadata(cells, image_layer.name, level)[METADATA_KEY]
    # What lies in the layer is measured: painted pixels count as painted.
    pixels = grid_to_dict(TileGrid(area, cells.grid.tile, 1))
    notes |= {"kind": OUTLINES, "grid": pixels, "record": dict(cells.record)}
    layer: Labels = add_made(
        viewer,
        image_layer,
        OUTLINES,
        "labels",
        _pixels(cells, hers),
        notes=notes,
        colormap=class_colormap(cells.classes),
        opacity=CLASS_OPACITY,
        features=class_features(cells),
        **placed_on(image_layer, (1.0, 1.0), (float(area.top), float(area.left)), 2, level),
    )
    for each in made_from(viewer, image_layer, CLASSES):
        each.visible = False
    return layer


def painted_shares(labels: NDArray[Any], classes: int) -> list[float] | None:
    """Share of each class in outlines that were painted on, pixel by pixel; None where none is."""
    counts = np.zeros(classes + 1, np.int64)
    rows = max(1, _BAND_PX // max(1, labels.shape[1]))
    for top in range(0, len(labels), rows):
        found = np.bincount(labels[top : top + rows].ravel())[: classes + 1]
        counts[: len(found)] += found
    total = counts[1:].sum()
    return None if not total else [float(each / total) for each in counts[1:]]


def painted_by_hand(
    now: NDArray[Any], drawn: NDArray[Any], before: NDArray[Any] | None, classes: int
) -> NDArray[Any] | None:
    """Class numbers of the pixels that the user painted, 0 elsewhere; None where there are none.

    `drawn` are the labels as they were drawn, `before` what she had painted by then.
    """
    changed = (now != drawn) & (now <= classes)
    hers: NDArray[Any] = np.where(changed, now, 0 if before is None else before)
    return hers.astype(now.dtype) if hers.any() else None


def _pixels(cells: ClassMap, hers: NDArray[Any] | None) -> Any:
    """Class numbers of the specimen area: in memory, or of a huge image lazily in levels."""
    from napari_sem_classify.core.outlines.outline import outline_labels

    area = cells.grid.area
    if area.height * area.width <= PAINTED_PX:
        small = len(cells.classes) < 256
        labels = np.empty((area.height, area.width), np.uint8 if small else np.uint16)
        rows = max(1, _BAND_PX // area.width)
        for top in range(0, area.height, rows):
            bottom = min(top + rows, area.height)
            band = Area(area.top + top, area.top + bottom, area.left, area.right)
            labels[top:bottom] = outline_labels(cells, band)
            if hers is not None:
                part, mine = labels[top:bottom], hers[top:bottom]
                part[mine > 0] = mine[mine > 0]
        return labels
    levels = [1]
    while max(area.height, area.width) // levels[-1] > _COARSEST_PX:
        levels.append(2 * levels[-1])
    return [_lazily(cells, every) for every in levels]


def _lazily(cells: ClassMap, every: int) -> Any:
    """One row and column of `every` so many of the specimen area, made as they come into view."""
    import dask.array

    from napari_sem_classify.core.outlines.outline import outline_labels

    area = cells.grid.area
    made: Any = dask.array.map_blocks

    def block(block_info: Any = None) -> Any:
        (top, bottom), (left, right) = (
            (every * first, every * last) for first, last in block_info[None]["array-location"]
        )
        window = Area(
            area.top + top,
            min(area.bottom, area.top + bottom),
            area.left + left,
            min(area.right, area.left + right),
        )
        return outline_labels(cells, window, every)

    chunks = tuple(
        (*[_CHUNK_PX] * (side // _CHUNK_PX), *([side % _CHUNK_PX] if side % _CHUNK_PX else []))
        for side in (-(-area.height // every), -(-area.width // every))
    )
    return made(block, chunks=chunks, dtype="uint16")
