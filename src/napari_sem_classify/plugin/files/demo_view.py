"""The demo in the viewer: an image with its finished map, or the user's own image and the form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.plugin.app.docks import open_entry

if TYPE_CHECKING:
    from napari import Viewer

    from napari_sem_classify.core.sample.demo import Demo

WIDGET = "Classify"


def open_demo(demo: Demo) -> None:
    """Open a viewer with the demo's image and map, and stay until it is closed."""
    import napari

    viewer = napari.Viewer(title="SEM classify demo")
    show_demo(viewer, demo)
    dock_form(viewer)
    napari.run()


def open_image_with_form(path: Path) -> None:
    """Open a viewer with the user's image beside the Classify form, until it is closed.

    No viewer appears where the image cannot be opened, which raises `ImageError`.
    """
    from napari_sem_classify.plugin.files.reader import read_images
    from napari_sem_classify.plugin.layers.scale_bar import scale_bar_of

    layers = read_images(str(path))
    import napari

    viewer = napari.Viewer(title=f"SEM classify: {path.name}")
    for layer in layers:
        add_layer(viewer, layer)
    scale_bar_of(viewer)
    dock_form(viewer)
    napari.run()


def dock_form(viewer: Viewer) -> None:
    """Dock the Classify form, and show the whole image in the room that it leaves."""
    from qtpy.QtCore import QTimer

    open_entry(viewer, WIDGET)
    # The canvas gets its new size from the event loop, after the window is laid out anew.
    QTimer.singleShot(0, viewer.reset_view)


def show_demo(viewer: Viewer, demo: Demo) -> None:
    """Add the demo's image, truth (hidden), class map and confidence (hidden), with a legend."""
    from napari_sem_classify.plugin.files.sample_data import cross_section_layers
    from napari_sem_classify.plugin.layers.legend import legend_of
    from napari_sem_classify.plugin.layers.made_layers import add_class_map, add_confidence
    from napari_sem_classify.plugin.layers.scale_bar import scale_bar_of

    image_layer, _truth = [add_layer(viewer, data) for data in cross_section_layers(demo.sample)]
    add_confidence(viewer, {(): demo.class_map}, image_layer)
    add_class_map(viewer, demo.class_map, image_layer)
    legend_of(viewer).update()
    scale_bar_of(viewer)
    viewer.layers.selection.active = image_layer
    viewer.reset_view()


def add_layer(viewer: Viewer, layer_data: tuple[Any, dict[str, Any], str]) -> Any:
    """Add a layer given as data, keywords and type."""
    from napari.layers import Layer

    return viewer.add_layer(Layer.create(*layer_data))
