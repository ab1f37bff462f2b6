"""Keeping layers where they are on an image while the image's scale changes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.layers.layer_image import notes_of, spatial_shape
from napari_sem_classify.plugin.layers.made_layers import (
    kind_of,
    pictures_in,
    placed_on,
    put_in_place,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


def followers(viewer: ViewerModel, image_layer: Image) -> list[Layer]:
    """Layers that lie on an image: those made from it, and the user's own drawings on it.

    A drawing (labels, shapes, points) counts as lying on the image where it is in the same units
    and the image is the only one, or where it is a mask of the same size and scale.
    """
    from napari.layers import Labels, Points, Shapes

    session = session_of(viewer)
    pictures = pictures_in(viewer)
    found: list[Layer] = []
    for layer in viewer.layers:
        if layer is image_layer or layer.ndim > image_layer.ndim:
            continue
        source = session.source_of(layer)
        if source is not None or kind_of(layer) is not None:
            mine = source is image_layer or (
                source is None and notes_of(layer).get("image") == image_layer.name
            )
        elif isinstance(layer, (Labels, Shapes, Points)):
            same_units = tuple(layer.units) == tuple(image_layer.units)[-layer.ndim :]
            alone = pictures == [image_layer]
            mine = same_units and (alone or _is_mask_of(layer, image_layer))
        else:
            mine = False
        if mine:
            found.append(layer)
    return found


@contextmanager
def in_place(image_layer: Image, layers: Sequence[Layer]) -> Generator[None, None, None]:
    """Hold layers on the same pixels of an image while its scale is changed inside."""
    held = [(layer, *_on_finest(image_layer, layer)) for layer in layers]
    yield
    for layer, scale, start in held:
        put_in_place(layer, placed_on(image_layer, scale, start, layer.ndim, level=0))


@contextmanager
def keep_view(viewer: ViewerModel, image_layer: Image) -> Generator[None, None, None]:
    """Keep the same part of an image in view while its scale is changed inside."""
    # Since napari 0.9 the camera is the scene's.
    camera: Any = getattr(viewer, "scene", viewer).camera
    ndim = image_layer.ndim
    centre = np.zeros(ndim)
    known = np.asarray(camera.center, dtype=float)[-min(ndim, 2) :]
    centre[-len(known) :] = known
    place = np.asarray(image_layer.world_to_data(centre))
    before = abs(float(image_layer.scale[-1]))
    yield
    after = abs(float(image_layer.scale[-1]))
    moved = np.asarray(image_layer.data_to_world(place))[-2:]
    camera.center = (*tuple(camera.center)[:-2], *(float(at) for at in moved))
    camera.zoom *= before / after


def _on_finest(image_layer: Layer, layer: Layer) -> tuple[tuple[float, float], tuple[float, float]]:
    """Finest image pixels per pixel of a layer, and the place of its pixel (0, 0)."""
    first = _to_pixels(image_layer, layer.data_to_world(np.zeros(layer.ndim)))
    one = np.zeros(layer.ndim)
    one[-2:] = 1.0
    steps = _to_pixels(image_layer, layer.data_to_world(one)) - first
    return (float(steps[0]), float(steps[1])), (float(first[0]), float(first[1]))


def _to_pixels(image_layer: Layer, world: Any) -> NDArray[np.float64]:
    place = np.asarray(world, dtype=float)
    full = np.pad(place, (image_layer.ndim - len(place), 0))
    return np.asarray(image_layer.world_to_data(full), dtype=float)[-2:]


def _is_mask_of(layer: Any, image_layer: Image) -> bool:
    from napari.layers import Labels

    return (
        isinstance(layer, Labels)
        and tuple(layer.data.shape[-2:]) == spatial_shape(image_layer)
        and bool(np.allclose(layer.scale[-2:], image_layer.scale[-2:]))
    )
