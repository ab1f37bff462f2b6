"""The *Classify* widget: image and model in, class map and area fractions out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions, GridChoice
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.model.transfer import judgement_in, least
from napari_sem_classify.core.tiles.dense_blocks import DENSE_COST
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.dock_frame import DockFrame
from napari_sem_classify.plugin.app.session import GridPlan
from napari_sem_classify.plugin.app.text import shortened
from napari_sem_classify.plugin.classify.estimate_form import AskedRun, EstimateForm
from napari_sem_classify.plugin.classify.judge_form import JudgeForm
from napari_sem_classify.plugin.classify.map_run import MapRun, MapWish
from napari_sem_classify.plugin.classify.outline_form import OutlineForm
from napari_sem_classify.plugin.classify.result_form import ResultForm
from napari_sem_classify.plugin.classify.run import ClassifyResult
from napari_sem_classify.plugin.classify.try_sample import TrySample
from napari_sem_classify.plugin.forms.advanced_fold import AdvancedFold
from napari_sem_classify.plugin.forms.area_form import AreaForm
from napari_sem_classify.plugin.forms.compare_form import CompareForm
from napari_sem_classify.plugin.forms.device_form import DeviceForm
from napari_sem_classify.plugin.forms.grid_form import GridForm
from napari_sem_classify.plugin.forms.layout import Form, Note, check_box, explain, narrow
from napari_sem_classify.plugin.forms.look_boxes import fine_map_box, int8_box
from napari_sem_classify.plugin.forms.model_form import ModelForm
from napari_sem_classify.plugin.forms.specimen_header import SpecimenHeader
from napari_sem_classify.plugin.layers.grid_layers import grid_layer_of, show_grid
from napari_sem_classify.plugin.layers.layer_image import plane_at
from napari_sem_classify.plugin.layers.made_layers import CLASSES, made_from, remove_layer
from napari_sem_classify.plugin.layers.saved_maps import follow_maps
from napari_sem_classify.plugin.measure.widget import MeasurePage

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

MAP, MEASURE, EXPORT = "Map", "Measure", "Export"
THIS_PLANE, ALL_PLANES = "plane in view", "all planes"


class ClassifyWidget(DockWidget):
    """Dock widget that classifies the tiles of an image."""

    TITLE = "SEM Classify"

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._shown: Labels | None = None
        self._suggested_for: object = None
        follow_maps(self._viewer)
        self._build()
        self._connect()
        self._on_image()

    def _build(self) -> None:
        self.setAccessibleName("Classify")
        self.header = SpecimenHeader(self._viewer, self)
        self.image_form = self.header.image_form
        self.frame = DockFrame(self, self.header)
        form, foot = Form(), Form()
        self._build_map(form, foot)
        form.stretch()
        self.measure = MeasurePage(self._viewer, self, lambda: self.frame.turn_to(MAP))
        pages = (
            (MAP, "Classify the tiles of the image", form, foot),
            (MEASURE, "Area fractions, their review, regions", self.measure, self.measure.foot),
            (EXPORT, "Write tables, maps, figures, a report", *self.measure.export_parts),
        )
        for page in pages:
            self.frame.add_page(*page)

    def _build_map(self, form: Form, foot: Form) -> None:
        self.model_form = ModelForm(form, self, session=self._session)
        self.scale_note = Note("Scale of model and image")
        self.use_plan = check_box(
            "use the tiles of Tile image", "Classify the tiles laid there", value=True
        )
        form.wide(self.scale_note)
        self.judge_form = JudgeForm(form, self)
        form.wide(self.use_plan)
        self.planes = narrow(widgets.ComboBox(choices=[THIS_PLANE, ALL_PLANES], value=ALL_PLANES))
        explain(self.planes, "Planes", "Which planes of the stack to classify")
        self._planes_row = form.row("Planes", self.planes)
        self.advanced = AdvancedFold(form)
        more = self.advanced.body
        self.grid_form = GridForm(self.header.body, more=more)
        self.dense = fine_map_box()
        more.wide(self.dense)
        self.area_form = AreaForm(self._viewer, more, self)
        self.device_form = DeviceForm(more, self._session, self)
        self.int8 = int8_box()
        more.wide(self.int8)
        self.int8.native.setVisible(False)
        self.result_form = ResultForm(form)
        self.outline_form = OutlineForm(self._viewer, form, self)
        self.compare_form = CompareForm(self._viewer, form, self)
        self.estimate = EstimateForm(foot, self)
        self.map_run = MapRun(self._viewer, self, foot, self.result_form)
        self.run_form = self.map_run.form

    def _connect(self) -> None:
        self.image_form.changed.connect(self._on_image)
        # After the line above: the model's tiles lie on the sample before it is classified.
        self.try_sample = TrySample(self._viewer, self.image_form, self.run_form, self.classify)
        self.try_sample.button.changed.connect(lambda: self.frame.turn_to(MAP))
        self.model_form.changed.connect(self._refresh)
        self.device_form.changed.connect(self._on_device)
        for each in (self.grid_form, self.use_plan, self.planes, self.dense, self.area_form):
            each.changed.connect(self._on_choice)
        self.grid_form.show_changed.connect(self._show_grid)
        self.run_form.started.connect(self.classify)
        self.map_run.done.connect(self._done)
        self.map_run.ended.connect(self._ended)
        self._session.plan_changed.connect(self._on_plan)
        self._session.maps_changed.connect(self._show_result)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.dims.events.current_step.connect(self._show_result)

    def at(self, page: str) -> QWidget:
        """Turn to a page; gives what a script may want to work with."""
        if page:
            self.frame.turn_to(page)
        return self.measure if page == MEASURE else self

    def stop(self) -> None:
        """Let go of all work under way and of the viewer."""
        self.map_run.stop()
        self.try_sample.forget()
        self.outline_form.stop()
        self.measure.stop()
        super().stop()

    # ------------------------------------------------------------------ what will be done

    def _on_image(self) -> None:
        if not self.busy:
            self.run_form.message.say("")
        self._show_result()
        self._refresh()

    def _on_plan(self, layer: Any) -> None:
        if layer is self.image_form.layer:
            self._refresh()

    def _on_choice(self) -> None:
        self.map_run.forget()
        self._refresh_tiles()

    def _on_device(self) -> None:
        if self.device_form.problem:
            self.model_form.problem.fail(self.device_form.problem)
        self._refresh_tiles()

    def _refresh(self) -> None:
        """Bring everything below image and model up to date."""
        self.map_run.forget()
        card = self.model_form.card
        if self.image_form.image is not None and card is not None and not self.busy:
            self.image_form.read_for(card.pixel_size_nm)
        image = self.image_form.image
        self.grid_form.use_scale(image)
        self._planes_row.setVisible(image is not None and bool(image.leading_shape))
        self.use_plan.native.setVisible(self._laid is not None)
        scale = None if image is None else (image.level, image.pixel_size_nm)
        chosen = (self.image_form.layer, self.model_form.entry, scale)
        if image is not None and card is not None and chosen != self._suggested_for:
            self._suggested_for = chosen
            try:
                self.grid_form.suggest(ClassifyOptions().grid_for(image, card).grid.tile)
            except SemClassifyError:
                self.grid_form.suggest(card.tile_px)
        self._refresh_tiles()

    def _refresh_tiles(self) -> None:
        """Bring number of tiles, time, warnings and the preview up to date."""
        self.grid_form.set_visible(self._plan is None)
        if self._laid is not None:
            self.use_plan.text = f"use the {self._laid.grid.tile} px tiles of Tile image"
        self.grid_form.problem.say("")
        self.scale_note.say("")
        choice = None
        try:
            choice = self._choice()
        except SemClassifyError as error:
            self.grid_form.problem.fail(str(error))
            self.header.open = True
        if choice is not None and choice.scale_warning:
            self.scale_note.warn(choice.note[:1].upper() + choice.note[1:] + ".")
        entry = self.model_form.entry
        if choice is not None and entry is not None and not self.busy:
            self.device_form.want(entry, choice.grid.tile)
        self._tell_estimate(choice)
        self._tell_advanced()
        self._judge(choice)
        self._show_grid()

    @property
    def _laid(self) -> GridPlan | None:
        """Tiles that Tile image laid over the chosen image."""
        layer = self.image_form.layer
        return None if layer is None else self._session.plans.get(layer)

    @property
    def _plan(self) -> GridPlan | None:
        """Tiles of Tile image, where they are to be used."""
        return self._laid if self.use_plan.value else None

    def _choice(self) -> GridChoice | None:
        image, card = self.image_form.image, self.model_form.card
        if image is None or card is None:
            return None
        choice = self._options().grid_for(image, card)
        return choice if self._plan is None else replace(choice, grid=self._plan.grid)

    def _keep(self, grid: TileGrid) -> NDArray[np.bool_] | None:
        """Tiles that are not left out; None for all."""
        layer, keep = self.image_form.layer, None if self._plan is None else self._plan.keep
        inside = None if layer is None else self.area_form.inside(grid, layer)
        if keep is None or inside is None:
            return inside if keep is None else keep
        return np.asarray(keep & inside)

    def _options(self) -> ClassifyOptions:
        device = self.device_form.chosen
        options = ClassifyOptions(
            tile_px=int(self.grid_form.tile_px.value),
            overlap=self.grid_form.overlap_share,
            dense=bool(self.dense.value),
            device=device.id,
            backend=device.backend,
            dtype="int8" if self.int8.enabled and self.int8.value else "auto",
        )
        if self._plan is None:
            return options
        grid = self._plan.grid
        return replace(options, tile_px=grid.tile, stride_px=grid.stride)

    def _planes(self) -> tuple[tuple[int, ...], ...]:
        image = self.image_form.image
        if image is None:
            return ()
        if image.leading_shape and self.planes.value == THIS_PLANE:
            return (self._plane_in_view(),)
        return tuple(image.planes())

    def _plane_in_view(self) -> tuple[int, ...]:
        layer, image = self.image_form.layer, self.image_form.image
        if layer is None or image is None:
            return ()
        return plane_at(layer, self._viewer.dims.point, image.leading_shape)

    def _tell_estimate(self, choice: GridChoice | None) -> None:
        if choice is None:
            self.estimate.clear()
            self.run_form.allow(False, "Choose an image and a model first")
            return
        keep = self._keep(choice.grid)
        tiles = choice.grid.n_tiles if keep is None else int(keep.sum())
        tiles *= len(self._planes())
        entry = self.model_form.entry
        ready = self.device_form.ready(entry)
        openvino = ready is not None and ready.engine.backend == "openvino"  # alone has 8 bits
        self.int8.native.setVisible(openvino)
        self.int8.enabled = openvino and not self.dense.value
        cost = float(tiles)
        if self.dense.value:
            cost *= DENSE_COST * (choice.grid.stride / choice.grid.tile) ** 2
        image, planes, asked = self.image_form.image, self._planes(), None
        if ready is not None and image is not None and planes:
            first = PlaneTiles(image, choice.grid, keep, planes[0])
            asked = AskedRun(first, len(planes), ready, self._options())
        self.estimate.tell(tiles, self.device_form.expected(entry, cost), asked)
        self.run_form.allow(tiles > 0, "All tiles are left out: none lies in the area")

    def _tell_advanced(self) -> None:
        words = ["fine map"] if self.dense.value else []
        if self.area_form.layer is not None:
            words.append(f"inside {shortened(self.area_form.layer.name, 16)}")
        if self._plan is None and not self.dense.value:
            words.append(f"overlap {int(self.grid_form.overlap.value)} %")
        words.append(self.device_form.chosen.title)
        self.advanced.tell(", ".join(words))

    def _judge(self, choice: GridChoice | None) -> None:
        """Ask whether the model holds on the image, by the first plane there is to classify."""
        image, entry = self.image_form.image, self.model_form.entry
        if self.busy:
            return
        if choice is None or image is None or entry is None:
            self.judge_form.forget()
            return
        tiles = PlaneTiles(image, choice.grid, self._keep(choice.grid), self._planes()[0])
        ready = self.device_form.ready(entry)
        self.judge_form.ask(self._question(choice.grid), tiles, ready, bool(self.dense.value))

    def _question(self, grid: TileGrid) -> tuple[Any, ...]:
        image, entry = self.image_form.image, self.model_form.entry
        keep = self._keep(grid)
        left = None if keep is None else keep.tobytes()
        return id(image), entry, grid, left, self._planes()[:1], bool(self.dense.value)

    def _show_grid(self) -> None:
        layer = self.image_form.layer
        # A grid with a plan behind it belongs to Tile image.
        if layer is None or self._laid is not None:
            return
        if not self.grid_form.show.value:
            remove_layer(self._viewer, grid_layer_of(self._viewer, layer))
            return
        try:
            choice = self._choice()
        except SemClassifyError:
            return
        if choice is not None:
            show_grid(self._viewer, layer, choice.grid)

    # ------------------------------------------------------------------ running

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self.map_run.running

    def classify(self) -> None:
        """Classify the chosen image; the map appears as it fills."""
        layer, image, entry = self.image_form.layer, self.image_form.image, self.model_form.entry
        if self.busy or layer is None or image is None or entry is None:
            return
        try:
            choice = self._choice()
        except SemClassifyError as error:
            self.run_form.message.fail(str(error))
            return
        if choice is None:
            return
        self.device_form.stop()
        self.judge_form.forget()
        self.image_form.follow = False
        chosen = ChosenTiles(choice.grid, self._keep(choice.grid), self._planes())
        ready = self.device_form.ready(entry)
        self.map_run.start(MapWish(layer, image, entry, chosen, self._options(), ready))

    def _done(self, wish: MapWish, result: ClassifyResult) -> None:
        self.device_form.remember(wish.entry, result.ready)
        self.grid_form.show.value = False
        self.estimate.forget()  # the cache knows more now
        maps = [each.class_map for each in result.maps.values()]
        judged = least([judgement_in(each.record) for each in maps])
        self.judge_form.show(self._question(maps[0].grid), judged)

    def _ended(self) -> None:
        self.image_form.follow = True
        self._show_result()
        self._refresh_tiles()

    def _on_removed(self, event: Any) -> None:
        self.map_run.on_removed(event.value)
        if event.value is self._shown:
            self._show_result()

    def _show_result(self, _event: Any = None) -> None:
        """Show the latest map of the chosen image in the table, or nothing."""
        layer = self.image_form.layer
        if self.busy:
            return
        made = made_from(self._viewer, layer, CLASSES)
        made = [each for each in made if each in self._session.maps]
        self._shown = made[-1] if made else None
        maps = {} if self._shown is None else self._session.maps[self._shown]
        self.result_form.show_maps(maps, self._plane_in_view())
        seen = maps.get(self._plane_in_view())
        self.outline_form.follow(layer, self.image_form.image, seen)
        self.compare_form.follow(layer)
