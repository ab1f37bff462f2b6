"""The tiles of a batch: in each image those of the model's physical size, or one size for all."""

from __future__ import annotations

from magicgui import widgets
from psygnal import Signal

from napari_sem_classify.core.batch import GridWish
from napari_sem_classify.core.image import SemImage
from napari_sem_classify.plugin.forms.grid_form import GridForm
from napari_sem_classify.plugin.forms.layout import Form, explain


class TileForm:
    """Tile size and overlap for images of several scales.

    Attributes
    ----------
    changed : signal
    """

    changed = Signal()

    def __init__(self, form: Form) -> None:
        self.as_learned = widgets.CheckBox(value=True, text="tile size as the model learned")
        explain(
            self.as_learned,
            "Tile size as the model learned",
            "In each image, tiles that show as many µm as those the model learned from; where "
            "either has no scale, as many pixels",
        )
        form.wide(self.as_learned)
        self.grid = GridForm(form)
        self.grid.show.native.hide()
        self.as_learned.changed.connect(self._on_changed)
        self.grid.changed.connect(self.changed.emit)
        self.allow(True)

    @property
    def wish(self) -> GridWish:
        """What is asked of each image."""
        overlap = self.grid.overlap_share
        if self.as_learned.value:
            return GridWish(overlap=overlap)
        if self.grid.in_um:
            return GridWish(tile_um=float(self.grid.tile_um.value), overlap=overlap)
        return GridWish(tile_px=int(self.grid.tile_px.value), overlap=overlap)

    def suggest(self, tile_px: int) -> None:
        """Show the model's tile size."""
        self.grid.suggest(tile_px)

    def use_scale(self, image: SemImage | None) -> None:
        """Offer micrometres where there is an image with a scale."""
        self.grid.use_scale(image)

    def allow(self, free: bool) -> None:
        """Let the user change the tiles, or not while a batch runs."""
        self.as_learned.enabled = self.grid.overlap.enabled = free
        for control in (self.grid.tile_px, self.grid.tile_um, self.grid.unit):
            control.enabled = free and not self.as_learned.value

    def _on_changed(self) -> None:
        self.allow(True)
        self.changed.emit()
