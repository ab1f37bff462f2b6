"""The demo in the viewer: an image with its finished map, or the user's own image and the form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer

    from ..core.demo import Demo

PLUGIN = "napari-sem-classify"
WIDGET = "Classify"


def open_demo(demo: Demo) -> None:
    """Open a viewer with the demo's image and map, and stay until it is closed."""
    import napari

    viewer = napari.Viewer(title="SEM classify demo")
    show_demo(viewer, demo)
    viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    napari.run()


def open_image_with_form(path: Path) -> None:
    """Open a viewer with the user's image beside the Classify form, until it is closed.

    Raises
    ------
    ImageError
        When the image cannot be opened; no viewer appears then.
    """
    from .reader import read_images

    layers = read_images(str(path))
    import napari

    viewer = napari.Viewer(title=f"SEM classify: {path.name}")
    for layer in layers:
        add_layer(viewer, layer)
    viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    napari.run()


def show_demo(viewer: Viewer, demo: Demo) -> None:
    """Add the demo's image, truth (hidden), class map and confidence (hidden), with a legend."""
    from .layers import add_class_map, add_confidence
    from .legend import legend_of
    from .sample_data import cross_section_layers

    image_layer, _truth = [add_layer(viewer, data) for data in cross_section_layers(demo.sample)]
    add_confidence(viewer, {(): demo.class_map}, image_layer)
    add_class_map(viewer, demo.class_map, image_layer)
    legend_of(viewer).update()
    # napari 0.9 moved the overlays to the canvas and warns about the old place.
    overlays = viewer.canvas.overlays if hasattr(viewer, "canvas") else viewer
    overlays.scale_bar.visible = True
    viewer.layers.selection.active = image_layer
    viewer.reset_view()


def add_layer(viewer: Viewer, layer_data: tuple[Any, dict[str, Any], str]) -> Any:
    """Add a layer given as data, keywords and type."""
    from napari.layers import Layer

    return viewer.add_layer(Layer.create(*layer_data))
