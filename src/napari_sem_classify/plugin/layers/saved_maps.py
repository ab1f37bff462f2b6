"""Class maps that come back from files: as layers, and tied to their image again.

A reader can only give data and keywords, so the maps travel in the layer's metadata. As soon as the
layer is in a viewer they move to the session, as after a run. The image is found by its path, else
by its name, whether it is open already or is opened later; the map is then laid on it anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard
from weakref import WeakKeyDictionary

import numpy as np

from napari_sem_classify.core.maps.map_file import SavedMap
from napari_sem_classify.plugin.app.session import helper_of, session_of, unwrapped
from napari_sem_classify.plugin.layers import made_layers
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, layer_levels, notes_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_sem_classify.plugin.layers.file_layers import LayerData

CARRIED = "sem_classify_saved_map"
_LENGTHS = {"scale": 1, "translate": 1, "rotate": 2, "shear": 1, "affine": 2}


def saved_layers(saved: SavedMap, *, as_shown: bool = True) -> list[LayerData]:
    """Layers of a saved map: its confidence, hidden, where that is known, then its classes.

    They lie as the viewer had them, or not `as_shown` by grid and pixel size alone.
    """
    first = saved.first
    stack = stack_of(saved)
    shape = (*stack, *first.grid.shape)
    place = _place(saved, len(shape), as_shown)
    labels = np.zeros(shape, dtype=made_layers.label_dtype(len(first.classes)))
    confidence = np.full(shape, np.nan, dtype=np.float32)
    for plane, class_map in saved.maps.items():
        labels[plane] = class_map.labels()
        confidence[plane] = class_map.confidence()
    name = saved.shown.get("name")
    metadata: dict[str, Any] = made_layers.map_metadata(first, first.image_name, saved.level)
    classes: dict[str, Any] = {
        "name": str(name)
        if name
        else made_layers.layer_name(first.image_name, made_layers.CLASSES),
        "colormap": made_layers.class_colormap(first.classes),
        "features": made_layers.class_features(first),
        "opacity": made_layers.CLASS_OPACITY,
        "metadata": {**metadata, CARRIED: saved},
        **place,
    }
    made: list[LayerData] = [(labels, classes, "labels")]
    if first.confidence_known:
        sure: dict[str, Any] = {
            "name": made_layers.layer_name(first.image_name, made_layers.CONFIDENCE),
            **made_layers.confidence_look(len(first.classes)),
            "metadata": {METADATA_KEY: {"kind": made_layers.CONFIDENCE, "image": first.image_name}},
            **place,
        }
        made.insert(0, (confidence, sure, "image"))
    return made


def stack_of(saved: SavedMap) -> tuple[int, ...]:
    """Leading axes of a saved map's layer; where the file does not tell, as many as it needs."""
    if saved.stack:
        return saved.stack
    return tuple(int(n) + 1 for n in np.max(list(saved.maps), axis=0, initial=-1))


class SavedMaps:
    """Takes up saved maps that appear in a viewer, and finds their images."""

    def __init__(self, viewer: ViewerModel) -> None:
        # The session that keeps this object must not keep the viewer alive.
        self._viewer_ref = weakref.ref(viewer)
        self._waiting: WeakKeyDictionary[Layer, SavedMap] = WeakKeyDictionary()
        viewer.layers.events.inserted.connect(self._on_inserted)
        self._on_inserted()

    def _on_inserted(self, _event: Any = None) -> None:
        viewer = self._viewer_ref()
        if viewer is None:
            return
        session = session_of(viewer)
        for layer in list(viewer.layers):
            if made_layers.kind_of(layer) == made_layers.CONFIDENCE:
                made_layers.show_colour_bar(layer)
            saved = layer.metadata.get(CARRIED)
            if not isinstance(saved, SavedMap):
                continue
            layer.metadata = {k: v for k, v in layer.metadata.items() if k != CARRIED}
            session.maps[layer] = dict(saved.maps)
            self._waiting[layer] = saved
            session.maps_changed.emit(layer)
        for layer, saved in list(self._waiting.items()):
            image_layer = self._image_of(viewer, saved)
            if image_layer is not None and layer in viewer.layers:
                del self._waiting[layer]
                self._tie(viewer, layer, saved, image_layer)

    def _image_of(self, viewer: ViewerModel, saved: SavedMap) -> Image | None:
        same_name = None
        for layer in viewer.layers:
            if not made_layers.is_picture(layer) or not _fits(layer, saved):
                continue
            if saved.image_path is not None and path_of(layer) == str(saved.image_path):
                return layer
            if layer.name == saved.first.image_name:
                same_name = layer
        return same_name

    def _tie(self, viewer: ViewerModel, layer: Layer, saved: SavedMap, image_layer: Image) -> None:
        session = session_of(viewer)
        tied = [layer]
        for other in viewer.layers:
            if (
                made_layers.kind_of(other) == made_layers.CONFIDENCE
                and session.source_of(other) is None
                and notes_of(other).get("image") == saved.first.image_name
                and other.data.shape == layer.data.shape
            ):
                tied.append(other)
        for one in tied:
            session.sources[one] = weakref.ref(image_layer)
            place = made_layers.cells_on(image_layer, saved.first.grid, one.ndim, saved.level)
            made_layers.put_in_place(one, place)
            notes = {**notes_of(one), "image": image_layer.name}
            one.metadata = {**one.metadata, METADATA_KEY: notes}
            # An image that is opened later would cover its map.
            if viewer.layers.index(image_layer) > viewer.layers.index(one):
                viewer.layers.move(viewer.layers.index(one), viewer.layers.index(image_layer) + 1)
        session.maps_changed.emit(layer)


