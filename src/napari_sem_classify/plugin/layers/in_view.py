"""Layers of one image stand together: those of other images are hidden while it is in view.

What the user shows or hides by hand stays as she left it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from napari_sem_classify.plugin.app.session import helper_of, session_of, unwrapped
from napari_sem_classify.plugin.layers.layer_image import notes_of
from napari_sem_classify.plugin.layers.made_layers import is_picture, kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

REVIEWED = "reviewed cell"
"""While a cell is reviewed the review alone says what is in view."""


class InView:
    """Follows which image is worked on: the active layer's, or the one chosen in a dock."""

    def __init__(self, viewer: ViewerModel) -> None:
        # The session that keeps this object must not keep the viewer alive.
        self._viewer_ref = weakref.ref(viewer)
        self._session = session_of(viewer)
        self._image: weakref.ref[Layer] | None = None
        self._hidden: WeakSet[Layer] = WeakSet()
        self._users: WeakSet[Layer] = WeakSet()
        self._watched: WeakKeyDictionary[Layer, Any] = WeakKeyDictionary()
        self._busy = False
        viewer.layers.events.inserted.connect(self._watch)
        viewer.layers.selection.events.active.connect(self._on_active)
        self._session.image_chosen.connect(self._go_to)
        self._watch()

    def _watch(self, _event: Any = None) -> None:
        viewer = self._viewer_ref()
        for layer in [] if viewer is None else list(viewer.layers):
            if layer not in self._watched:
                self._watched[layer] = True
                layer.events.visible.connect(self._on_visible)

    def _on_active(self, _event: Any = None) -> None:
        viewer = self._viewer_ref()
        active = None if viewer is None else viewer.layers.selection.active
        if active is not None:
            self._go_to(active if is_picture(active) else self._session.source_of(active))

    def _go_to(self, image: Layer | None) -> None:
        """Have an image in view with all that was made of it."""
        viewer = self._viewer_ref()
        if viewer is None or image is None or image not in viewer.layers:
            return
        before = None if self._image is None else self._image()
        if image is before or viewer.canvas.grid.enabled or _reviewing(viewer):
            return
        self._image = weakref.ref(image)
        with self._changing():
            for layer in list(viewer.layers):
                mine = self._image_of(layer)
                if mine is image:
                    self._show(layer)
                elif mine is not None and (layer is not mine or _covers(viewer, layer, image)):
                    self._hide(layer)

    def _on_visible(self, event: Any) -> None:
        viewer = self._viewer_ref()
        layer: Layer = event.source
        if self._busy or viewer is None or _reviewing(viewer):
            return
        if layer in self._hidden:  # she wants it in view
            self._hidden.discard(layer)
            self._users.add(layer)
        elif is_picture(layer):
            with self._changing():
                change = self._show if layer.visible else self._hide
                for other in list(viewer.layers):
                    if other is not layer and self._image_of(other) is layer:
                        change(other)

    def _image_of(self, layer: Layer) -> Layer | None:
        """The image that a layer shows or was made of; None for any other layer."""
        if is_picture(layer):
            return layer
        if kind_of(layer) is None and not notes_of(layer):
            return None
        return self._session.source_of(layer)

    def _show(self, layer: Layer) -> None:
        if layer in self._hidden:
            self._hidden.discard(layer)
            layer.visible = True

    def _hide(self, layer: Layer) -> None:
        if layer.visible and layer not in self._users:
            self._hidden.add(layer)
            layer.visible = False

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


def in_view_of(viewer: ViewerModel) -> InView:
    """What keeps the layers of an image together, made on first use."""
    return helper_of(viewer, InView, unwrapped(viewer))


def _reviewing(viewer: ViewerModel) -> bool:
    return any(kind_of(layer) == REVIEWED for layer in viewer.layers)


def _covers(viewer: ViewerModel, picture: Layer, image: Layer) -> bool:
    """Whether a picture lies on most of an image and lets nothing of it through."""
    if viewer.layers.index(picture) < viewer.layers.index(image):
        return False
    mixes = not str(picture.blending).startswith(("translucent", "opaque"))
    if picture.opacity < 1 or mixes:
        return False
    (low, high), (first, last) = (
        np.asarray(layer.extent.world)[:, -2:] for layer in (picture, image)
    )
    shared = np.clip(np.minimum(high, last) - np.maximum(low, first), 0, None)
    return bool(np.prod(shared) > 0.5 * np.prod(last - first))
