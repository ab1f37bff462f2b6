"""Layers that show results: class map and confidence, laid over the image they come from.

A result has one pixel a cell and keeps the image's place in the world: the cells' own scale and
translation are composed with the image layer's scale, translate, rotate, shear, affine and units.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import ClassInfo, class_dict
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.session import session_of, unwrapped
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY, level_steps, noted_level

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from napari.utils.colormaps import DirectLabelColormap

CLASSES, CONFIDENCE, GRID, AREA = "classes", "confidence", "grid", "area"
UNLIKE = "unlike"
LEFT_OUT = "left out"
CLASS_OPACITY = 0.5
THIN_TINT = 0.5
PLACE = ("units", "scale", "translate", "rotate", "shear", "affine")


def layer_name(image_name: str, kind: str) -> str:
    """What a layer made from an image is called: "coating_12 · classes"."""
    return f"{image_name} · {kind}"


def kind_of(layer: Layer) -> str | None:
    """What a layer of this plugin shows ("classes", "grid", ...), None for any other layer."""
    ours = layer.metadata.get(METADATA_KEY)
    return ours.get("kind") if isinstance(ours, Mapping) else None


def is_picture(layer: Layer) -> bool:
    """Whether a layer is an image that can be classified, rather than one made here."""
    from napari.layers import Image

    return isinstance(layer, Image) and kind_of(layer) is None


def pictures_in(viewer: ViewerModel) -> list[Image]:
    """Images that can be classified."""
    return [layer for layer in viewer.layers if is_picture(layer)]


def placed_on(
    image_layer: Layer,
    scale: tuple[float, float],
    translate: tuple[float, float],
    ndim: int,
    level: int | None = None,
) -> dict[str, Any]:
    """Keyword arguments that lay a layer of coarser pixels over an image layer.

    Parameters
    ----------
    image_layer : napari layer
    scale, translate : (float, float)
        Image pixels per pixel of the new layer, and the place of its pixel (0, 0), along rows
        and columns.
    ndim : int
        Axes of the new layer: those of the image, or 2 for its last two.
    level : int, optional
        Whose pixels the image pixels are, of a multiscale layer; those of the level that is read
        when left out.

    Returns
    -------
    dict
        scale, translate, rotate, shear, affine, units and axis_labels of the new layer.
    """
    skip = image_layer.ndim - ndim
    level = noted_level(image_layer) if level is None else level
    finest, corner = level_steps(image_layer, level)
    steps = np.ones(ndim)
    steps[-2:] = finest * scale
    start = np.zeros(image_layer.ndim)
    start[-2:] = finest * translate + corner
    affine = np.asarray(image_layer.affine.affine_matrix)
    # world = affine(rotate · shear · scale · pixel + translate): only scale and translate change.
    world = np.append(np.asarray(image_layer.data_to_world(start), dtype=float), 1.0)
    offset = np.linalg.solve(affine, world)[:-1]
    keep = [*range(skip, image_layer.ndim), image_layer.ndim]
    return {
        "scale": np.asarray(image_layer.scale)[skip:] * steps,
        "translate": offset[skip:],
        "rotate": np.asarray(image_layer.rotate)[skip:, skip:],
        "shear": _shear_matrix(np.asarray(image_layer.shear), image_layer.ndim)[skip:, skip:],
        "affine": affine[np.ix_(keep, keep)],
        "units": tuple(image_layer.units)[skip:],
        "axis_labels": tuple(image_layer.axis_labels)[skip:],
    }


def add_made(
    viewer: ViewerModel,
    image_layer: Layer | None,
    kind: str,
    add: str,
    data: Any,
    *,
    select: bool = True,
    notes: Mapping[str, Any] | None = None,
    **look: Any,
) -> Any:
    """Add a layer made from an image layer, which is named after it and noted with it.

    `add` is the type of the new layer ("labels", "image", "shapes", "points") and `look` its
    keyword arguments. Without `select` the user keeps the active layer, as for a preview. `notes`
    go to its metadata besides kind and image, or name another image.
    """
    viewer, image_layer = unwrapped(viewer), unwrapped(image_layer)
    active = viewer.layers.selection.active
    noted = {"kind": kind, **({} if image_layer is None else {"image": image_layer.name})}
    noted |= notes or {}
    look = {"name": layer_name(str(noted["image"]), kind), "metadata": {METADATA_KEY: noted}} | look
    layer = unwrapped(getattr(viewer, f"add_{add}")(data, **look))
    if image_layer is not None:
        session_of(viewer).sources[layer] = weakref.ref(image_layer)
    if not select and active is not None and active in viewer.layers:
        viewer.layers.selection.active = active
    return layer


def cells_on(
    image_layer: Layer, grid: TileGrid, ndim: int, level: int | None = None
) -> dict[str, Any]:
    """Keyword arguments that lay one pixel a cell over the image layer, see `placed_on`."""
    return placed_on(image_layer, grid.scale, grid.translate, ndim, level)


def class_colormap(classes: tuple[ClassInfo, ...]) -> DirectLabelColormap:
    """Label colours of the classes: 1 the first class; 0 and all else transparent.

    Tiles that only contain a class are tinted less, so that the thin thing in them is seen.
    """
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    for number, info in enumerate(classes, start=1):
        tint = 1.0 if info.contains is None else THIN_TINT
        colours[number] = (*(each / 255 for each in info.rgb), tint)
    return DirectLabelColormap(color_dict=colours)


def class_features(class_map: ClassMap) -> dict[str, list[Any]]:
    """A row per label with class, colour and area fraction; row 0 is what was left out."""
    shares, unknown = class_map.fractions(), float("nan")
    return {
        "index": list(range(len(shares) + 1)),
        "class": [LEFT_OUT, *(share.name for share in shares)],
        "colour": ["", *(share.colour for share in shares)],
        "area_fraction": [unknown, *(s.fraction if s.is_area else unknown for s in shares)],
    }


def map_metadata(class_map: ClassMap, image_layer_name: str, level: int = 0) -> dict[str, Any]:
    """What a class-map layer must know to be used again, as plain JSON values.

    Of a multiscale image the grid is in pixels of `level`.
    """
    grid = class_map.grid
    return {
        METADATA_KEY: {
            "kind": CLASSES,
            "image": image_layer_name,
            "model": class_map.record.get("model", {}),
            "classes": [class_dict(info) for info in class_map.classes],
            "grid": grid_to_dict(grid),
            "level": level,
            "pixel_size_nm": class_map.pixel_size_nm,
        }
    }


def grid_to_dict(grid: TileGrid) -> dict[str, Any]:
    """A grid as plain JSON values."""
    return {"area": grid.area.as_list(), "tile": grid.tile, "stride": grid.stride}


def add_class_map(
    viewer: ViewerModel,
    class_map: ClassMap,
    image_layer: Image,
    *,
    leading_shape: tuple[int, ...] = (),
    level: int | None = None,
) -> Labels:
    """Show a class map over the image it was made from and give the new layer.

    It is named ``IMAGE · classes``, has one pixel a cell and the leading axes of a stack; the map
    goes to its own plane. `level` is the one that was classified, when left out the one that is
    read.
    """
    viewer, image_layer = unwrapped(viewer), unwrapped(image_layer)
    level = noted_level(image_layer) if level is None else level
    shape = (*leading_shape, *class_map.grid.shape)
    layer: Labels = add_made(
        viewer,
        image_layer,
        CLASSES,
        "labels",
        np.zeros(shape, dtype=label_dtype(len(class_map.classes))),
        colormap=class_colormap(class_map.classes),
        opacity=CLASS_OPACITY,
        metadata=map_metadata(class_map, image_layer.name, level),
        **cells_on(image_layer, class_map.grid, len(shape), level),
    )
    update_class_map(viewer, layer, class_map)
    return layer


def update_class_map(
    viewer: ViewerModel,
    layer: Labels,
    class_map: ClassMap,
    labels: NDArray[np.uint16] | None = None,
) -> None:
    """Show a newer state of the map in its layer: labels, features and what lies behind them.

    `labels` saves working them out again where the caller has them.
    """
    session_of(viewer).map_to_be_drawn.emit(layer)
    layer.data[class_map.plane] = class_map.labels() if labels is None else labels
    layer.features = class_features(class_map)
    noted = layer.metadata[METADATA_KEY]
    fresh = map_metadata(class_map, str(noted["image"]), noted.get("level", 0))
    layer.metadata = {**layer.metadata, **fresh}
    session_of(viewer).maps.setdefault(layer, {})[class_map.plane] = class_map
    layer.refresh()


def add_confidence(
    viewer: ViewerModel,
    maps: Mapping[tuple[int, ...], ClassMap],
    image_layer: Image,
    *,
    leading_shape: tuple[int, ...] = (),
    level: int | None = None,
) -> Image:
    """Add the probability of each cell's class as an image, hidden at first.

    There is at least one map, and all have the same grid and classes.
    """
    first = next(iter(maps.values()))
    data = np.full((*leading_shape, *first.grid.shape), np.nan, dtype=np.float32)
    for plane, class_map in maps.items():
        data[plane] = class_map.confidence()
    look = confidence_look(len(first.classes)) | cells_on(image_layer, first.grid, data.ndim, level)
    layer: Image = add_made(viewer, image_layer, CONFIDENCE, "image", data, **look)
    show_colour_bar(layer)
    return layer


def add_unlike(
    viewer: ViewerModel,
    maps: Mapping[tuple[int, ...], ClassMap],
    image_layer: Image,
    *,
    leading_shape: tuple[int, ...] = (),
    level: int | None = None,
) -> Image | None:
    """Add where the heads of the stages disagree, 0 to 1, as an image, hidden at first.

    None where the model has no such heads.
    """
    first = next(iter(maps.values()))
    if first.agreement is None:
        return None
    data = np.full((*leading_shape, *first.grid.shape), np.nan, dtype=np.float32)
    for plane, class_map in maps.items():
        if class_map.agreement is not None:
            data[plane] = 1 - class_map.agreement
    look = {**confidence_look(2), "colormap": "magma", "contrast_limits": (0.0, 1.0)}
    look |= cells_on(image_layer, first.grid, data.ndim, level)
    layer: Image = add_made(viewer, image_layer, UNLIKE, "image", data, **look)
    show_colour_bar(layer)
    return layer


def confidence_look(n_classes: int) -> dict[str, Any]:
    """Keyword arguments of a layer of confidences, hidden at first.

    Grey: no class has that colour, and the specimen is dimmed where the model is unsure.
    """
    return {
        "colormap": "gray",
        "contrast_limits": (1.0 / n_classes, 1.0),
        "blending": "translucent",
        "opacity": 0.7,
        "visible": False,
    }


def show_colour_bar(layer: Image) -> None:
    """Tell by a bar what the colours of a layer mean, while it is visible."""
    bar = getattr(layer, "colorbar", None)  # napari before 0.7 has none
    if bar is not None:
        bar.visible = True


def put_in_place(layer: Layer, place: Mapping[str, Any]) -> None:
    """Lay a layer elsewhere; `place` as of `placed_on`."""
    for name in PLACE:
        setattr(layer, name, place[name])


def remove_layer(viewer: ViewerModel, layer: Layer | None) -> None:
    """Remove a layer if it is still there."""
    if layer is not None and layer in viewer.layers:
        viewer.layers.remove(layer)


def made_from(viewer: ViewerModel, image_layer: Layer | None, kind: str) -> list[Layer]:
    """Layers of a kind that were made from an image layer, lowest first.

    With None those whose image is not in the viewer.
    """
    session = session_of(viewer)
    return [
        layer
        for layer in unwrapped(viewer).layers
        if kind_of(layer) == kind and session.source_of(layer) is image_layer
    ]


def label_dtype(n_classes: int) -> Any:
    """Type of a class-map layer's numbers."""
    return np.uint8 if n_classes < 255 else np.uint16


def _shear_matrix(shear: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Napari gives shear as a matrix, or its strictly upper triangle row by row."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear.ravel()
    return matrix
