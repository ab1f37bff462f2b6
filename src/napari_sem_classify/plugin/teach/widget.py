"""The *Teach* widget: a few painted tiles, a new map at once, and an honest score."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui import widgets
from qtpy.QtCore import QTimer

from napari_sem_classify.core.annotate.edits import with_drawn
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.docks import Entry, open_entry
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.app.text import count_text, duration_text
from napari_sem_classify.plugin.forms.compare_form import CompareForm
from napari_sem_classify.plugin.forms.grid_form import GridForm
from napari_sem_classify.plugin.forms.image_form import ImageForm
from napari_sem_classify.plugin.forms.image_table import ImageTable, image_rows
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, fill
from napari_sem_classify.plugin.forms.run_form import RunForm
from napari_sem_classify.plugin.layers.annotation_layer import MAX_KEYS, KeyAction
from napari_sem_classify.plugin.layers.grid_layers import grid_layer_of, show_grid
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import remove_layer
from napari_sem_classify.plugin.layers.saved_maps import follow_maps
from napari_sem_classify.plugin.teach.class_table import ClassTable
from napari_sem_classify.plugin.teach.correction_list import CorrectionList
from napari_sem_classify.plugin.teach.guide import Guide
from napari_sem_classify.plugin.teach.keep_form import KeepForm
from napari_sem_classify.plugin.teach.score_form import ScoreForm
from napari_sem_classify.plugin.teach.source_form import PAINT_HINT, SourceForm
from napari_sem_classify.plugin.teach.sources import tiles_of_layer
from napari_sem_classify.plugin.teach.teacher import Teacher
from napari_sem_classify.plugin.teach.way_form import WayForm

if TYPE_CHECKING:
    from napari.viewer import Viewer

SMALL_IMAGE_PX, SMALL_TILE_PX = 2048, 64
SETTLE_MS = 300
FIRST_HINT = "Add the classes that you want to tell apart: press +."
STACK_NOTE = "Plane {plane} is annotated; the slider leads to the others. All teach one model."
SECOND_HINT = "Add a second class: a model tells at least two apart."


class TeachWidget(DockWidget):
    """Dock widget that teaches a model from annotated tiles."""

    TITLE = "SEM Teach"

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.teacher = Teacher(self._viewer, self)
        self._suggested_for: object = None
        self._tile_chosen = False
        self._annotated = 0  # classes with tiles, as last shown
        # What a layer said of each image and plane, to take it back.
        self._drawn: dict[str, dict[Any, Any]] = {}
        follow_maps(self._viewer)
        self._build()
        self._settle = SettleTimer(self, SETTLE_MS, self._take_drawn)
        self.teacher.keys = self._keys()
        self._connect()
        self._on_image()

    def _build(self) -> None:
        self.setAccessibleName("Teach")
        form = Form(self)
        self.image_form = ImageForm(self._viewer, form, self)
        self._rest = Form(margin=0)
        form.wide(self._rest)
        form.stretch()
        self._build_rest(self._rest)
        fill(self, form)

    def _build_rest(self, form: Form) -> None:
        book = self.teacher.book
        self.stack_note = Note("About the stack")
        self.grid_form = GridForm(form)
        # While teaching, tiles lie side by side; Classify overlaps them with the saved model.
        self.grid_form.overlap.native.parentWidget().setVisible(False)
        form.wide(self.stack_note)
        self.class_table = ClassTable(book, form, self)
        self.source_form = SourceForm(self._viewer, form)
        self.show_grid = widgets.CheckBox(value=False, text="show grid")
        explain(self.show_grid, "Show grid", "Show the tiles as a layer over the image")
        self.live = widgets.CheckBox(value=True, text="live")
        explain(self.live, "Live", "Learn and redraw the map after each change")
        self.way_form = WayForm(self.teacher, self._session, form, self)
        form.row("Map", self.live, self.show_grid)
        self.run_form = RunForm(form, "Update map", "Learn from the annotations, redraw the map")
        self.correction_list = CorrectionList(self.teacher, self._viewer, form)
        self.guide = Guide(self.teacher, self._viewer, form, self)
        self.score_form = ScoreForm(form)
        self.images = ImageTable(self.score_form.note)
        form.wide(self.images)
        self.compare_form = CompareForm(self._viewer, form, self)
        self.keep_form = KeepForm(self.teacher, self.source_form, form, self)
        self.fine_tune = button("Fine-tune…", "Train the network itself on the annotated tiles")
        form.wide(self.fine_tune)

    def _connect(self) -> None:
        self.image_form.changed.connect(self._on_image)
        self.grid_form.changed.connect(self._on_tile_size)
        self.show_grid.changed.connect(self._show_grid)
        self.class_table.chosen.connect(self._on_class)
        self.images.said.connect(self._on_specimen)
        self.source_form.changed.connect(self._on_source)
        self.live.changed.connect(self._on_live)
        self.run_form.started.connect(self.teacher.learner.update)
        self.run_form.cancelled.connect(self.teacher.learner.cancel)
        self.score_form.picked.connect(self.guide.visit_confused)
        self.fine_tune.changed.connect(self._open_fine_tune)
        self.teacher.changed.connect(self._refresh)
        self.teacher.annotated.connect(self._on_annotated)
        self.teacher.opened.connect(self._on_opened)
        self.teacher.learner.progressed.connect(self._on_progress)
        self._viewer.dims.events.point.connect(self._on_slider)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.layers.events.inserted.connect(self._on_inserted)
        self._session.plan_changed.connect(self._on_plan)
        self._session.maps_changed.connect(self._on_maps)

    def _keys(self) -> dict[str, KeyAction]:
        keys: dict[str, KeyAction] = {
            str(number + 1): partial(self._on_key, number) for number in range(MAX_KEYS)
        }
        return keys | {"Control-Z": self._undo, "Control-Shift-Z": self._redo}

    # ------------------------------------------------------------------ what the user does

    def _on_image(self) -> None:
        layer, image = self.image_form.layer, self.image_form.image
        self.grid_form.use_scale(image)
        if image is not None and layer is not self._suggested_for:
            self._suggested_for, self._tile_chosen = layer, False
            self.grid_form.suggest(self._usual_tile())
        self._settle.settle()
        self.guide.stop()
        self._rest.setVisible(layer is not None)
        self.teacher.use(layer, image, int(self.grid_form.tile_px.value))
        self._show_grid()
        self._tell_plane()

    def _on_slider(self) -> None:
        """Another plane of the stack is shown: annotate it, and draw its map."""
        if self.teacher.layer is None or not self.teacher.plane:
            return
        self._settle.settle()  # what was just drawn belongs to the plane that was left
        if self.teacher.turn():
            self.guide.stop()
            self._tell_plane()
            source, layer = self.source_form.layer, self.teacher.layer
            if source is not None and source.ndim >= layer.ndim:
                self._on_source()  # it says something of its own of each plane

    def _tell_plane(self) -> None:
        plane = self.teacher.plane
        named = ", ".join(map(str, plane))
        self.stack_note.say(STACK_NOTE.format(plane=named) if plane else "")

    def _usual_tile(self) -> int:
        """Tiles of Tile image, of the annotations, of a map that is there, or a guess."""
        layer, image, teacher = self.image_form.layer, self.image_form.image, self.teacher
        if layer is None or image is None:
            return SMALL_TILE_PX
        plan = self._session.plans.get(layer)
        if plan is not None:
            return plan.grid.tile
        here = teacher.here if teacher.layer is layer else None
        images = [here] if here is not None and here.marks else teacher.book.annotations.images
        sizes = [place[2] for each in images for place in each.marks]
        if sizes:
            return max(set(sizes), key=sizes.count)
        for other, maps in self._session.maps.items():
            if self._session.source_of(other) is layer:
                return next(iter(maps.values())).grid.tile
        small = min(image.area.height, image.area.width) < SMALL_IMAGE_PX
        return SMALL_TILE_PX if small else 2 * SMALL_TILE_PX

    def _on_opened(self) -> None:
        """Take the tiles of the annotations that were found, unless the user chose others."""
        if not self._tile_chosen and self._usual_tile() != int(self.grid_form.tile_px.value):
            self.grid_form.suggest(self._usual_tile())
            self._use_tiles()

    def _on_tile_size(self) -> None:
        self._tile_chosen = True
        self._use_tiles()

    def _use_tiles(self) -> None:
        self.guide.stop()
        self.teacher.use(
            self.image_form.layer, self.image_form.image, int(self.grid_form.tile_px.value)
        )
        self._show_grid()
        self._on_source()

    def _on_plan(self, layer: Any) -> None:
        plan = self._session.plans.get(layer)
        if layer is self.image_form.layer and plan is not None:
            self.grid_form.suggest(plan.grid.tile)
            self._use_tiles()

    def _on_class(self, number: int) -> None:
        if self.source_form.layer is None:
            self.teacher.show()
            self.teacher.painting.choose(number)

    def _undo(self) -> None:
        self._take_up()
        self.teacher.book.undo()

    def _redo(self) -> None:
        self._take_up()
        self.teacher.book.redo()

    def _take_up(self) -> None:
        """Take up all that was drawn so far, before anything else is done."""
        self._settle.settle()
        self.teacher.settle()

    def _on_key(self, number: int) -> None:
        """A class key on the image: annotate the tile of the tour, else paint with the class."""
        self._take_up()
        classes = self.teacher.book.annotations.classes
        if number >= len(classes):
            return
        if self.guide.tour.active:
            self.guide.annotate(classes[number].name)
            return
        active = self._viewer.layers.selection.active
        if active is not None and active is not self.teacher.painting.layer:
            self._choose_on_map(active, classes[number].name)
        else:
            self.class_table.choose(number)

    def _choose_on_map(self, layer: Any, name: str) -> None:
        """Correct with a class on a finished map, whose numbers are its own."""
        ours = layer.metadata.get(METADATA_KEY, {}).get("classes", [])
        names = [each["name"] for each in ours]
        if name in names:
            layer.selected_label = names.index(name) + 1
            layer.mode = "paint"

    def _on_specimen(self, key: str, specimen: str) -> None:
        book = self.teacher.book
        book.edit(book.annotations.with_specimen(key, specimen))
        self._refresh_annotations()  # an empty name brings the guess back

    def _on_live(self) -> None:
        self.teacher.learner.live = bool(self.live.value)
        if self.teacher.learner.live and self.teacher.learner.out_of_date:
            self.teacher.learner.update()

    def _on_source(self) -> None:
        if self.source_form.layer is not None:
            self._settle.start()
        else:
            self._drawn.clear()
            self._refresh()

    def _take_drawn(self) -> None:
        """Annotate tiles as another layer has them; what it said before is taken back."""
        source, layer = self.source_form.layer, self.teacher.layer
        grid, key, book = self.teacher.grid, self.teacher.key, self.teacher.book
        if source is None or layer is None or grid is None or key is None:
            return
        said, chosen = book.annotations, str(self.source_form.as_class.value or "")
        share = self.source_form.min_share
        try:
            found = tiles_of_layer(source, layer, grid, said, chosen, share, self.teacher.plane)
        except SemClassifyError as error:
            self.source_form.problem.fail(str(error))
            return
        self.source_form.problem.say("")
        before = self._drawn.get(key, {})
        annotations, self._drawn[key] = with_drawn(said, key, grid, found, before)
        book.edit(annotations, join="layer")
        self.source_form.note.say(
            f"{count_text(found.n_labelled)} tiles from {source.name} · "
            f"{count_text(found.n_mixed)} mixed left out"
        )

    def _show_grid(self) -> None:
        layer, grid = self.image_form.layer, self.teacher.grid
        if layer is None or layer in self._session.plans:
            return
        if self.show_grid.value and grid is not None:
            show_grid(self._viewer, layer, grid)
        else:
            remove_layer(self._viewer, grid_layer_of(self._viewer, layer))

    def _open_fine_tune(self) -> None:
        open_entry(self._viewer, "Fine-tune")

    def _on_removed(self, event: Any) -> None:
        self.guide.tour.forget(event.value)
        self.teacher.forget(event.value)

    def _on_inserted(self, _event: Any) -> None:
        # A map that Classify makes is named and placed only after it was added.
        QTimer.singleShot(0, self.teacher.bind)

    def _on_maps(self, _layer: Any) -> None:
        """A map came back from a file: its corrections are laid over it, and more can follow."""
        if not self.teacher.maps.drawing:
            QTimer.singleShot(0, self.teacher.bind)

    # ------------------------------------------------------------------ what the user sees

    def _on_annotated(self) -> None:
        """Show what follows from the annotations; the rest changes with the next fit."""
        if len(self.teacher.learner.annotated) == self._annotated:
            self._refresh_annotations()
        else:
            self._refresh()

    def _refresh_annotations(self) -> None:
        teacher, annotations = self.teacher, self.teacher.book.annotations
        self.class_table.show(annotations.counts())
        self.class_table.add.setEnabled(teacher.key is not None)
        self.source_form.use_classes(annotations.class_names)
        self._tell_annotations()
        self._tell_state()
        self.correction_list.refresh()
        rows = image_rows(annotations.images)
        self.images.show_rows(rows)
        self.images.setVisible(len(rows) > 1)
        self.guide.refresh()
        self.keep_form.refresh()

    def _refresh(self) -> None:
        learner, form = self.teacher.learner, self.run_form
        self._annotated = len(learner.annotated)
        if learner.looking and not form.running:
            form.start()
        elif not learner.looking:
            if form.running:
                form.idle()
            form.allow(learner.teachable, "Annotate tiles of two classes first")
        self._refresh_annotations()
        self.score_form.tell(learner.learned if learner.teachable else None)
        self.way_form.refresh()
        self.compare_form.follow(self.teacher.layer)

    def _tell_annotations(self) -> None:
        teacher = self.teacher
        names = teacher.book.annotations.class_names
        if teacher.key is None:
            self.source_form.note.say("")
        elif len(names) < 2:
            self.source_form.note.say(SECOND_HINT if names else FIRST_HINT)
        elif self.source_form.layer is None:
            said = teacher.book.counted(teacher.learner.tile_px)
            self.source_form.note.say(said or PAINT_HINT)

    def _tell_state(self) -> None:
        teacher, learner, message = self.teacher, self.teacher.learner, self.run_form.message
        hint, teacher.painting.hint = teacher.painting.hint, ""
        problem = teacher.problem or learner.problem or hint
        if problem:
            message.fail(problem)
        elif learner.status or learner.learned is None:
            message.say(learner.status)
        elif not learner.out_of_date:
            message.say(f"Updated in {duration_text(learner.learned.seconds)}")
        elif not learner.busy:
            message.warn("The map is out of date: press Update map.")

    def _on_progress(self, progress: Progress) -> None:
        if self.teacher.learner.looking:
            self.run_form.tell(progress)

    # ------------------------------------------------------------------ end

    def stop(self) -> None:
        """Let go of all work under way; what was annotated is written first."""
        self._take_up()
        self.source_form.stop()
        self.guide.tour.stop()
        self._viewer.dims.events.point.disconnect(self._on_slider)
        self._session.maps_changed.disconnect(self._on_maps)
        self.teacher.changed.disconnect(self._refresh)
        self.teacher.annotated.disconnect(self._on_annotated)
        self.teacher.opened.disconnect(self._on_opened)
        self.teacher.stop()
        super().stop()


class TeachEntry(Entry):
    """*Teach* in the menu."""

    KIND = TeachWidget
