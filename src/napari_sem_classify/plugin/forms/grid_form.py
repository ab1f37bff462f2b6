"""How the tiles lie: their side in pixels or micrometres, and how much they overlap."""

from __future__ import annotations

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QLabel

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import MIN_TILE_PX, TileGrid, stride_for_overlap
from napari_sem_classify.plugin.app.text import length_text
from napari_sem_classify.plugin.forms.layout import (
    Form,
    Note,
    Spare,
    check_box,
    explain,
    narrow,
    slim,
)

PX, UM = "px", "µm"
MAX_TILE_PX = 16384
DEFAULT_TILE_PX = 128
LONGEST = "00000"


class GridForm:
    """Tile size; overlap and whether the grid is shown stand in `more`, where it is given."""

    changed = Signal()  # another tile size or overlap
    show_changed = Signal()  # the grid is to be shown or hidden

    def __init__(self, form: Form, *, more: Form | None = None, show: bool = False) -> None:
        self._pixel_nm: float | None = None
        pixels = widgets.SpinBox(value=DEFAULT_TILE_PX, min=MIN_TILE_PX, max=MAX_TILE_PX)
        self.tile_px = slim(pixels, LONGEST)
        self.tile_um = slim(widgets.FloatSpinBox(value=1.0, min=1e-4, max=1e6, step=0.1), LONGEST)
        self.tile_um.native.setDecimals(3)
        self.unit = narrow(widgets.ComboBox(choices=[PX], value=PX), least=2)
        self.equals = Spare()
        self.overlap = slim(widgets.SpinBox(value=0, min=0, max=90, step=10), "000")
        self.show = check_box("show grid", "Show the tiles as a layer over the image", value=show)
        side = "Side of a tile: the square that is classified as a whole"
        explain(self.tile_px, "Tile size in pixels", side + ", in pixels")
        explain(self.tile_um, "Tile size in micrometres", side + ", in micrometres")
        explain(self.unit, "Unit of the tile size", "Pixels, or micrometres where calibrated")
        explain(
            self.overlap,
            "Overlap",
            "Share of a tile's side that neighbours have in common; 50 % makes smoother maps "
            "and takes four times as long",
        )
        self.problem = Note("Problem with the tiles")
        self._rows = (
            form.row("Tile", self.tile_px, self.tile_um, self.unit, self.equals),
            (more or form).row("Overlap", self.overlap, QLabel("%")),
            (more or form).row("", self.show),
        )
        form.wide(self.problem)
        self.tile_um.native.hide()
        self.tile_px.changed.connect(self._on_px)
        self.tile_um.changed.connect(self._on_um)
        self.unit.changed.connect(self._on_unit)
        self.overlap.changed.connect(self.changed.emit)
        self.show.changed.connect(self.show_changed.emit)

    @property
    def in_um(self) -> bool:
        """Whether the tile size is given in micrometres."""
        return bool(self.unit.value == UM)

    @property
    def overlap_share(self) -> float:
        """Overlap, 0 to below 1."""
        return float(self.overlap.value) / 100.0

    def use_scale(self, image: SemImage | None) -> None:
        """Offer micrometres where the image is calibrated."""
        self._pixel_nm = None if image is None else image.pixel_size_nm
        with self.unit.changed.blocked():
            before = self.unit.value
            self.unit.choices = [PX] if self._pixel_nm is None else [PX, UM]
            self.unit.value = before if before in self.unit.choices else PX
        self._on_unit()

    def suggest(self, tile_px: int) -> None:
        """Set the tile size without saying that the user changed it."""
        with self.tile_px.changed.blocked():
            self.tile_px.value = max(MIN_TILE_PX, min(tile_px, MAX_TILE_PX))
        self._px_to_um()

    def grid_over(self, area: Area) -> TileGrid:
        """The tiles over an area; GridError where the wishes do not fit."""
        tile = int(self.tile_px.value)
        return TileGrid(area, tile, stride_for_overlap(tile, self.overlap_share))

    def set_visible(self, visible: bool) -> None:
        """Show the controls, or hide them where the tiles are laid elsewhere."""
        for row in self._rows:
            row.setVisible(visible)

    def set_enabled(self, enabled: bool) -> None:
        """Let the tile size be changed, or not where a model says it."""
        for control in (self.tile_px, self.tile_um, self.unit):
            control.enabled = enabled

    def _on_px(self) -> None:
        self._px_to_um()
        self.changed.emit()

    def _on_um(self) -> None:
        if self._pixel_nm is None or not self.in_um:
            return
        tile = round(float(self.tile_um.value) * 1000.0 / self._pixel_nm)
        with self.tile_px.changed.blocked():
            self.tile_px.value = max(MIN_TILE_PX, min(tile, MAX_TILE_PX))
        self._tell_other_unit()
        self.changed.emit()

    def _on_unit(self) -> None:
        self.tile_px.native.setVisible(not self.in_um)
        self.tile_um.native.setVisible(self.in_um)
        self._px_to_um()

    def _px_to_um(self) -> None:
        if self._pixel_nm is not None:
            with self.tile_um.changed.blocked():
                self.tile_um.value = int(self.tile_px.value) * self._pixel_nm / 1000.0
        self._tell_other_unit()

    def _tell_other_unit(self) -> None:
        tile = int(self.tile_px.value)
        if self.in_um:
            self.equals.setText(f"= {tile} px")
        elif self._pixel_nm is not None:
            self.equals.setText(f"= {length_text(tile * self._pixel_nm)}")
        else:
            self.equals.clear()
