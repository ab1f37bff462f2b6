"""Going from tile to tile: suggestions, doubtful annotations, the tiles of a confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.annotate.place import TilePlace
from napari_sem_classify.plugin.app.camera import look_at
from napari_sem_classify.plugin.layers.in_turns import remove_soon, show_soon
from napari_sem_classify.plugin.layers.made_layers import (
    add_made,
    layer_name,
    made_from,
    placed_on,
    remove_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

HERE = "here"
COLOUR = "#ffffff"


class Tour:
    """A list of tiles of one image and where in it the user is; `what` they are is for the user."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._image_layer: Image | None = None
        self._places: list[TilePlace] = []
        self._at = 0
        self._shown: Any = None
        self.what = ""

    @property
    def active(self) -> bool:
        """Whether there is a tile to stand at."""
        return bool(self._places)

    @property
    def place(self) -> TilePlace | None:
        """The tile to look at."""
        return self._places[self._at] if self._places else None

    @property
    def text(self) -> str:
        """Where the user is: "tile 2 of 10"."""
        return f"{self.what}: tile {self._at + 1} of {len(self._places)}" if self._places else ""

    def start(self, image_layer: Image, places: Sequence[TilePlace], what: str) -> None:
        """Go to the first of some tiles."""
        self.stop()
        self._image_layer, self._places, self._at, self.what = image_layer, list(places), 0, what
        self._go()

    def forward(self) -> bool:
        """Go to the next tile; False, and the end of the tour, after the last one."""
        if self._at + 1 >= len(self._places):
            self.stop()
            return False
        self._at += 1
        self._go()
        return True

    def back(self) -> None:
        """Go to the tile before."""
        if self._places:
            self._at = max(0, self._at - 1)
            self._go()

    def stop(self) -> None:
        """End the tour and take its mark away."""
        self._places, self._at = [], 0
        remove_soon(self._viewer, self._shown)
        self._shown = None

    def forget(self, layer: object) -> None:
        """Hear that a layer was removed."""
        if layer is self._shown:
            self._shown, self._places = None, []
        elif layer is self._image_layer:
            self.stop()

    def _go(self) -> None:
        layer, place = self._image_layer, self.place
        if layer is None or place is None or layer not in self._viewer.layers:
            self._places = []
            return
        y, x, size = place
        low, high = np.array([y, x]) - 0.5, np.array([y, x]) + size - 0.5
        corners = np.array([low, [low[0], high[1]], high, [high[0], low[1]]])
        self._mark(layer, corners, size)
        look_at(self._viewer, self._shown, low, high)

    def _mark(self, image_layer: Image, corners: Any, size: int) -> None:
        if self._shown is not None and self._shown in self._viewer.layers:
            self._shown.data = [corners]
            return
        for old in made_from(self._viewer, image_layer, HERE):
            remove_layer(self._viewer, old)
        self._shown = add_made(
            self._viewer,
            image_layer,
            HERE,
            "shapes",
            [corners],
            select=False,
            shape_type="polygon",
            name=layer_name(image_layer.name, "tile to look at"),
            edge_color=COLOUR,
            face_color="transparent",
            edge_width=max(1.0, size / 16),
            visible=False,
            **placed_on(image_layer, (1.0, 1.0), (0.0, 0.0), 2),
        )
        show_soon(self._viewer, self._shown)