def saved_maps_of(viewer: ViewerModel) -> SavedMaps:
    """What takes up the saved maps of a viewer, made on first use."""
    return helper_of(viewer, SavedMaps, unwrapped(viewer))


def follow_maps(viewer: ViewerModel) -> None:
    """Let a viewer take up saved maps, tell of its maps and keep the layers of an image together.

    In a legend, in the status line and by a scale bar.
    """
    from napari_sem_classify.plugin.layers.in_view import in_view_of
    from napari_sem_classify.plugin.layers.legend import legend_of
    from napari_sem_classify.plugin.layers.scale_bar import scale_bar_of
    from napari_sem_classify.plugin.layers.status import status_line_of

    for helper in (legend_of, status_line_of, saved_maps_of, scale_bar_of, in_view_of):
        helper(viewer)


def path_of(layer: Layer) -> str | None:
    """Where an image layer was read from, None where it came from no file."""
    path = notes_of(layer).get("path") or getattr(layer.source, "path", None)
    if not path:
        return None
    from pathlib import Path

    return str(Path(path).absolute())


def _fits(image_layer: Image, saved: SavedMap) -> bool:
    """Whether a map's grid lies inside an image layer, and their stacks are the same."""
    levels = layer_levels(image_layer)
    if saved.level >= len(levels):
        return False
    rows, cols = levels[saved.level].shape
    area = saved.first.grid.area
    skip = 3 if image_layer.rgb else 2
    data = image_layer.data[0] if image_layer.multiscale else image_layer.data
    stack = tuple(int(n) for n in data.shape[: data.ndim - skip])
    return area.bottom <= rows and area.right <= cols and stack == stack_of(saved)


def _place(saved: SavedMap, ndim: int, as_shown: bool) -> dict[str, Any]:
    """Scale, translation and units of a map's layers."""
    grid, size = saved.first.grid, saved.first.pixel_size_nm
    leading = ndim - 2
    step = 1.0 if size is None else size
    place: dict[str, Any] = {
        "scale": (1.0,) * leading + tuple(step * n for n in grid.scale),
        "translate": (0.0,) * leading + tuple(step * n for n in grid.translate),
        "units": ("pixel",) * leading + (("pixel",) * 2 if size is None else ("nm",) * 2),
    }
    if not as_shown:
        return place
    shown = {name: _numbers(saved.shown.get(name), n) for name, n in _LENGTHS.items()}
    units, names = saved.shown.get("units"), saved.shown.get("axis_labels")
    if shown["scale"] is None or len(shown["scale"]) != ndim or not _texts(units, ndim):
        return place
    place = {name: value for name, value in shown.items() if value is not None}
    place["units"] = tuple(units)
    if _texts(names, ndim):
        place["axis_labels"] = tuple(names)
    return place


def _numbers(value: Any, ndim: int) -> Any:
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.ndim == ndim and np.isfinite(numbers).all() else None


def _texts(value: Any, length: int) -> TypeGuard[Sequence[str]]:
    return (
        isinstance(value, (list, tuple))
        and len(value) == length
        and all(isinstance(one, str) for one in value)
    )
