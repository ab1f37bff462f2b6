"""Tiles annotated by a layer that the user already has: labels, shapes or points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    class_names: Sequence[str],
    as_class: str,
    min_share: float,
    rules: Mapping[str, float],
    plane: tuple[int, ...] = (),
) -> TileLabels:
    """The class of each tile, as a layer has it.

    A label value takes the class that the layer's table names; else the class "label V" where there
    is one, else class number V, else it becomes a class "label V".

    Parameters
    ----------
    class_names : sequence of str
        Classes known so far.
    as_class : str
        Class of shapes and points that name none themselves.
    min_share : float
        Share of a tile that a class has to cover.
    rules : {class name: share}
        Classes that a tile takes where it contains so much of them.
    plane : tuple of int
        Of a stack: what lies on other planes is not taken; a layer without planes lies on any.

    Raises
    ------
    AnnotationError
        When the layer does not fit the image or cannot be used, in one sentence.
    """
    if _is(layer, "labels"):
        return _from_labels(layer, image_layer, grid, class_names, min_share, rules, plane)
    column = _column(layer)
    if column is None and not as_class:
        raise AnnotationError("Choose the class of what is drawn in this layer: add one first.")
    if _is(layer, "points"):
        data = np.asarray(layer.data, dtype=float)
        on = [_on_plane(at[None], layer, image_layer, plane) for at in data]
        points = _in_image(data[np.array(on, dtype=bool)], layer, image_layer)
        named = _named(layer, column, as_class, len(data))
        named = [name for name, here in zip(named, on, strict=True) if here]
        names = _all_names(class_names, named)
        return tiles_from_points(points, [names.index(n) for n in named], grid, names)
    closed = [kind not in ("line", "path") for kind in layer.shape_type]
    if not any(closed):
        raise AnnotationError(
            f'"{layer.name}" has no closed shape: draw rectangles, ellipses or polygons.'
        )
    # As `polygons_in` gives them: the closed ones, in their order.
    on = [
        _on_plane(np.asarray(corners), layer, image_layer, plane)
        for corners, whole in zip(layer.data, closed, strict=True)
        if whole
    ]
    named = _named(layer, column, as_class, len(closed))
    named = [name for name, whole in zip(named, closed, strict=True) if whole]
    named = [name for name, here in zip(named, on, strict=True) if here]
    names = _all_names(class_names, named)
    polygons = polygons_in(layer, image_layer)
    return tiles_from_polygons(
        [corners for corners, here in zip(polygons, on, strict=True) if here],
        [names.index(name) for name in named],
        grid,
        names,
        min_share=min_share,
        contains={names.index(name): share for name, share in rules.items() if name in names},
    )


def _from_labels(
    layer: Any,
    image_layer: Image,
    grid: TileGrid,
    class_names: Sequence[str],
    min_share: float,
    rules: Mapping[str, float],
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
    said = _named_values(layer)
    pairs: list[tuple[int, str]] = []
    for value in values:
        number = f"label {value}"
        if value in said:
            pairs.append((value, said[value]))
        elif number not in class_names and value <= len(class_names):
            pairs.append((value, class_names[value - 1]))
        else:
            pairs.append((value, number))
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
    said = {}
    for value, name in zip(table["index"], table[column], strict=True):
        if str(name).strip() and int(value) > 0:
            said[int(value)] = str(name)
    return said


def _column(layer: Any) -> str | None:
    for column in CLASS_COLUMNS:
        if column in layer.features:
            return column
    return None


def _named(layer: Any, column: str | None, as_class: str, count: int) -> list[str]:
    if column is None:
        return [as_class] * count
    return [str(name).strip() or as_class for name in layer.features[column]]


def _all_names(class_names: Sequence[str], named: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*class_names, *(name for name in named if name)]))


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
