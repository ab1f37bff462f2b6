"""Which resolution of a multiscale image is read, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui import widgets

from napari_sem_classify.core.sem_io import Level, nearest_level
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.app.text import count_text, length_text
from napari_sem_classify.plugin.forms.layout import Form, explain, narrow
from napari_sem_classify.plugin.layers.image_corrections import Corrections
from napari_sem_classify.plugin.layers.layer_image import layer_levels, noted_level, notes_of
from napari_sem_classify.plugin.layers.made_layers import AREA, CLASSES, CONFIDENCE, GRID, kind_of
from napari_sem_classify.plugin.layers.specimen_layer import SCALE_BAR, SPECIMEN

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

BY_USER = "level_by_user"
# Layers that mean the same whatever level is read.
INDEPENDENT = (CLASSES, CONFIDENCE, GRID, AREA, SPECIMEN, SCALE_BAR)
WHY = "Resolution that is read: tile sizes in px are pixels of it"
LOCKED = "Fixed by the annotations on this image, which are in pixels of this resolution"


class LevelForm:
    """Choice of the level, shown for multiscale layers only."""

    def __init__(self, viewer: ViewerModel, form: Form, corrections: Corrections) -> None:
        self._viewer = viewer
        self._session = session_of(viewer)
        self._corrections = corrections
        self._layer: Image | None = None
        self.combo = narrow(widgets.ComboBox(choices=[("", 0)]))
        explain(self.combo, "Resolution", WHY)
        self._row = form.row("Reads", self.combo)
        self._row.setVisible(False)
        self.combo.changed.connect(self._on_combo)

    def use(self, layer: Image | None) -> None:
        """Offer the levels of a layer, None for no layer."""
        self._layer = layer
        levels = () if layer is None else layer_levels(layer)
        self._row.setVisible(len(levels) > 1)
        if layer is None or len(levels) <= 1:
            return
        with self.combo.changed.blocked():
            self.combo.choices = [
                (level_text(level, number), number) for number, level in enumerate(levels)
            ]
            self.combo.value = min(noted_level(layer), len(levels) - 1)
        locked = self._annotated(layer)
        self.combo.enabled = not locked
        explain(self.combo, "Resolution", LOCKED if locked else WHY)

    def prefer(self, wanted_nm: float | None) -> None:
        """Read the level nearest to a model's scale, unless the user or other work fixed it."""
        layer = self._layer
        if layer is None or wanted_nm is None or not layer.multiscale:
            return
        if notes_of(layer).get(BY_USER) or layer in self._session.plans or self._annotated(layer):
            return
        self._corrections.set_level(layer, nearest_level(layer_levels(layer), wanted_nm))

    def _on_combo(self) -> None:
        if self._layer is not None:
            self._corrections.set_level(self._layer, int(self.combo.value), **{BY_USER: True})

    def _annotated(self, layer: Image) -> bool:
        return any(
            self._session.source_of(made) is layer and kind_of(made) not in INDEPENDENT
            for made in self._viewer.layers
        )


def level_text(level: Level, number: int) -> str:
    """A level as one line: "1: 2 048 × 1 888 px · 24.6 nm/px"."""
    rows, cols = level.shape
    size = "" if level.pixel_size_nm is None else f" · {length_text(level.pixel_size_nm)}/px"
    return f"{number}: {count_text(cols)} × {count_text(rows)} px{size}"
