"""An image of a batch opened in the viewer with its finished map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sem_classify.core.batch.batch_outcome import ImageOutcome
from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.maps.class_map import ClassMap, map_sha256
from napari_sem_classify.core.maps.map_file import SUFFIX
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.files.map_reader import read_class_maps
from napari_sem_classify.plugin.layers.saved_maps import CARRIED, follow_maps

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


def open_outcome(viewer: Viewer, outcome: ImageOutcome) -> list[Layer]:
    """Add an image, its class map and its confidence (hidden) to the viewer; gives the new layers.

    What is open already, the image or this very map, is not added twice. Raises `ImageError` when
    map or image cannot be read.
    """
    from napari.layers import Layer

    maps = [path for path in outcome.files if path.name.endswith(SUFFIX)]
    missing = [path for path in maps if not path.exists()]
    if not maps or missing:
        name = missing[0] if missing else outcome.path
        raise ImageError(f"The map {name} is not there any more: run the batch again.")
    follow_maps(viewer)
    shown = [each for maps_of in session_of(viewer).maps.values() for each in maps_of.values()]
    hashes = {_named(each) for each in shown}
    layers = read_class_maps(maps) or []
    carried = [known["metadata"].get(CARRIED) for _, known, _ in layers]
    new = [each for saved in carried if saved is not None for each in saved.maps.values()]
    if all(_named(each) in hashes for each in new):
        layers = []
    added = [viewer.add_layer(Layer.create(*each)) for each in layers]
    if added:
        viewer.reset_view()
    return added


def _named(class_map: ClassMap) -> tuple[str, tuple[int, ...], str]:
    return class_map.image_name, class_map.plane, map_sha256(class_map)
