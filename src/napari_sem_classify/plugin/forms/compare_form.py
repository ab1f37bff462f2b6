"""Comparing two class maps of one image, as two models see it."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMenu, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.plugin.forms.layout import Form, Note, button, pop_below
from napari_sem_classify.plugin.layers.difference_layer import (
    map_title,
    maps_to_compare,
    show_difference,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

ONE_MAP_ONLY = "There is one map of this image: classify it with another model to compare."


class CompareForm:
    """A button that offers the pairs of maps of the image in view, and a note on the outcome."""

    def __init__(self, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        self._viewer = viewer
        self._image_layer: Image | None = None
        self.button = button(
            "Compare maps ▾", "Show where two maps of this image differ, as a layer"
        )
        self.message = Note("Difference of the maps")
        self.menu = QMenu(owner)
        form.wide(self.button, self.message)
        self.button.native.setVisible(False)
        self.button.changed.connect(self._pop_menu)

    def follow(self, image_layer: Image | None) -> None:
        """Offer the maps of an image."""
        if image_layer is not self._image_layer:
            self._image_layer = image_layer
            self.message.say("")
        self.button.native.setVisible(bool(maps_to_compare(self._viewer, image_layer)))

    def offer(self) -> None:
        """Fill the menu with the pairs of maps that there are now."""
        self.menu.clear()
        maps = maps_to_compare(self._viewer, self._image_layer)
        for first, second in combinations(reversed(maps), 2):
            action = self.menu.addAction(f"{map_title(first)} with {map_title(second)}")
            action.triggered.connect(lambda _=False, a=first, b=second: self.compare(a, b))

    def compare(self, first: Labels, second: Labels) -> None:
        """Show where two maps differ, and tell how much that is."""
        if self._image_layer is None:
            return
        try:
            _, said = show_difference(self._viewer, self._image_layer, first, second)
        except SemClassifyError as error:
            self.message.fail(str(error))
            return
        self.message.say(said)

    def _pop_menu(self) -> None:
        self.offer()
        if self.menu.isEmpty():
            self.message.say(ONE_MAP_ONLY)
            return
        pop_below(self.menu, self.button.native)
