"""Tiles annotated by a layer that the user already has: labels, shapes or points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import (
    TileLabels,
    label_values,
    tiles_from_mask,
    tiles_from_points,
    tiles_from_polygons,
)
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.layers.grid_layers import polygons_in
from napari_sem_classify.plugin.layers.layer_image import noted_level, pixels_at, spatial_shape

if TYPE_CHECKING:
    from napari.layers import Image, Layer

CLASS_COLUMNS = ("class", "label", "name")
SAME_PLACE_PX = 0.5


def classes_are_named(layer: Layer) -> bool:
    """Whether the layer itself says which class each thing is, so that none needs choosing."""
    return _is(layer, "labels") or _column(layer) is not None


def tiles_of_layer(
    layer: Layer,
    image_layer: Image,
    grid: TileGrid,
    annotations: Annotations,
    as_class: str,
    min_share: float,
    plane: tuple[int, ...] = (),
) -> TileLabels:
    """The class of each tile, as a layer has it.

    A label value takes the class that the layer's table names; else the class "label V" where there
    is one, else class number V, else it becomes a class "label V". Shapes and points that name no
    class are of `as_class`. What lies on other planes of a stack than `plane` is not taken; a layer
    without planes lies on any. Raises `AnnotationError` where the layer cannot be used.
    """
    if _is(layer, "labels"):
        return _from_labels(layer, image_layer, grid, annotations, min_share, plane)
    column = _column(layer)
    if column is None and not as_class:
        raise AnnotationError("Choose the class of what is drawn in this layer: add one first.")
    points = _is(layer, "points")
    kinds = ["point"] * len(layer.data) if points else layer.shape_type
    closed = np.array([kind not in ("line", "path") for kind in kinds], dtype=bool)
    if not points and not closed.any():
        raise AnnotationError(
            f'"{layer.name}" has no closed shape: draw rectangles, ellipses or polygons.'
        )
    on = [_on_plane(np.atleast_2d(at), layer, image_layer, plane) for at in layer.data]
    taken = np.array(on, dtype=bool) & closed
    said = [as_class] * len(on)
    if column is not None:
        said = [str(name).strip() or as_class for name in layer.features[column]]
    named = [said[at] for at in np.flatnonzero(taken)]
    names = tuple(dict.fromkeys([*annotations.class_names, *filter(None, named)]))
    values, rules = [names.index(name) for name in named], annotations.rules
    if points:
        places = _in_image(np.asarray(layer.data, dtype=float)[taken], layer, image_layer)
        return tiles_from_points(places, values, grid, names)
    polygons = polygons_in(layer, image_layer)  # the closed ones, in their order
    return tiles_from_polygons(
        [polygons[at] for at in np.flatnonzero(taken[closed])],
        values,
        grid,
        names,
        min_share=min_share,
        contains={names.index(name): share for name, share in rules.items() if name in names},
    )


def _from_labels(
    layer: Any,
    image_layer: Image,
    grid: TileGrid,
    annotations: Annotations,
    min_share: float,
    plane: tuple[int, ...],
) -> TileLabels:
    shape = spatial_shape(image_layer, noted_level(image_layer))
    levels = layer.data if layer.multiscale else [layer.data]
    data = next((each for each in levels if tuple(each.shape[-2:]) == shape), levels[0])
    if data.ndim > 2:
        lead = data.ndim - 2
        known = plane[-lead:] if len(plane) >= lead else (0,) * lead
        if any(at >= size for at, size in zip(known, data.shape, strict=False)):
            raise AnnotationError(
                f'"{layer.name}" has no plane {", ".join(map(str, known))}: use labels of the '
                "whole stack."
            )
        data = data[known]
    if tuple(data.shape) != shape:
        raise AnnotationError(
            f"The labels of {image_layer.name} have {data.shape[0]} × {data.shape[1]} px and the "
            f"image has {shape[0]} × {shape[1]} px: use labels of the image's own size."
        )
    ends = np.array([[0.0, 0.0], [shape[0] - 1.0, shape[1] - 1.0]])
    off = np.abs(_in_image(ends, layer, image_layer) - ends).max()
    if off > SAME_PLACE_PX and not layer.multiscale:
        raise AnnotationError(
            f'"{layer.name}" lies elsewhere than {image_layer.name} or has another scale: '
            "give it the image's scale and place."
        )
    name = f'The layer "{layer.name}"'
    values = [int(value) for value in label_values(data, name) if value > 0]
    if not values:
        raise AnnotationError(f"{name} holds no label yet: paint some, 1 for the first class.")
    said, class_names, rules = _named_values(layer), annotations.class_names, annotations.rules
    for value in values:
        number = f"label {value}"
        by_number = number not in class_names and value <= len(class_names)
        said.setdefault(value, class_names[value - 1] if by_number else number)
    pairs = [(value, said[value]) for value in values]
    return tiles_from_mask(
        data,
        grid,
        pairs,
        min_share=min_share,
        contains={value: rules[key] for value, key in pairs if key in rules},
        name=name,
    )


def _named_values(layer: Any) -> dict[int, str]:
    """Class names that a labels layer's table gives to its values."""
    column = _column(layer)
    table = layer.features
    if column is None or "index" not in table:
        return {}
    rows = zip(table["index"], table[column], strict=True)
    return {int(value): str(name) for value, name in rows if str(name).strip() and int(value) > 0}


def _column(layer: Any) -> str | None:
    return next((column for column in CLASS_COLUMNS if column in layer.features), None)


def _on_plane(
    points: NDArray[Any], layer: Layer, image_layer: Image, plane: tuple[int, ...]
) -> bool:
    """Whether all points of a thing lie on a plane, which a layer without planes always does."""
    if not plane or layer.ndim < image_layer.ndim:
        return True
    lead = len(plane)
    return all(
        np.array_equal(np.rint(image_layer.world_to_data(layer.data_to_world(at))[:lead]), plane)
        for at in points
    )


def _in_image(points: NDArray[Any], layer: Layer, image_layer: Image) -> NDArray[np.float64]:
    """Positions in a layer as rows and columns of the image."""
    if not len(points):
        return np.zeros((0, 2))
    world = [
        np.asarray(layer.data_to_world(np.pad(at, (layer.ndim - len(at), 0)))) for at in points
    ]
    return pixels_at(image_layer, world)


def _is(layer: Layer, kind: str) -> bool:
    from napari.layers import Labels, Points, Shapes

    return isinstance(layer, {"labels": Labels, "points": Points, "shapes": Shapes}[kind])
