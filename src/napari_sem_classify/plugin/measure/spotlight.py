"""One cell at a time: the camera on it, its outline, and nothing in view that tells the answer.

Of outlines, whose cells are pixels, a cross stands around the point.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.plugin.app.camera import AROUND, look_at
from napari_sem_classify.plugin.files.map_reader import PICTURE
from napari_sem_classify.plugin.layers.annotation_layer import KeyAction, bind
from napari_sem_classify.plugin.layers.difference_layer import DIFFERENCE
from napari_sem_classify.plugin.layers.in_turns import remove_soon, show_soon
from napari_sem_classify.plugin.layers.in_view import REVIEWED
from napari_sem_classify.plugin.layers.made_layers import (
    CLASSES,
    CONFIDENCE,
    GRID,
    add_made,
    is_picture,
    kind_of,
    layer_name,
    placed_on,
    remove_layer,
)
from napari_sem_classify.plugin.layers.outline_layer import OUTLINES
from napari_sem_classify.plugin.measure.fields import Field, image_layer_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

TELLING = (CLASSES, CONFIDENCE, DIFFERENCE, GRID, OUTLINES)
LINE, EDGE = 0.05, 0.11
"""Widths of the white line and of the black one under it, in cells; both lie around the cell."""
CELLS_A_TILE = 8.0
"""What stands for cells where cells are pixels, when lines are drawn and the camera is placed."""
FREE, REACH = 0.25, 1.5
"""Where the arms of a cross begin and end, in such cells from the point."""
AROUND_POINT = 20.0
"""How many such cells fit across the view: two tiles and a half."""


class Spotlight:
    """Shows a cell of a map by an outline layer, to which the keys are bound.

    `on_gone` is told when somebody else removed the outline, or the image under it.
    """

    def __init__(self, viewer: ViewerModel, on_gone: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_gone = on_gone
        self._before: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()
        self._view: tuple[Any, float] | None = None
        self._active_before: weakref.ref[Layer] | None = None
        self._on_map: Layer | None = None
        self._shown: tuple[Field, bool] | None = None
        self._image: Layer | None = None
        self.outline: Shapes | None = None
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.events.inserted.connect(self._on_inserted)

    @property
    def on(self) -> bool:
        """Whether a cell is shown."""
        return self._shown is not None

    def show(
        self, field: Field, row: int, col: int, keys: dict[str, KeyAction], *, blind: bool
    ) -> None:
        """Go to a cell; `blind` hides all that the model made."""
        if self._shown is None:
            camera: Any = getattr(self._viewer, "scene", self._viewer).camera
            self._view = (tuple(camera.center), float(camera.zoom))
            active = self._viewer.layers.selection.active
            self._active_before = None if active is None else weakref.ref(active)
        self._shown = (field, blind)
        self._image = image_layer_of(self._viewer, field.layer)
        self._cover()
        point = field.class_map.of_pixels
        box = cell_box(field, row, col)
        self._mark(field, cross_at(field, row, col) if point else [_around(box)], keys)
        go_to_plane(self._viewer, field)
        if self.outline is not None:
            half = pen(field) / 2
            corners = (box.mean(axis=0) - half, box.mean(axis=0) + half)
            low, high = corners if point else (box[0], box[2])
            look_at(self._viewer, self.outline, low, high, AROUND_POINT if point else AROUND)

    def off(self, *, finished: bool = False) -> None:
        """Show again what was shown before.

        After the last cell no layer is active: on a map the next number key, typed too many, would
        be napari's, which erases.
        """
        if self._shown is None:
            return
        self._shown = self._image = None
        outline, self.outline, self._on_map = self.outline, None, None
        remove_soon(self._viewer, outline)
        show_again(self._viewer, self._before)
        if self._view is not None:
            camera: Any = getattr(self._viewer, "scene", self._viewer).camera
            camera.center, camera.zoom = self._view
        active = None if self._active_before is None else self._active_before()
        if finished:
            self._viewer.layers.selection.active = None
            self._viewer.layers.selection.clear()
        elif active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def activate(self) -> None:
        """Let the keys act again after another layer was chosen."""
        if self.outline is not None and self.outline in self._viewer.layers:
            self._viewer.layers.selection.active = self.outline

    def stop(self) -> None:
        """Follow the viewer no more."""
        self.off()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)

    # ------------------------------------------------------------------ what is in view

    def _cover(self) -> None:
        """Only the cell's image is in view, and its map where that may be seen."""
        if self._shown is not None:
            field, blind = self._shown
            show_only(self._viewer, field, self._before, blind=blind)

    def _mark(
        self, field: Field, lines: list[NDArray[np.float64]], keys: dict[str, KeyAction]
    ) -> None:
        if self.outline is not None and self._on_map is field.layer:
            self.outline.data = [*lines, *lines]  # their look stays
        else:
            outline, self.outline = self.outline, None
            remove_layer(self._viewer, outline)
            self._on_map = field.layer
            unit = "point" if field.class_map.of_pixels else "cell"
            name = layer_name(field.class_map.image_name, f"{unit} to review")
            shape = "path" if field.class_map.of_pixels else "polygon"
            self.outline = add_outline(
                self._viewer,
                field,
                REVIEWED,
                lines,
                (EDGE, LINE),
                name=name,
                shape_type=shape,
                visible=False,
            )
            show_soon(self._viewer, self.outline)
            bind(self.outline, keys, self._viewer)
        if self._viewer.layers.selection.active is not self.outline:
            self.activate()

    def _on_removed(self, event: Any) -> None:
        if self.outline is not None and event.value is self.outline:
            self.outline = self._on_map = None
            self._on_gone()
        elif self._shown is not None and event.value is self._image:
            self._on_gone()

    def _on_inserted(self, event: Any) -> None:
        if self._shown is not None and event.value is not self.outline:
            # A map that is made meanwhile is placed and named only after it was added.
            from qtpy.QtCore import QTimer

            QTimer.singleShot(0, self._cover)


