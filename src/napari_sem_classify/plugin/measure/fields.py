"""Class maps of the viewer as fields to measure: a layer, or one plane of a stack's layer.

Outlines are maps whose cells are pixels. Huge ones, drawn as they come into view, are no fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.files.map_reader import PICTURE
from napari_sem_classify.plugin.files.writer import saved_map
from napari_sem_classify.plugin.layers.layer_image import image_from_layer, notes_of
from napari_sem_classify.plugin.layers.made_layers import CLASSES, kind_of
from napari_sem_classify.plugin.layers.outline_layer import OUTLINES
from napari_sem_classify.plugin.layers.saved_maps import path_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One class map and the layer that shows it; `saved` adds to the map what its file needs.

    The map is as it is shown: cells painted by hand count as painted.
    """

    layer: Labels
    class_map: ClassMap
    saved: SavedMap


def map_layers(viewer: ViewerModel) -> list[Labels]:
    """Layers of class maps and of outlines in a viewer, lowest first."""
    return [
        layer
        for layer in viewer.layers
        if kind_of(layer) == CLASSES
        or (kind_of(layer) == OUTLINES and isinstance(layer.data, np.ndarray))
    ]


def fields_of(layers: Sequence[Labels]) -> list[Field]:
    """Fields of some class-map layers, by image and plane.

    Raises
    ------
    OutputError
        When a number was painted that no class has.
    """
    fields = []
    for layer in layers:
        attributes = layer.as_layer_data_tuple()[1]
        saved = saved_map(layer.data, attributes)
        for plane, class_map in saved.maps.items():
            one = SavedMap(
                {plane: class_map}, saved.stack, saved.image_path, saved.level, saved.shown
            )
            fields.append(Field(layer, class_map, one))
    return sorted(fields, key=lambda each: (each.class_map.image_name, each.class_map.plane))


def is_filling(viewer: ViewerModel, layer: Layer) -> bool:
    """Whether a run is still filling the map of a layer; a finished map has its record."""
    maps = session_of(viewer).maps.get(layer)
    return maps is not None and any(not each.record for each in maps.values())


def state_of(viewer: ViewerModel, layer: Labels) -> Any:
    """A value that is another one when the map of a layer is another one; cheap to work out."""
    import zlib

    maps = session_of(viewer).maps.get(layer, {})
    data = np.ascontiguousarray(layer.data)
    known = tuple(id(each) for each in maps.values())
    # Memory that a map left may be another map's next: what is painted tells them apart.
    return id(layer), zlib.crc32(data.data.cast("B")), data.shape, known


def image_layer_of(viewer: ViewerModel, layer: Layer) -> Layer | None:
    """What shows the specimen of a map: its image, or the picture that came with it."""
    source = session_of(viewer).source_of(layer)
    if source is not None:
        return source if source in viewer.layers else None
    name = notes_of(layer).get("image")
    for other in viewer.layers:
        if kind_of(other) == PICTURE and notes_of(other).get("image") == name:
            return other
    return None


def image_path_of(viewer: ViewerModel, layer: Layer) -> Path | None:
    """Where the image of a map lies, None where it came from no file."""
    source = session_of(viewer).source_of(layer)
    path = None if source is None else path_of(source)
    return None if path is None else Path(path)


def image_behind(viewer: ViewerModel, field: Field) -> Callable[[], SemImage | None]:
    """How to get the image of a field; to be called off the main thread, it may be read anew."""
    session = session_of(viewer)
    source: Any = session.source_of(field.layer)
    if source is None or source not in viewer.layers:
        return lambda: None
    level = field.saved.level
    known = session.images.get(source)
    if known is not None and known.level == level:
        return lambda: known
    return lambda: image_from_layer(source, level)
