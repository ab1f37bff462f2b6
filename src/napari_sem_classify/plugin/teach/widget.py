"""The *Teach* widget: a few painted tiles, a new map at once, and an honest score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.model.transfer import LEARNED_HERE
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.dock_frame import DockFrame
from napari_sem_classify.plugin.app.docks import PLUGIN
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.app.text import duration_text
from napari_sem_classify.plugin.forms.advanced_fold import AdvancedFold
from napari_sem_classify.plugin.forms.compare_form import CompareForm
from napari_sem_classify.plugin.forms.grid_form import GridForm
from napari_sem_classify.plugin.forms.judgement_note import JudgementNote
from napari_sem_classify.plugin.forms.layout import Form, Note, check_box
from napari_sem_classify.plugin.forms.run_form import RunForm
from napari_sem_classify.plugin.forms.specimen_header import SpecimenHeader
from napari_sem_classify.plugin.layers.grid_layers import grid_layer_of, show_grid
from napari_sem_classify.plugin.layers.made_layers import remove_layer
from napari_sem_classify.plugin.layers.saved_maps import follow_maps
from napari_sem_classify.plugin.teach.class_keys import ClassKeys
from napari_sem_classify.plugin.teach.class_table import ClassTable
from napari_sem_classify.plugin.teach.correction_list import CorrectionList
from napari_sem_classify.plugin.teach.drawn import DrawnTiles
from napari_sem_classify.plugin.teach.fractions_form import FractionsForm
from napari_sem_classify.plugin.teach.guide import Guide
from napari_sem_classify.plugin.teach.keep_form import KeepForm
from napari_sem_classify.plugin.teach.score_form import ScoreForm
from napari_sem_classify.plugin.teach.series_form import SeriesForm
from napari_sem_classify.plugin.teach.source_form import PAINT_HINT, SourceForm
from napari_sem_classify.plugin.teach.start_form import StartForm
from napari_sem_classify.plugin.teach.teacher import Teacher
from napari_sem_classify.plugin.teach.tile_choice import usual_tile
from napari_sem_classify.plugin.teach.way_form import WayForm

if TYPE_CHECKING:
    from napari.viewer import Viewer

ANNOTATE, SCORE = "Annotate", "Score"
UPDATE = "Update map"
FIRST_HINT = "Add the classes that you want to tell apart: press +."
STACK_NOTE = "Plane {plane} is annotated; the slider leads to the others. All teach one model."
MEND = "They count most where you save the model first and choose it under Start."
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
        follow_maps(self._viewer)
        self._build()
        self._drawn = DrawnTiles(self.teacher, self.source_form, self)
        self._series_later = SettleTimer(self, 0, self.series_form.refresh)
        self.keys = ClassKeys(
            self._viewer, self.teacher, self.class_table, self.guide, self._take_up
        )
        self.teacher.keys = self.keys.actions()
        self._connect()
        self._on_image()

    def _build(self) -> None:
        self.setAccessibleName("Teach")
        self.header = SpecimenHeader(self._viewer, self)
        self.image_form = self.header.image_form
        self.grid_form = GridForm(self.header.body)
        # While teaching, tiles lie side by side; Classify overlaps them with the saved model.
        for hidden in (self.grid_form.overlap, self.grid_form.show):
            hidden.native.parentWidget().setVisible(False)
        self.frame = DockFrame(self, self.header)
        self._annotate, self._score, self._foot = Form(), Form(), Form()
        self._build_annotate(self._annotate)
        self._build_score(self._score)
        self._build_foot(self._foot)
        self.frame.add_page(ANNOTATE, "Classes and tiles", self._annotate, self._foot)
        self.frame.add_page(SCORE, "How good the model is, and where", self._score, self._foot)

    def _build_annotate(self, form: Form) -> None:
        self.stack_note = Note("About the stack")
        self.series_form = SeriesForm(self._viewer, self.teacher, form)
        self.images = self.series_form.table
        form.wide(self.stack_note)
        self.start_form = StartForm(self.teacher, form, self)
        self.class_table = ClassTable(self.teacher.book, form, self)
        self.source_form = SourceForm(self._viewer, form)
        self.judgement = JudgementNote()
        form.wide(self.judgement)
        self.guide = Guide(self.teacher, self._viewer, form, self)
        self.correction_list = CorrectionList(self.teacher, self._viewer, form)
        self.advanced = AdvancedFold(form)
        self._build_advanced(self.advanced.body)
        form.stretch()

    def _build_advanced(self, form: Form) -> None:
        self.live = check_box("live", "Learn and redraw the map after each change", value=True)
        self.show_grid = check_box("show grid", "Show the tiles as a layer over the image")
        form.row("Map", self.live, self.show_grid)
        self.guide.look_form.structure.lay(form)
        self.way_form = WayForm(self.teacher, self._session, form, self)

    def _build_score(self, form: Form) -> None:
        self.score_form = ScoreForm(form)
        self.fractions_form = FractionsForm(self.teacher, form, self)
        self.compare_form = CompareForm(self._viewer, form, self)
        form.stretch()

    def _build_foot(self, form: Form) -> None:
        self.run_form = RunForm(form, UPDATE, "Learn from the annotations, redraw the map")
        self.keep_form = KeepForm(self.teacher, self.source_form, self._session, form, self)

    def at(self, page: str) -> QWidget:
        """Turn to a page; gives what a script may want to work with."""
        if page:
            self.frame.turn_to(page)
        return self

    def _connect(self) -> None:
        self.image_form.changed.connect(self._on_image)
        self.grid_form.changed.connect(self._on_tile_size)
        self.show_grid.changed.connect(self._show_grid)
        self.class_table.chosen.connect(self._on_class)
        self.images.said.connect(self._on_specimen)
        self.series_form.open_wanted.connect(self._open_image)
        self.source_form.changed.connect(self._on_source)
        self.live.changed.connect(self._on_live)
        self.run_form.started.connect(self.teacher.learner.update)
        self.run_form.cancelled.connect(self.teacher.learner.cancel)
        self.score_form.picked.connect(self.guide.visit_confused)
        self.teacher.changed.connect(self._refresh)
        self.teacher.annotated.connect(self._on_annotated)
        self.teacher.opened.connect(self._on_opened)
        self.teacher.started.connect(self._on_started)
        self.teacher.learner.progressed.connect(self._on_progress)
        self._viewer.dims.events.point.connect(self._on_slider)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.layers.events.inserted.connect(self._on_inserted)
        self._session.plan_changed.connect(self._on_plan)
        self._session.maps_changed.connect(self._on_maps)

    # ------------------------------------------------------------------ what the user does

    def _on_image(self) -> None:
        layer, image = self.image_form.layer, self.image_form.image
        self.grid_form.use_scale(image)
        from_model = self.teacher.learner.start is not None
        if image is not None and (from_model or layer is not self._suggested_for):
            self._suggested_for, self._tile_chosen = layer, False
            self.grid_form.suggest(self._usual_tile())
        self._drawn.settle()
        self.guide.stop()
        self._annotate.setVisible(layer is not None)
        self.teacher.use(layer, image, int(self.grid_form.tile_px.value))
        self._show_grid()
        self._tell_plane()

    def _on_slider(self) -> None:
        """Another plane of the stack is shown: annotate it, and draw its map."""
        if self.teacher.layer is None or not self.teacher.plane:
            return
        self._drawn.settle()  # what was just drawn belongs to the plane that was left
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
        """Of the model to start from, else what suits the image."""
        layer, image = self.image_form.layer, self.image_form.image
        of_model = None if image is None else self.start_form.tile_for(image)
        return of_model or usual_tile(layer, image, self.teacher, self._session)

    def _on_opened(self) -> None:
        """Take the tiles of the annotations that were found, unless the user chose others."""
        if not self._tile_chosen and self._usual_tile() != int(self.grid_form.tile_px.value):
            self.grid_form.suggest(self._usual_tile())
            self._use_tiles()

    def _on_started(self) -> None:
        """Take the tiles of the model to start from, which no other size can stand for."""
        model = self.teacher.learner.start is not None
        self.grid_form.set_enabled(not model)
        if model:
            self._tile_chosen = False
            self._on_opened()
        self._refresh()

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

    def _take_up(self) -> None:
        """Take up all that was drawn so far, before anything else is done."""
        self._drawn.settle()
        self.teacher.settle()

    def _on_specimen(self, key: str, specimen: str) -> None:
        book = self.teacher.book
        book.edit(book.annotations.with_specimen(key, specimen))
        self._refresh_annotations()  # an empty name brings the guess back

    def _open_image(self, path: Path) -> None:
        """Open an annotated image that is not open, and show it."""
        try:
            layers = self._viewer.open(str(path), plugin=PLUGIN)
        except SemClassifyError as error:
            self.series_form.problem.fail(str(error))
            return
        self._session.choose_image(layers[0])

    def _on_live(self) -> None:
        self.teacher.learner.live = bool(self.live.value)
        if self.teacher.learner.live and self.teacher.learner.out_of_date:
            self.teacher.learner.update()

    def _on_source(self) -> None:
        if not self._drawn.follow():
            self._refresh()

    def _show_grid(self) -> None:
        layer, grid = self.image_form.layer, self.teacher.grid
        if layer is None or layer in self._session.plans:
            return
        if self.show_grid.value and grid is not None:
            show_grid(self._viewer, layer, grid)
        else:
            remove_layer(self._viewer, grid_layer_of(self._viewer, layer))

    def _on_removed(self, event: Any) -> None:
        self.guide.tour.forget(event.value)
        self.teacher.forget(event.value)
        self._series_later.start()

    def _on_inserted(self, _event: Any) -> None:
        # A map that Classify makes is named and placed only after it was added.
        QTimer.singleShot(0, self.teacher.bind)
        self._series_later.start()

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
        self.series_form.refresh()
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
        self.fractions_form.follow(learner.learned if learner.teachable else None)
        self._tell_judgement()
        self.way_form.refresh()
        self.compare_form.follow(self.teacher.layer)

    def _tell_judgement(self) -> None:
        """Whether the model holds on the image in view; it stays until the next score."""
        learner = self.teacher.learner
        learned = learner.learned if learner.teachable else None
        if learned is not None and learned.rise is not None:
            self.judgement.tell_rise(learned.rise)
        elif learned is None or learned.scored:
            known = None if learned is None else learned.judgement
            # That an image which taught is not judged needs no telling: its score is at hand.
            mend = MEND if learner.start is None else ""
            self.judgement.tell(None if known is LEARNED_HERE else known, mend)

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
        # While each change is learned at once there is nothing to ask for.
        asked = not learner.live or learner.paused or bool(learner.problem)
        self.run_form.button.native.setVisible(asked)

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
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._session.maps_changed.disconnect(self._on_maps)
        self.teacher.changed.disconnect(self._refresh)
        self.teacher.annotated.disconnect(self._on_annotated)
        self.teacher.opened.disconnect(self._on_opened)
        self.teacher.started.disconnect(self._on_started)
        self.teacher.stop()
        super().stop()
