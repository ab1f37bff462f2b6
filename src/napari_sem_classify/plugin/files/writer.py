"""Class maps saved from napari, so that they can be opened again as they were.

``NAME.map.tif`` holds one class map, of a single image or a stack: what *Export* and the command
line write, with the layer's place in the viewer. ``NAME.map.ome.zarr`` holds a picture of the
specimen too; it takes the image with its map from *Save Selected Layers*. Confidence is kept with
the map and grids are not saved: both follow from it. Cells painted by hand count as painted.

Polygons, reports and figures are not opened again here: they are for other programs and for people.
Their double endings leave the plain ones, such as ``.png``, to napari.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.output_folder import output_file
from napari_sem_classify.core.export.kinds import KINDS, Kind
from napari_sem_classify.core.export.measured import Measured
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, plane_suffix
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap, settle
from napari_sem_classify.core.model.card import ClassInfo, is_share
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.session import map_layer_with
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, image_from_layer
from napari_sem_classify.plugin.layers.made_layers import CLASSES
from napari_sem_classify.plugin.layers.outline_layer import OUTLINES
from napari_sem_classify.plugin.layers.saved_maps import path_of

_SHOWN = ("name", "scale", "translate", "rotate", "shear", "affine", "opacity")


def write_class_map(
    path: str, data: Any, attributes: Mapping[str, Any], number: str = ""
) -> list[str]:
    """Write one class-map layer as what the path's ending says; `number` tells it from others.

    Of a stack each plane goes into a file of its own; a TIFF and a report hold all of them. Raises
    `OutputError` when the layer is no class map, its image is needed and not open, or a file cannot
    be written.
    """
    kind, suffix = _kind_of(path)
    saved = saved_map(data, attributes)
    image = _image_behind(data, attributes, saved) if kind.needs_image else None
    maps = list(saved.maps.values())
    whole = Measured(maps, [image] * len(maps), saved=[saved] * len(maps))
    if kind.for_all or kind.key == "map":
        with output_file(Path(path), confirmed=True) as temporary:
            kind.write(whole, temporary)
        return [path]
    written = []
    for at, class_map in enumerate(maps):
        target = f"{path[: -len(suffix)]}{plane_suffix(class_map.plane)}{number}{suffix}"
        # napari's dialog asked about the name that it gave, not about those made of it.
        with output_file(Path(target), confirmed=target == path) as temporary:
            kind.write(whole.one(at), temporary)
        written.append(target)
    return written


def write_class_maps(path: str, layers: Sequence[tuple[Any, Mapping[str, Any], str]]) -> list[str]:
    """Write the class maps among some layers, each into files of its own; there must be one."""
    chosen = [(data, known) for data, known, _ in layers if _notes(known).get("kind") == CLASSES]
    if not chosen:
        raise OutputError("None of the layers is a class map: choose one made by Classify.")
    written = []
    for number, (data, known) in enumerate(chosen, start=1):
        written += write_class_map(path, data, known, f"-{number}" if len(chosen) > 1 else "")
    return written


def _kind_of(path: str) -> tuple[Kind, str]:
    """The kind of file that a path's ending says, and that ending."""
    known = [(kind, suffix) for kind in KINDS for suffix in kind.napari]
    for kind, suffix in known:
        if path.lower().endswith(suffix):
            return kind, suffix
    endings = ", ".join(suffix for _, suffix in known)
    raise OutputError(f"{path} does not say what to write: let it end in {endings}.")


def saved_map(data: Any, attributes: Mapping[str, Any]) -> SavedMap:
    """What a class-map layer shows, with the probabilities behind it where they are known."""
    notes = _notes(attributes)
    name = attributes.get("name", "layer")
    if notes.get("kind") not in (CLASSES, OUTLINES):
        raise OutputError(
            f"{name} is no class map: choose a layer made by Classify, or save it as a plain .tif."
        )
    found = map_layer_with(data)
    labels = np.asarray(data)
    shown = _shown(attributes)
    stack, level = labels.shape[:-2], int(notes.get("level", 0))
    if found is None:
        return SavedMap(_maps_from_notes(labels, notes), stack, None, level, shown)
    session, layer = found
    source = session.source_of(layer)
    path = None if source is None else path_of(source)
    place = None if path is None else Path(path)
    known = session.maps.get(layer)
    if known is None:  # outlines
        return SavedMap(_maps_from_notes(labels, notes), (), place, level, shown)
    maps = {}
    for plane in np.ndindex(stack):
        if plane in known:
            maps[plane] = _as_painted(labels[plane], known[plane], str(name))
        elif labels[plane].any():
            like = next(iter(known.values()))
            empty = replace(
                like, probabilities=np.full_like(like.probabilities, np.nan), plane=plane
            )
            maps[plane] = _as_painted(labels[plane], empty, str(name))
    return SavedMap(maps, stack, place, level, shown)


def _as_painted(labels: NDArray[Any], class_map: ClassMap, name: str) -> ClassMap:
    n_classes = len(class_map.classes)
    _check_numbers(labels, n_classes, name)
    known = class_map.probabilities if class_map.confidence_known else None
    probabilities, record = settle(labels, known, n_classes, class_map.record)
    return replace(class_map, probabilities=probabilities, record=record)


def _maps_from_notes(
    labels: NDArray[Any], notes: Mapping[str, Any]
) -> dict[tuple[int, ...], ClassMap]:
    """Maps of a layer that the session knows no probabilities of: the classes alone."""
    grid = TileGrid(Area(*notes["grid"]["area"]), notes["grid"]["tile"], notes["grid"]["stride"])
    classes = tuple(
        ClassInfo(each["name"], each["colour"], _share(each.get("contains")))
        for each in notes["classes"]
    )
    image_name, size = str(notes["image"]), notes.get("pixel_size_nm")
    planes = [plane for plane in np.ndindex(labels.shape[:-2]) if labels[plane].any()]
    maps = {}
    for plane in planes or [(0,) * (labels.ndim - 2)]:
        _check_numbers(labels[plane], len(classes), image_name)
        record = notes.get("record") or {"model": notes.get("model", {})}
        probabilities, noted = settle(labels[plane], None, len(classes), record)
        maps[plane] = ClassMap(probabilities, grid, classes, size, image_name, plane, noted)
    return maps


def _share(contains: Any) -> float | None:
    return float(contains) if is_share(contains) else None


def _check_numbers(labels: NDArray[Any], n_classes: int, name: str) -> None:
    highest = int(labels.max(initial=0))
    if highest > n_classes:
        raise OutputError(
            f"{name} holds the number {highest} and has {n_classes} classes: erase that number."
        )


def _image_behind(data: Any, attributes: Mapping[str, Any], saved: SavedMap) -> SemImage:
    found = map_layer_with(data)
    source = None if found is None else found[0].source_of(found[1])
    if found is None or source is None:
        raise OutputError(
            f"The image of {attributes.get('name', 'the map')} is not open: open it first, or save "
            "the map as .map.tif."
        )
    known = found[0].images.get(source)
    if known is not None and known.level == saved.level:
        return known
    return image_from_layer(source, saved.level)


def _notes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = attributes.get("metadata")
    notes = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
    return notes if isinstance(notes, Mapping) else {}


def _shown(attributes: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {key: attributes[key] for key in _SHOWN if key in attributes}
    for key in ("units", "axis_labels"):
        if attributes.get(key) is not None:
            shown[key] = [str(one) for one in attributes[key]]
    return shown
