"""The layer on which tiles are painted: one pixel a tile, the viewer's own brush.

Of a stack it has all planes, so that each is painted at its place of the viewer's slider.
What is painted is told as tiles and classes; what the annotations say is shown. Keys are bound to
the layer itself, so that napari's own stay wherever another layer is active.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sem_classify.core.annotate.place import TilePlace, place_of
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.layers import made_layers
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, notes_of
from napari_sem_classify.plugin.layers.strokes import StrokeWatch

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

ANNOTATIONS = "annotations"
OPACITY = 0.75
MAX_KEYS = 9

KeyAction = Callable[[], None]
Painted = dict[tuple[int, ...], dict[TilePlace, str | None]]


class AnnotationLayer:
    """Shows the annotated tiles of one image and tells what is painted.

    Attributes
    ----------
    painted : signal
        ``{plane: {place: class name, or None where erased}}``, once a stroke; the plane of a single
        image is ().
    """

    painted = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._grid: TileGrid | None = None
        self._shown: NDArray[Any] | None = None
        self._names: tuple[str, ...] = ()
        self._watch: StrokeWatch | None = None
        self._keys: list[str] = []
        self.layer: Labels | None = None
        self.hint = ""

    @property
    def alive(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(
        self,
        image_layer: Image,
        grid: TileGrid,
        labels: Mapping[tuple[int, ...], NDArray[np.int64]],
        classes: tuple[ClassInfo, ...],
        leading_shape: tuple[int, ...] = (),
    ) -> Labels:
        """Show annotated tiles, in the layer that is there or in a new one.

        Parameters
        ----------
        grid : TileGrid
            Without overlap.
        labels : {plane: int64, shape ``grid.tile_shape``}
            Class numbers from 0, -1 where there is none, of the planes with annotations.
        leading_shape : tuple of int
            Leading axes of a stack.
        """
        data = np.zeros(
            (*leading_shape, *grid.tile_shape), dtype=made_layers.label_dtype(len(classes))
        )
        for plane, mine in labels.items():
            data[plane] = mine + 1
        layer = self._layer_for(image_layer, grid, data)
        self._grid, self._shown = grid, data.copy()
        self._names = tuple(info.name for info in classes)
        if not np.array_equal(np.asarray(layer.data), data):
            layer.data[...] = data
            layer.refresh()
        ours = {
            "kind": ANNOTATIONS,
            "image": image_layer.name,
            "classes": [{"name": info.name, "colour": info.colour} for info in classes],
            "grid": made_layers.grid_to_dict(grid),
        }
        if layer.metadata.get(METADATA_KEY) != ours:
            layer.metadata = {**layer.metadata, METADATA_KEY: ours}
            layer.colormap = made_layers.class_colormap(classes)
            layer.features = {
                "index": list(range(len(classes) + 1)),
                "class": ["", *(info.name for info in classes)],
            }
        if not 1 <= layer.selected_label <= max(1, len(classes)):
            layer.selected_label = 1
        return layer

    def choose(self, number: int) -> None:
        """Paint tiles of a class (from 0) from here on."""
        if self.alive and self.layer is not None:
            self.layer.selected_label = number + 1
            self.layer.mode = "paint"
            self.layer.brush_size = 1
            self._viewer.layers.selection.active = self.layer

    def let_go(self) -> None:
        """Take up the last stroke and follow the layer no more; it stays as it is."""
        painted = self._take_up()
        if self._watch is not None:
            self._watch.stop()
        if self.layer is not None:
            unbind(self.layer, self._keys)
        self._keys = []
        self.layer = self._grid = self._shown = self._watch = None
        if painted:
            self.painted.emit(painted)

    def bind(self, actions: dict[str, KeyAction]) -> None:
        """Let keys act while the layer is active, in place of those bound before."""
        if self.layer is not None:
            for key in set(self._keys) - set(actions):
                self.layer.bind_key(key, None)
            self._keys = list(actions)
            bind(self.layer, actions, self._viewer)

    def _layer_for(self, image_layer: Image, grid: TileGrid, data: NDArray[Any]) -> Labels:
        there = made_layers.made_from(self._viewer, image_layer, ANNOTATIONS)
        old: Any = there[-1] if there else None
        place = made_layers.cells_on(image_layer, grid, data.ndim)
        fits = (
            old is not None
            and (old.data.dtype, old.data.shape) == (data.dtype, data.shape)
            and notes_of(old).get("grid") == made_layers.grid_to_dict(grid)
        )
        if fits and old is self.layer and grid == self._grid:
            return old
        self.let_go()
        if fits:  # another image was in view meanwhile
            layer: Labels = old
            made_layers.put_in_place(layer, place)
        else:
            was_active = old is not None and self._viewer.layers.selection.active is old
            made_layers.remove_layer(self._viewer, old)
            layer = made_layers.add_made(
                self._viewer,
                image_layer,
                ANNOTATIONS,
                "labels",
                data,
                select=was_active,
                opacity=OPACITY,
                **place,
            )
        layer.brush_size = 1
        self.layer = layer
        self._watch = StrokeWatch(layer, self.sync)
        return layer

    def sync(self) -> None:
        """Tell what was painted since the last look."""
        painted = self._take_up()
        if painted is not None:
            self.painted.emit(painted)

    def _take_up(self) -> Painted | None:
        """What was painted since the last look; None where the layer is as it was."""
        layer, shown, grid = self.layer, self._shown, self._grid
        if layer is None or shown is None or grid is None:
            return None
        data = np.asarray(layer.data)
        if data.shape != shown.shape or np.array_equal(data, shown):
            return None
        painted: Painted = {}
        for at in np.argwhere(data != shown).tolist():
            number = int(data[tuple(at)])
            if number > len(self._names):
                self.hint = f"There is no class {number}: add it first."
                continue
            mine = painted.setdefault(tuple(at[:-2]), {})
            mine[place_of(grid, at[-2], at[-1])] = self._names[number - 1] if number else None
        self._shown = data.copy()
        return painted


def bind(layer: Any, actions: dict[str, KeyAction], viewer: ViewerModel | None = None) -> None:
    """Bind keys to one layer, and say so where napari tells the layer's keys.

    The actions hold no reference to the layer.
    """
    _tell_keys(layer, actions, viewer)
    for key, action in actions.items():

        def act(_layer: Any, action: KeyAction = action) -> None:
            action()

        layer.bind_key(key, act, overwrite=True)


def unbind(layer: Any, keys: list[str]) -> None:
    """Give keys back to napari, and the line that tells of them."""
    for key in keys:
        layer.bind_key(key, None)
    tell = _told.pop(layer, None)
    if tell is not None:
        layer.events.mode.disconnect(tell)
        layer.events.mode(mode=layer.mode)  # napari tells its own keys again


WORDS = {
    "Space": "<space> for the next",
    "Backspace": "<backspace> for the one before",
    "U": "<u> for unsure",
}
_told: WeakKeyDictionary[Any, Callable[..., None]] = WeakKeyDictionary()


def key_help(keys: Iterable[str]) -> str:
    """What keys do, as napari's status line tells it: "use <1> to <9> for a class, …"."""
    keys = list(keys)
    numbers = [key for key in keys if key.isdigit()]
    words = [f"<{numbers[0]}> to <{numbers[-1]}> for a class"] if numbers else []
    words += [text for key, text in WORDS.items() if key in keys]
    return f"use {', '.join(words)}" if words else ""


def _tell_keys(layer: Any, actions: dict[str, KeyAction], viewer: ViewerModel | None) -> None:
    """Napari tells the keys of a layer's modes, also those that mean something else here."""
    said, seen = key_help(actions), None if viewer is None else weakref.ref(viewer)

    def tell(event: Any) -> None:
        say(event.source)

    def say(mine: Any) -> None:
        mine.help = said
        now = None if seen is None else seen()
        if now is not None and now.layers.selection.active is mine:
            now.help = said

    before = _told.pop(layer, None)
    if before is not None:
        layer.events.mode.disconnect(before)
    _told[layer] = tell
    layer.events.mode.connect(tell, position="last")
    say(layer)
