"""Class maps from files, over their images: what Export, the command line and napari's save wrote.

A map brings its image along where that is not open and lies where it lay, or beside the map. An
OME-Zarr whose image is gone shows the picture it holds. Planes of one stack in several files become
one layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.maps.map_file import OUTLINES_SUFFIX, SUFFIX, SavedMap, read_map
from napari_sem_classify.core.maps.map_set import ZARR_SUFFIX
from napari_sem_classify.core.sem_io import list_images
from napari_sem_classify.plugin.layers.file_layers import file_layer
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import is_picture, layer_name
from napari_sem_classify.plugin.layers.saved_maps import follow_maps, path_of, saved_layers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sem_classify.plugin.layers.file_layers import LayerData

PICTURE = "picture"
OVERLAY_SUFFIX = ".overlay.png"
TIFF_SUFFIXES = (".tif", ".tiff")


def read_class_maps(paths: Sequence[Path]) -> list[LayerData] | None:
    """Layers of class maps and their images; None where some path is something else.

    The paths are map files, or one folder with maps in it: its other images are opened too. Raises
    `ImageError` when a map or an image cannot be read.
    """
    others: list[Path] = []
    if len(paths) == 1 and paths[0].is_dir() and not paths[0].name.endswith(".zarr"):
        paths, others = _folder(paths[0])
    found = []
    for path in paths:
        saved = _saved(path)
        if saved is None:
            return None
        found.append((path, saved))
    return _layers(found, others) if found else None


def _folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Maps in a folder, and images that are neither maps nor made of them."""
    try:
        files = list_images([folder])
    except ImageError:
        return [], []
    maps = [one for one in files if one.name.endswith((SUFFIX, ZARR_SUFFIX))]
    stems = {one.name.removesuffix(SUFFIX) for one in maps}
    pictures = {f"{stem}{suffix}" for stem in stems for suffix in (OVERLAY_SUFFIX, OUTLINES_SUFFIX)}
    return maps, [one for one in files if one not in maps and one.name not in pictures]


def _saved(path: Path) -> SavedMap | None:
    if path.is_dir():
        from napari_sem_classify.core.maps.ome_zarr_map import read_ome_map

        return read_ome_map(path)
    return read_map(path) if path.suffix.lower() in TIFF_SUFFIXES else None


def _layers(found: Sequence[tuple[Path, SavedMap]], others: Sequence[Path]) -> list[LayerData]:
    import napari

    viewer: ViewerModel | None = napari.current_viewer()
    if viewer is not None:
        follow_maps(viewer)
    layers = [file_layer(path) for path in others]
    images = [str(path.absolute()) for path in others]
    for path, saved in _joined(found):
        image = _image_file(path, saved)
        there = _is_open(viewer, saved) or (image is not None and str(image) in images)
        as_shown = True
        if not there and image is not None:
            layers.append(file_layer(image))
            images.append(str(image))
            # By this path it is known again when it was moved.
            saved = replace(saved, image_path=image)
        elif not there and path.is_dir():
            layers.append(_picture(path, saved))
            as_shown = False
        layers += saved_layers(saved, as_shown=as_shown)
    return layers


def _joined(found: Sequence[tuple[Path, SavedMap]]) -> list[tuple[Path, SavedMap]]:
    """Planes of one image by one model, as one."""
    joined: dict[Any, tuple[Path, SavedMap]] = {}
    for number, (path, saved) in enumerate(found):
        first = saved.first
        model = dict(first.record.get("model") or {}).get("name")
        key: Any = (saved.image_path, first.image_name, first.grid, first.classes, model)
        before = joined.get(key)
        if before is not None and saved.stack and not before[1].maps.keys() & saved.maps.keys():
            maps = {**before[1].maps, **saved.maps}
            joined[key] = before[0], replace(before[1], maps=maps)
        else:
            joined[(*key, number) if before is not None else key] = path, saved
    return list(joined.values())


def _image_file(path: Path, saved: SavedMap) -> Path | None:
    """Where a map's image lies now, None where it is not found."""
    if saved.image_path is None:
        return None
    places = (saved.image_path, path.absolute().parent / saved.image_path.name)
    return next((place for place in places if place.exists()), None)


def _is_open(viewer: ViewerModel | None, saved: SavedMap) -> bool:
    if viewer is None:
        return False
    return any(
        is_picture(layer)
        and (
            layer.name == saved.first.image_name
            or (saved.image_path is not None and path_of(layer) == str(saved.image_path))
        )
        for layer in viewer.layers
    )


def _picture(path: Path, saved: SavedMap) -> LayerData:
    """The picture in an OME-Zarr; it may be coarser than the image, so it is not classified."""
    from napari_sem_classify.core.sem_io.zarr_guard import open_guarded

    data, keywords, kind = file_layer(path)
    multiscale: Any = open_guarded(path).attrs["ome"]["multiscales"][0]
    nm = 1000.0 if "unit" in multiscale["axes"][-1] else 1.0
    for transform in multiscale["datasets"][0]["coordinateTransformations"]:
        for step, keyword in (("scale", "scale"), ("translation", "translate")):
            if step in transform:
                keywords[keyword] = tuple(nm * float(n) for n in transform[step])
    keywords["name"] = layer_name(saved.first.image_name, PICTURE)
    keywords["metadata"] = {METADATA_KEY: {"kind": PICTURE, "image": saved.first.image_name}}
    return data, keywords, kind
