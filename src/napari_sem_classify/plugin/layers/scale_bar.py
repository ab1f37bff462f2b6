"""napari's scale bar, on the canvas as soon as an image is calibrated."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_sem_classify.plugin.app.session import helper_of, unwrapped
from napari_sem_classify.plugin.app.turns import later
from napari_sem_classify.plugin.layers.image_corrections import corrections_of
from napari_sem_classify.plugin.layers.layer_image import pixel_size_nm
from napari_sem_classify.plugin.layers.made_layers import pictures_in

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ScaleBar:
    """Shows the scale bar once; whoever hides it then is not asked again."""

    def __init__(self, viewer: ViewerModel) -> None:
        # The session that keeps this object must not keep the viewer alive.
        self._viewer_ref = weakref.ref(viewer)
        self._shown = False
        viewer.layers.events.inserted.connect(self._look)
        corrections_of(viewer).changed.connect(self._look)
        self._look()

    def _look(self, _event: Any = None) -> None:
        if not self._shown and self._wanted():
            self._shown = True
            # The picture first: each of them takes the canvas a moment.
            later(self._show)

    def _wanted(self) -> bool:
        viewer = self._viewer_ref()
        layers = [] if viewer is None else pictures_in(viewer)
        return any(pixel_size_nm(layer) is not None for layer in layers)

    def _show(self) -> None:
        viewer = self._viewer_ref()
        self._shown = self._wanted()
        if viewer is None or not self._shown:
            return
        # napari 0.9 moved the overlays to the canvas and warns about the old place.
        overlays: Any = viewer.canvas.overlays if hasattr(viewer, "canvas") else viewer
        overlays.scale_bar.visible = True


def scale_bar_of(viewer: ViewerModel) -> ScaleBar:
    """What shows a viewer's scale bar, made on first use."""
    return helper_of(viewer, ScaleBar, unwrapped(viewer))
