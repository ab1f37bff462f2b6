"""Layers that show where tiles lie: a chequerboard with a pixel a tile, and the area's outline.

A hundred thousand rectangles would bring any canvas to its knees; a hundred thousand label pixels
are one small texture. Each pixel stands for a tile and lies around the tile's centre.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_rules import tile_centres, tiles_inside
from napari_sem_classify.plugin.app.session import unwrapped
from napari_sem_classify.plugin.layers import clicks
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, pixels_at, world_of
from napari_sem_classify.plugin.layers.made_layers import (
    AREA,
    GRID,
    add_made,
    grid_to_dict,
    made_from,
    placed_on,
    remove_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Shapes

KEPT, KEPT_TOO, BY_HAND, NO_DATA, FLAT, OUTSIDE = 1, 2, 3, 4, 5, 6
STATES = ("", "kept", "kept", "left out by hand", "no data", "flat", "outside the region")
_COLOURS: dict[int | None, Any] = {
    None: "transparent",
    0: "transparent",
    KEPT: (0.35, 0.75, 1.0, 0.30),
    KEPT_TOO: (0.35, 0.75, 1.0, 0.10),
    BY_HAND: (0.0, 0.0, 0.0, 0.75),
    NO_DATA: (0.0, 0.0, 0.0, 0.75),
    FLAT: (0.0, 0.0, 0.0, 0.75),
    OUTSIDE: (0.0, 0.0, 0.0, 0.75),
}


def chequerboard(grid: TileGrid) -> NDArray[np.uint8]:
    """All tiles kept, in two alternating shades, shape ``grid.tile_shape``."""
    rows, cols = grid.tile_shape
    states = np.add.outer(np.arange(rows), np.arange(cols)) % 2 + KEPT
    return states.astype(np.uint8)


def is_kept(states: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which tiles are kept, of a grid layer's data."""
    return np.asarray((states == KEPT) | (states == KEPT_TOO))


def show_grid(
    viewer: ViewerModel, image_layer: Image, grid: TileGrid, states: NDArray[np.uint8] | None = None
) -> Labels:
    """Show the tiles over their image, in the grid layer that is there or in a new one.

    `states`, shape ``grid.tile_shape``, has a number of `STATES` a tile; all are kept by default.
    """
    viewer, image_layer = unwrapped(viewer), unwrapped(image_layer)
    states = chequerboard(grid) if states is None else states
    noted = {"kind": GRID, "image": image_layer.name, "grid": grid_to_dict(grid)}
    place = _tile_place(image_layer, grid)
    layer = grid_layer_of(viewer, image_layer)
    if layer is not None and layer.data.shape == states.shape:
        layer.data = states
        for name in ("scale", "translate", "rotate", "shear", "affine"):
            setattr(layer, name, place[name])
        layer.metadata = {METADATA_KEY: noted}
        return layer
    from napari.utils.colormaps import DirectLabelColormap

    was_active = layer is not None and viewer.layers.selection.active is layer
    remove_layer(viewer, layer)
    fresh: Labels = add_made(
        viewer,
        image_layer,
        GRID,
        "labels",
        states,
        select=was_active,
        notes=noted,
        colormap=DirectLabelColormap(color_dict=_COLOURS),
        opacity=1.0,
        features={"index": list(range(len(STATES))), "tile": list(STATES)},
        **place,
    )
    return fresh


def grid_layer_of(viewer: ViewerModel, image_layer: Layer) -> Labels | None:
    """The grid layer of an image, None where there is none."""
    found = made_from(viewer, image_layer, GRID)
    return found[-1] if found else None


def area_layer_of(viewer: ViewerModel, image_layer: Layer) -> Shapes | None:
    """The area layer of an image, None where there is none."""
    found = made_from(viewer, image_layer, AREA)
    return found[-1] if found else None


def show_area(viewer: ViewerModel, image_layer: Image, area: Area) -> Shapes:
    """Show the area to tile as a rectangle that can be moved and resized, and select it."""
    return show_rectangle(viewer, image_layer, area, AREA, "#f0e442")


def show_rectangle(
    viewer: ViewerModel,
    image_layer: Image,
    area: Area,
    kind: str,
    colour: str,
    level: int | None = None,
) -> Shapes:
    """Show an area of an image as a rectangle that can be moved and resized, and select it.

    There is one layer of a `kind` per image. The area is in pixels of `level`, see `placed_on`.
    """
    viewer, image_layer = unwrapped(viewer), unwrapped(image_layer)
    found = made_from(viewer, image_layer, kind)
    corners = _corners(area)
    layer: Shapes
    if found:
        layer = found[-1]
        layer.data = [corners]
        layer.selected_data = {0}
        return layer
    layer = add_made(
        viewer,
        image_layer,
        kind,
        "shapes",
        [corners],
        shape_type="rectangle",
        edge_color=colour,
        face_color="transparent",
        edge_width=max(1.0, max(area.height, area.width) / 200.0),
        **placed_on(image_layer, (1.0, 1.0), (0.0, 0.0), 2, level),
    )
    layer.mode = "select"
    layer.selected_data = {0}
    return layer


