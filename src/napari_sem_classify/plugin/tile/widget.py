"""The *Tile image* widget: lays tiles, leaves some out, and writes them as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_rules import TileChecks, covered_area
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.dock_frame import DockFrame
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot, SettleTimer
from napari_sem_classify.plugin.app.session import GridPlan
from napari_sem_classify.plugin.app.text import area_text, count_text, percent_text
from napari_sem_classify.plugin.forms.grid_form import GridForm
from napari_sem_classify.plugin.forms.layout import (
    Form,
    Note,
    button,
    check_box,
    explain,
    follow_data,
)
from napari_sem_classify.plugin.forms.specimen_header import SpecimenHeader
from napari_sem_classify.plugin.layers import grid_layers
from napari_sem_classify.plugin.layers.made_layers import remove_layer
from napari_sem_classify.plugin.tile.leave_out_form import HandPicked, LeaveOutForm
from napari_sem_classify.plugin.tile.write_form import WriteForm

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_sem_classify.core.image.sem_image import SemImage

SETTLE_MS = 120
LAY, TAKE_AWAY = "Lay tiles", "Take tiles away"


class TileWidget(DockWidget):
    """Dock widget that lays tiles over an image."""

    TITLE = "SEM Tile"

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._layer: Image | None = None
        self._grid: TileGrid | None = None
        self._picked: HandPicked | None = None
        self._checks: TileChecks | None = None
        self._checking = JobSlot(self)
        self._laid = False
        self._showing = False
        self._area: Shapes | None = None
        self._clickable: Labels | None = None
        self._build()
        self._settle = SettleTimer(self, SETTLE_MS, self._update)
        self._connect()
        self._on_image()

    def _build(self) -> None:
        self.setAccessibleName("Tile image")
        self.header = SpecimenHeader(self._viewer, self)
        self.image_form = self.header.image_form
        self.frame = DockFrame(self, self.header)
        form, foot = Form(), Form()
        self.grid_form = GridForm(form, show=True)
        self.in_area = check_box(
            "only inside a rectangle",
            "Lay tiles in a rectangle that you can move and resize, not over the whole specimen",
        )
        form.row("Area", self.in_area)
        self.leave_out = LeaveOutForm(self._viewer, form, self)
        self.lay = button(LAY, "Show the tiles over the image; Classify will use them", "Lay tiles")
        self.count = Note("Number of tiles and area covered")
        self.problem = Note("Problem with the tiles")
        foot.wide(self.problem, self.count, self.lay)
        self.write_form = WriteForm(form, foot, self, self._tiles)
        form.stretch()
        self.frame.add_page("Tiles", "Lay tiles over the image, and write them", form, foot)

    def _connect(self) -> None:
        self.image_form.changed.connect(self._on_image)
        self.grid_form.changed.connect(self._later)
        self.grid_form.show_changed.connect(self._on_show)
        self.in_area.changed.connect(self._on_in_area)
        self.leave_out.changed.connect(self._later)
        self.lay.changed.connect(self._on_lay)
        self._viewer.layers.events.removed.connect(self._on_removed)

    # ------------------------------------------------------------------ laying

    @property
    def plan(self) -> GridPlan | None:
        """The tiles laid over the chosen image."""
        return None if self._layer is None else self._session.plans.get(self._layer)

    def lay_tiles(self) -> None:
        """Lay the tiles as a layer, and follow the form from here on."""
        if self.image_form.image is None:
            return
        self._laid = True
        self._update()

    def take_away(self) -> None:
        """Take the tiles away again."""
        self._laid = False
        if self._layer is not None:
            remove_layer(self._viewer, grid_layers.grid_layer_of(self._viewer, self._layer))
            remove_layer(self._viewer, grid_layers.area_layer_of(self._viewer, self._layer))
            self._forget(self._layer)
        self._tell()

    def _on_lay(self) -> None:
        if self._laid:
            self.take_away()
        else:
            self.lay_tiles()

    def _on_image(self) -> None:
        layer, image = self.image_form.layer, self.image_form.image
        self.grid_form.use_scale(image)
        if layer is not self._layer:
            self._checking.abandon()
            self._layer, self._grid, self._picked = layer, None, None
            plan = self.plan
            self._laid = plan is not None
            if plan is not None:
                self._take_over(plan)
            with self.in_area.changed.blocked():
                self.in_area.value = (
                    layer is not None and grid_layers.area_layer_of(self._viewer, layer) is not None
                )
        self._follow_area()
        self.lay.enabled = image is not None
        if self._laid and image is not None:
            self._later()
        self._tell()

    def _take_over(self, plan: GridPlan) -> None:
        """Show the tile size of a grid that was laid before."""
        self.grid_form.suggest(plan.grid.tile)
        with self.grid_form.overlap.changed.blocked():
            self.grid_form.overlap.value = round(100 * (1.0 - plan.grid.stride / plan.grid.tile))

    def _later(self) -> None:
        """Update once the user has stopped dragging or typing for a moment."""
        if self._laid:
            self._settle.start()

    def _update(self) -> None:
        layer, image = self._layer, self.image_form.image
        if not self._laid or layer is None or image is None:
            return
        self.problem.say("")
        try:
            grid = self.grid_form.grid_over(self._area_to_tile(layer, image.area))
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return
        if grid != self._grid:
            self._checking.abandon()
            self._grid, self._checks = grid, None
            self._picked = HandPicked.none(grid.tile_shape)
        if self.leave_out.needs_pixels and self._checks is None and not self._checking.running:
            self._check(grid)
        self._show()

    def _area_to_tile(self, layer: Image, whole: Area) -> Area:
        if not self.in_area.value:
            return whole
        drawn = grid_layers.area_layer_of(self._viewer, layer)
        if drawn is None:
            high, wide = whole.height // 4, whole.width // 4
            middle = Area(
                whole.top + high, whole.bottom - high, whole.left + wide, whole.right - wide
            )
            drawn = grid_layers.show_area(self._viewer, layer, middle)
            self._follow_area()
        return grid_layers.area_in(drawn, whole)

    def _check(self, grid: TileGrid) -> None:
        image = self.image_form.image
        if image is None:
            return
        plane = (0,) * len(image.leading_shape)

        def task(context: JobContext) -> TileChecks:
            from napari_sem_classify.core.tiles.tile_rules import check_tiles

            return check_tiles(image, grid, plane=plane, job=context)

        def done(checks: TileChecks) -> None:
            self._checks = checks
            self._show()

        def failed(sentence: str) -> None:
            self.problem.fail(sentence)
            self._tell()

        self._checking.start(task, doing="looking at the tiles", on_done=done, on_failed=failed)

    def _show(self) -> None:
        layer, grid, picked = self._layer, self._grid, self._picked
        if layer is None or grid is None or picked is None or layer not in self._viewer.layers:
            return
        inside = self.leave_out.area.inside(grid, layer)
        states = self.leave_out.states(grid_layers.chequerboard(grid), self._checks, inside, picked)
        self._showing = True
        shown = grid_layers.show_grid(self._viewer, layer, grid, states)
        self._showing = False
        if shown is not self._clickable:
            self._clickable = shown
            grid_layers.attach_click(shown, self._toggle)
        shown.visible = bool(self.grid_form.show.value)
        self._session.plans[layer] = GridPlan(grid, grid_layers.is_kept(states))
        self._session.plan_changed.emit(layer)
        self._tell()

    def _toggle(self, row: int, col: int) -> None:
        plan = self.plan
        if plan is not None and self._picked is not None:
            self._picked.toggle(row, col, bool(plan.keep[row, col]))
            self._show()

    def _tell(self) -> None:
        plan, image = self.plan, self.image_form.image
        self.lay.text = TAKE_AWAY if self._laid else LAY
        explain(self.lay, self.lay.text, "Tiles as a layer over the image; Classify uses them")
        self.write_form.refresh()
        if plan is None or image is None:
            self.count.say("")
            return
        grid, kept = plan.grid, int(plan.keep.sum())
        covered = covered_area(grid, plan.keep)
        whole = image.area.height * image.area.width
        words = [
            f"{count_text(kept)} of {count_text(grid.n_tiles)} tiles",
            f"{percent_text(covered / whole)} of the specimen",
        ]
        if image.pixel_size_nm is not None:
            words.append(area_text(covered * (image.pixel_size_nm / 1000.0) ** 2))
        else:
            words.append(f"{count_text(covered)} px (not calibrated)")
        if self._checking.running:
            words.append("looking at the tiles…")
        self.count.say(" · ".join(words))

    # ------------------------------------------------------------------ layers

    def _on_show(self) -> None:
        shown = (
            None if self._layer is None else grid_layers.grid_layer_of(self._viewer, self._layer)
        )
        if shown is not None and self._laid:
            shown.visible = bool(self.grid_form.show.value)

    def _on_in_area(self) -> None:
        if self._layer is not None and not self.in_area.value:
            remove_layer(self._viewer, grid_layers.area_layer_of(self._viewer, self._layer))
        if self.in_area.value and not self._laid:
            self.lay_tiles()
        self._update()

    def _follow_area(self) -> None:
        area = None if self._layer is None else grid_layers.area_layer_of(self._viewer, self._layer)
        follow_data(self._area, area, self._on_shapes)
        self._area = area

    def _on_shapes(self, _event: Any = None) -> None:
        self._later()

    def _on_removed(self, event: Any) -> None:
        if event.value is self._area:
            self._area = None
            with self.in_area.changed.blocked():
                self.in_area.value = False
            self._later()
        elif event.value is self._clickable and self._layer is not None and not self._showing:
            # Deleted by the user, not replaced by a grid of another shape.
            self._laid = False
            self._forget(self._layer)
            self._tell()

    def _forget(self, layer: Image) -> None:
        self._grid = self._picked = self._checks = self._clickable = None
        self._session.plans.pop(layer, None)
        self._session.plan_changed.emit(layer)

    def _tiles(self) -> tuple[SemImage, GridPlan] | None:
        """What is to be written."""
        image, plan = self.image_form.image, self.plan
        return None if image is None or plan is None else (image, plan)