def add_outline(
    viewer: ViewerModel,
    field: Field,
    kind: str,
    rings: list[NDArray[np.float64]],
    widths: tuple[float, float],
    **look: Any,
) -> Any:
    """Outlines on a map, in its layer's pixels: a black line under a white one is seen on any grey.

    `widths` are those of the black line and of the white one, in cells.
    """
    return add_made(
        viewer,
        image_layer_of(viewer, field.layer),
        kind,
        "shapes",
        [*rings, *rings],
        notes={"image": field.class_map.image_name},
        edge_color=["black"] * len(rings) + ["white"] * len(rings),
        face_color="transparent",
        edge_width=[pen(field) * width for width in widths for _ in rings],
        opacity=1.0,
        **{"shape_type": "polygon"} | placed_on(field.layer, (1.0, 1.0), (0.0, 0.0), 2) | look,
    )


def show_only(
    viewer: ViewerModel, field: Field, before: WeakKeyDictionary[Layer, bool], *, blind: bool
) -> None:
    """Hide what is not of a field, and its map too where `blind`; note in `before` what was."""
    image = image_layer_of(viewer, field.layer)
    for layer in viewer.layers:
        if layer is image:
            wanted = True
        elif is_picture(layer) or kind_of(layer) == PICTURE:
            wanted = False  # images of several fields lie on top of each other
        elif kind_of(layer) in TELLING:
            wanted = layer is field.layer and not blind
        else:
            continue
        if layer.visible != wanted:
            before.setdefault(layer, bool(layer.visible))
            layer.visible = wanted


def show_again(viewer: ViewerModel, before: WeakKeyDictionary[Layer, bool]) -> None:
    """Have back what `show_only` changed."""
    for layer, visible in list(before.items()):
        if layer in viewer.layers and layer.visible != visible:
            layer.visible = visible
    before.clear()


def cell_box(field: Field, row: int, col: int) -> NDArray[np.float64]:
    """Corners of a cell in the map layer's pixels; cells at the border are smaller."""
    grid = field.class_map.grid
    heights, widths = grid.cell_sizes()
    top, left = row - 0.5, col - 0.5
    bottom, right = top + heights[row] / grid.stride, left + widths[col] / grid.stride
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]], dtype=float)


def pen(field: Field) -> float:
    """What lines are measured by, in the layer's pixels: a cell, or of pixels part of a tile."""
    grid = field.class_map.grid
    return max(1.0, grid.tile / CELLS_A_TILE) if field.class_map.of_pixels else 1.0


def cross_at(field: Field, row: int, col: int) -> list[NDArray[np.float64]]:
    """Four lines in the layer's pixels that point at the middle of a pixel and leave it free."""
    ends = pen(field) * np.array([FREE, REACH])
    return [
        np.array([[row + down * end, col + right * end] for end in ends])
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]


def _around(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of a line that lies around a cell."""
    return np.asarray(box + EDGE / 2 * np.sign(box - box.mean(axis=0)))


def go_to_plane(viewer: ViewerModel, field: Field) -> None:
    """Show the plane of a stack that a field is."""
    plane = field.class_map.plane
    if not plane:
        return
    layer = field.layer
    world = layer.data_to_world((*plane, 0, 0))
    first = viewer.dims.ndim - layer.ndim
    for axis, place in enumerate(world[: len(plane)]):
        viewer.dims.set_point(first + axis, float(place))
