"""The layers of one run: the map that fills, what it replaces, what is left when it stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap
from napari_sem_classify.plugin.layers import made_layers
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, noted_level

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer


@dataclass(frozen=True, slots=True)
class MapInView:
    """A class map under way or finished, with what its display needs worked out."""

    class_map: ClassMap
    labels: NDArray[np.uint16]
    shares: list[ClassFraction]

    @classmethod
    def of(cls, class_map: ClassMap) -> MapInView:
        """Work out labels and fractions."""
        return cls(class_map, class_map.labels(), class_map.fractions())


class RunLayers:
    """Shows a run on one image; until it is finished, earlier maps are only hidden."""

    def __init__(
        self, viewer: ViewerModel, image_layer: Image, leading_shape: tuple[int, ...]
    ) -> None:
        self._viewer = viewer
        self.image_layer = image_layer
        self._leading = leading_shape
        self._level = noted_level(image_layer)
        self._map: Labels | None = None
        self._hidden: list[Layer] = []

    @property
    def image_is_there(self) -> bool:
        """Whether the image layer is still in the viewer."""
        return self.image_layer in self._viewer.layers

    def needs(self, layer: Layer) -> bool:
        """Whether the run makes no sense without this layer."""
        return layer is self.image_layer or (self._map is not None and layer is self._map)

    def show(self, shown: MapInView) -> None:
        """Show the map as far as it is."""
        if not self.image_is_there:
            return
        if self._map is not None:
            made_layers.update_class_map(self._viewer, self._map, shown.class_map, shown.labels)
            return
        for old in made_layers.made_from(self._viewer, self.image_layer, made_layers.CLASSES):
            if old.visible:
                old.visible = False
                self._hidden.append(old)
        self._map = made_layers.add_class_map(
            self._viewer,
            shown.class_map,
            self.image_layer,
            leading_shape=self._leading,
            level=self._level,
        )

    def finish(self, finished: Mapping[tuple[int, ...], MapInView]) -> None:
        """Show the finished maps with their confidence, in place of earlier ones of the model.

        Maps of other models stay, hidden.
        """
        for each in finished.values():
            self.show(each)
        fresh = self._map
        if fresh is None:
            return
        model = _model_name(fresh)
        for old in made_layers.made_from(self._viewer, self.image_layer, made_layers.CLASSES):
            if old is not fresh and _model_name(old) == model:
                made_layers.remove_layer(self._viewer, old)
        for kind in (made_layers.CONFIDENCE, made_layers.UNLIKE):
            for old in made_layers.made_from(self._viewer, self.image_layer, kind):
                made_layers.remove_layer(self._viewer, old)
        fresh.name = made_layers.layer_name(self.image_layer.name, made_layers.CLASSES)
        maps = {plane: each.class_map for plane, each in finished.items()}
        for add in (made_layers.add_unlike, made_layers.add_confidence):
            add(
                self._viewer, maps, self.image_layer, leading_shape=self._leading, level=self._level
            )
        # The chequerboard would shine through the map and change its colours.
        for grid in made_layers.made_from(self._viewer, self.image_layer, made_layers.GRID):
            grid.visible = False
        self._viewer.layers.selection.active = fresh

    def discard(self) -> None:
        """Take away what the run made and show again what it hid."""
        made_layers.remove_layer(self._viewer, self._map)
        self._map = None
        for old in self._hidden:
            if old in self._viewer.layers:
                old.visible = True


def _model_name(layer: Layer) -> str | None:
    name = layer.metadata[METADATA_KEY]["model"].get("name")
    return None if name is None else str(name)