def area_in(layer: Shapes, limits: Area) -> Area:
    """The rectangle of an area layer in whole image pixels, cut off at `limits`.

    GridError where there is no rectangle or it lies outside.
    """
    if layer.nshapes == 0:
        raise GridError("The area layer is empty: draw a rectangle, or use the whole image.")
    corners = np.asarray(layer.data[0])[:, -2:]
    low = np.rint(corners.min(axis=0) + 0.5).astype(int)
    high = np.rint(corners.max(axis=0) + 0.5).astype(int)
    top, left = max(low[0], limits.top), max(low[1], limits.left)
    bottom, right = min(high[0], limits.bottom), min(high[1], limits.right)
    if top >= bottom or left >= right:
        raise GridError("The area lies outside the specimen: move the rectangle onto it.")
    return Area(int(top), int(bottom), int(left), int(right))


def polygons_in(layer: Shapes, image_layer: Layer) -> list[NDArray[np.float64]]:
    """Closed shapes of any Shapes layer as polygons in image pixels (row, column)."""
    polygons = []
    for vertices, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        outline = _ellipse(vertices) if kind == "ellipse" else np.asarray(vertices)
        world = [np.asarray(layer.data_to_world(vertex)) for vertex in outline]
        polygons.append(pixels_at(image_layer, world))
    return polygons


def tiles_in(layer: Shapes | Labels, grid: TileGrid, image_layer: Layer) -> NDArray[np.bool_]:
    """Tiles whose centre lies in a closed shape or on a label, shape ``grid.tile_shape``.

    The layer may lie and be scaled otherwise than the image. Of a stack of labels the first plane
    counts.
    """
    if hasattr(layer, "shape_type"):
        return tiles_inside(grid, polygons_in(layer, image_layer))
    data = np.asarray(layer.data)
    data = data[(0,) * (data.ndim - 2)]
    # Both lie in one world by linear maps: three places tell the map from pixels to labels.
    start, down, right = (_place_on(layer, image_layer, each) for each in np.eye(3, 2, -1))
    rows, cols = tile_centres(grid)
    y, x = np.meshgrid(rows, cols, indexing="ij")
    spot = np.rint(start + y[..., None] * (down - start) + x[..., None] * (right - start))
    there = ((spot >= 0) & (spot < data.shape)).all(axis=-1)
    inside = np.zeros(grid.tile_shape, dtype=bool)
    inside[there] = data[tuple(spot[there].astype(int).T)] != 0
    return inside


def _place_on(layer: Layer, image_layer: Layer, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row and column on a layer of a place in pixels of the image, as it is read."""
    world = world_of(image_layer, pixel)[-layer.ndim :]
    full = np.pad(world, (layer.ndim - len(world), 0))
    return np.asarray(layer.world_to_data(full))[-2:]


def attach_click(layer: Labels, toggle: Callable[[int, int], None]) -> None:
    """Call `toggle(row, col)` when a tile of the grid layer is clicked (not when it is dragged).

    Takes the place of one attached before.
    """
    callbacks = layer.mouse_drag_callbacks
    for before in [
        each for each in callbacks if getattr(each, "__module__", "") == clicks.__name__
    ]:
        callbacks.remove(before)

    def clicked(position: Any) -> None:
        place = layer.world_to_data(position)[-2:]
        row, col = (round(float(value)) for value in place)
        rows, cols = layer.data.shape
        if 0 <= row < rows and 0 <= col < cols:
            toggle(row, col)

    callbacks.append(clicks.click_callback(clicked))


def _tile_place(image_layer: Layer, grid: TileGrid) -> dict[str, Any]:
    half_height = (min(grid.tile, grid.area.height) - 1) / 2.0
    half_width = (min(grid.tile, grid.area.width) - 1) / 2.0
    start = (grid.area.top + half_height, grid.area.left + half_width)
    return placed_on(image_layer, grid.scale, start, 2)


def _corners(area: Area) -> NDArray[np.float64]:
    top, left = area.top - 0.5, area.left - 0.5
    bottom, right = area.bottom - 0.5, area.right - 0.5
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def _ellipse(vertices: Any) -> NDArray[np.float64]:
    """Napari keeps an ellipse as the four corners of its box, which may be turned."""
    corners = np.asarray(vertices, dtype=float)
    centre = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2.0, (corners[3] - corners[0]) / 2.0
    angle = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)[:, None]
    around: NDArray[np.float64] = centre + np.cos(angle) * first + np.sin(angle) * second
    return around
