"""The class map while teaching: redrawn after each fit, and painted on to correct it.

A correction lies over what the model says: the map behind the layer keeps both apart, so that a
correction can be taken back and survives the next fit or run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sem_classify.core.annotate.annotation_set import ImageAnnotations
from napari_sem_classify.core.annotate.corrections import painted_tiles, with_corrections
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import class_dict
from napari_sem_classify.core.teach.learn import TAUGHT
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.app.turns import later
from napari_sem_classify.plugin.layers.annotation_layer import KeyAction, bind, unbind
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, noted_level, notes_of
from napari_sem_classify.plugin.layers.legend import legend_of
from napari_sem_classify.plugin.layers.made_layers import (
    CLASSES,
    CONFIDENCE,
    add_class_map,
    add_confidence,
    class_colormap,
    made_from,
    remove_layer,
    update_class_map,
)
from napari_sem_classify.plugin.layers.strokes import StrokeWatch

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer


class TaughtMaps:
    """The class maps of one image; of a stack the plane in view is drawn and corrected.

    Attributes
    ----------
    corrected : signal
        ``{place: (class name, colour) or None}``: painted on a map, None where taken back.
    problem : str
        Why a stroke on a map could not be taken, "" where it could.
    """

    corrected = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._image_layer: Image | None = None
        self._grid: TileGrid | None = None
        self._marks: ImageAnnotations | None = None
        self._plane: tuple[int, ...] = ()
        self._leading: tuple[int, ...] = ()
        self._keys: dict[str, KeyAction] = {}
        # What the model says, by plane; the session holds it with the corrections.
        self._base: WeakKeyDictionary[Any, dict[tuple[int, ...], ClassMap]] = WeakKeyDictionary()
        self._shown: WeakKeyDictionary[Any, dict[tuple[int, ...], NDArray[Any]]] = (
            WeakKeyDictionary()
        )
        self._watched: list[Labels] = []
        self._strokes: WeakKeyDictionary[Any, StrokeWatch] = WeakKeyDictionary()
        self._busy = False
        self._taking: Labels | None = None  # the map whose strokes are being taken up
        self.problem = ""
        session_of(viewer).map_to_be_drawn.connect(self._sync)

    def follow(
        self,
        image_layer: Image | None,
        grid: TileGrid | None,
        marks: ImageAnnotations | None,
        keys: dict[str, KeyAction],
        plane: tuple[int, ...] = (),
        leading_shape: tuple[int, ...] = (),
    ) -> None:
        """Follow the maps of an image and lay its corrections over them.

        Of a stack `grid` and `marks` are those of `plane`, along all leading axes.
        """
        self._plane, self._leading = plane, leading_shape
        self._image_layer, self._grid, self._marks, self._keys = image_layer, grid, marks, keys
        maps = []
        if image_layer is not None:
            level = noted_level(image_layer)
            made = made_from(self._viewer, image_layer, CLASSES)
            maps = [layer for layer in made if notes_of(layer).get("level", 0) == level]
        for layer in self._watched:
            if layer not in maps:
                self._let_go(layer)
        for layer in maps:
            if layer not in self._watched:
                self._strokes[layer] = StrokeWatch(layer, partial(self._sync, layer))
            bind(layer, keys, self._viewer)
            layer.brush_size = 1
        self._watched = maps
        for layer in maps:
            self._lay_corrections(layer)

    def stop_keys(self) -> None:
        """Give the keys back to napari."""
        for layer in self._watched:
            unbind(layer, list(self._keys))
        self._keys = {}

    def stop(self) -> None:
        """Follow no map any more."""
        for layer in self._watched:
            self._let_go(layer)
        self._watched = []
        self._image_layer = None

    def _let_go(self, layer: Labels) -> None:
        self._strokes.pop(layer).stop()
        unbind(layer, list(self._keys))

    @property
    def drawing(self) -> bool:
        """Whether a map is being shown from here."""
        return self._busy

    @property
    def own(self) -> Labels | None:
        """The map taught here, None where it is not there."""
        for layer in self._watched:
            if layer.metadata[METADATA_KEY]["model"].get("name") == TAUGHT:
                return layer if layer in self._viewer.layers else None
        return None

    def draw(self, class_map: ClassMap, *, alone: bool = False) -> None:
        """Show what the model says by now, with the corrections over it.

        With `alone` the maps of other planes go: they are of another state of the model.
        """
        self.sync()  # a stroke under way must not be drawn over
        image_layer, marks = self._image_layer, self._marks
        if image_layer is None or marks is None or image_layer not in self._viewer.layers:
            return
        shown = with_corrections(class_map, marks)
        layer = self.own
        self._busy = True
        try:
            shape = (*self._leading, *class_map.grid.shape)
            if layer is not None and layer.data.shape != shape:
                self._let_go(layer)
                remove_layer(self._viewer, layer)
                layer = None
            if layer is None:
                layer = self._new(image_layer, shown)
            if alone:
                self._forget_other_planes(layer, class_map.plane)
            self._base.setdefault(layer, {})[class_map.plane] = class_map
            self._put(layer, shown)
        finally:
            self._busy = False
        legend_of(self._viewer).update()
        later(partial(self._confidence, image_layer, layer, self._leading))

    def _new(self, image_layer: Image, shown: ClassMap) -> Labels:
        active = self._viewer.layers.selection.active
        for other in made_from(self._viewer, image_layer, CLASSES):
            other.visible = False
        layer = add_class_map(self._viewer, shown, image_layer, leading_shape=self._leading)
        self._lay_low(layer, image_layer, active)
        self.follow(image_layer, self._grid, self._marks, self._keys, self._plane, self._leading)
        return layer

    def _forget_other_planes(self, layer: Labels, plane: tuple[int, ...]) -> None:
        for other in _drop_others(session_of(self._viewer).maps.get(layer, {}), plane):
            layer.data[other] = 0
        _drop_others(self._base.get(layer, {}), plane)
        _drop_others(self._shown.get(layer, {}), plane)

    def _put(self, layer: Labels, shown: ClassMap) -> None:
        told = [class_dict(info) for info in shown.classes]
        if layer.metadata[METADATA_KEY]["classes"] != told:
            layer.colormap = class_colormap(shown.classes)
        update_class_map(self._viewer, layer, shown)
        self._note_shown(layer, shown.plane)
        session_of(self._viewer).maps_changed.emit(layer)

    def _note_shown(self, layer: Labels, plane: tuple[int, ...]) -> None:
        self._shown.setdefault(layer, {})[plane] = np.array(layer.data[plane])

    def _confidence(
        self, image_layer: Image, layer: Labels, leading_shape: tuple[int, ...]
    ) -> None:
        """Show how sure the model is on all planes; after the map, which is waited for."""
        layers = self._viewer.layers
        maps = session_of(self._viewer).maps.get(layer, {})
        if not maps or layer not in layers or image_layer not in layers:
            return
        first = next(iter(maps.values()))
        there = made_from(self._viewer, image_layer, CONFIDENCE)
        values = np.full((*leading_shape, *first.grid.shape), np.nan, dtype=np.float32)
        for plane, each in maps.items():
            values[plane] = each.confidence()
        if there and there[-1].data.shape == values.shape:
            there[-1].data = values
            there[-1].contrast_limits = (1.0 / len(first.classes), 1.0)
            return
        for old in there:
            remove_layer(self._viewer, old)
        active = layers.selection.active
        added = add_confidence(self._viewer, maps, image_layer, leading_shape=leading_shape)
        self._lay_low(added, image_layer, active)

    def _lay_low(self, layer: Layer, image_layer: Image, active: Layer | None) -> None:
        """Lay a new layer below the annotations, so that both can be seen, and go on as before."""
        layers = self._viewer.layers
        layers.move(layers.index(layer), layers.index(image_layer) + 1)
        if active is not None and active in layers:
            layers.selection.active = active

    # ------------------------------------------------------------------ corrections

    def _lay_corrections(self, layer: Labels) -> None:
        current = session_of(self._viewer).maps.get(layer, {}).get(self._plane)
        if self._marks is None or current is None or self._busy or layer is self._taking:
            return
        bases = self._base.setdefault(layer, {})
        before = self._shown.get(layer, {}).get(self._plane)
        if before is None or not (
            self._plane in bases and np.array_equal(current.labels(), before)
        ):
            bases[self._plane] = current  # where another run wrote this map, its word counts
        elif not np.array_equal(layer.data[current.plane], before):
            return  # a stroke that `_sync` is about to take up must not be painted over
        shown = with_corrections(bases[self._plane], self._marks)
        self._note_shown(layer, self._plane)
        if not np.array_equal(shown.labels(), self._shown[layer][self._plane]):
            self._put_back(layer, shown)

    def sync(self) -> None:
        """Take up the strokes of the plane in view, before another one comes."""
        for layer in list(self._watched):
            self._sync(layer)

    def _sync(self, layer: Labels) -> None:
        if layer not in self._watched:
            return
        plane, grid = self._plane, self._grid
        shown = self._shown.get(layer, {}).get(plane)
        base = self._base.get(layer, {}).get(plane)
        current = session_of(self._viewer).maps.get(layer, {}).get(plane)
        if self._busy or shown is None or base is None or grid is None or current is None:
            return
        data = np.asarray(layer.data[plane])
        if data.shape != shown.shape or np.array_equal(data, shown):
            return
        if np.array_equal(data, current.labels()):
            self._lay_corrections(layer)  # drawn by another run, not painted
            return
        self.problem = ""
        if base.grid.tile != grid.tile:
            self.problem = (
                f"The map has tiles of {base.grid.tile} px and Teach has {grid.tile} px: "
                "set the same tile size to correct it."
            )
            self.corrected.emit({})
            self._put_back(layer, current)
            return
        tiles = painted_tiles(base, data, data != shown, grid)
        self._note_shown(layer, plane)
        self._taking = layer
        try:
            self.corrected.emit(tiles)
        finally:
            self._taking = None
        self._put_back(layer, with_corrections(base, self._marks) if self._marks else base)

    def _put_back(self, layer: Labels, shown: ClassMap) -> None:
        self._busy = True
        try:
            self._put(layer, shown)
        finally:
            self._busy = False


def _drop_others(held: dict[tuple[int, ...], Any], plane: tuple[int, ...]) -> list[Any]:
    others = [each for each in held if each != plane]
    for other in others:
        del held[other]
    return others
