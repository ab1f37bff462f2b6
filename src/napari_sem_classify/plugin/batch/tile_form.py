"""The tiles of a batch: in each image those of the model's physical size, or one size for all."""

from __future__ import annotations

from dataclasses import replace

from psygnal import Signal

from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.plugin.forms.grid_form import GridForm
from napari_sem_classify.plugin.forms.layout import Form, check_box
from napari_sem_classify.plugin.forms.look_boxes import fine_map_box, int8_box


class TileForm:
    """Tile size and overlap for images of several scales, and how to look at them."""

    changed = Signal()

    def __init__(self, form: Form) -> None:
        self.as_learned = check_box(
            "tiles as the model learned",
            "In each image, tiles that show as many µm as those the model learned from; where "
            "either has no scale, as many pixels",
            value=True,
        )
        form.wide(self.as_learned)
        self.grid = GridForm(form)
        self.grid.show.native.parentWidget().hide()
        self.dense = fine_map_box()
        self.skip_flat = check_box(
            "leave out flat tiles", "Tiles in which hardly anything is seen; a void may be a class"
        )
        self.int8 = int8_box()
        self._choices = (self.dense, self.skip_flat, self.int8)
        form.wide(*self._choices)
        self.as_learned.changed.connect(self._on_changed)
        self.grid.changed.connect(self.changed.emit)
        for choice in self._choices:
            choice.changed.connect(self._on_changed)
        self.allow(True)

    @property
    def said(self) -> str:
        """The choices in short."""
        size = "tiles as learned" if self.as_learned.value else f"{int(self.grid.tile_px.value)} px"
        return f"{size}, fine map" if self.dense.value else size

    @property
    def options(self) -> ClassifyOptions:
        """What is asked of each image; a fine map is not made with 8-bit arithmetic."""
        dense, skip_flat = bool(self.dense.value), bool(self.skip_flat.value)
        overlap = 0.0 if dense else self.grid.overlap_share
        dtype = "int8" if self.int8.value and not dense else "auto"
        options = ClassifyOptions(overlap=overlap, dense=dense, skip_flat=skip_flat, dtype=dtype)
        if self.as_learned.value:
            return options
        if self.grid.in_um:
            return replace(options, tile_um=float(self.grid.tile_um.value))
        return replace(options, tile_px=int(self.grid.tile_px.value))

    def allow(self, free: bool) -> None:
        """Let the user change the tiles, or not while a batch runs."""
        self.as_learned.enabled = self.dense.enabled = self.skip_flat.enabled = free
        self.grid.overlap.enabled = self.int8.enabled = free and not self.dense.value
        for control in (self.grid.tile_px, self.grid.tile_um, self.grid.unit):
            control.enabled = free and not self.as_learned.value

    def _on_changed(self) -> None:
        self.allow(True)
        self.changed.emit()
