"""The *Batch* widget: many images and one model in, a map of each, one table and one report out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.batch.batch_outcome import ImageOutcome
from napari_sem_classify.core.batch.batch_plan import plan_batch
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.dock_frame import DockFrame
from napari_sem_classify.plugin.app.jobs import JobSlot, SettleTimer
from napari_sem_classify.plugin.app.text import duration_text
from napari_sem_classify.plugin.batch import work
from napari_sem_classify.plugin.batch.images_form import ImagesForm
from napari_sem_classify.plugin.batch.open_outcome import open_outcome
from napari_sem_classify.plugin.batch.outcome_form import OutcomeForm
from napari_sem_classify.plugin.batch.plan_form import PlanForm, images_text
from napari_sem_classify.plugin.batch.target_form import TargetForm
from napari_sem_classify.plugin.batch.tile_form import TileForm
from napari_sem_classify.plugin.forms.advanced_fold import AdvancedFold
from napari_sem_classify.plugin.forms.device_form import DeviceForm
from napari_sem_classify.plugin.forms.layout import Form, Note
from napari_sem_classify.plugin.forms.model_form import ModelForm
from napari_sem_classify.plugin.forms.run_form import RunForm
from napari_sem_classify.plugin.layers.image_corrections import corrections_of
from napari_sem_classify.plugin.layers.saved_maps import path_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_sem_classify.core.common.job import Progress
    from napari_sem_classify.core.image.sem_image import SemImage

SETTLE_MS = 250
IMAGES, SETTINGS, RESULTS = "Images", "Settings", "Results"


class BatchWidget(DockWidget):
    """Dock widget that classifies many images."""

    TITLE = "SEM Batch"

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._corrections = corrections_of(self._viewer)
        self._known: work.Known = {}
        self._found: work.Look | None = None
        self._looking, self._classifying = JobSlot(self), JobSlot(self)
        self._outcomes: tuple[ImageOutcome, ...] = ()
        self._build()
        self._settle = SettleTimer(self, SETTLE_MS, self._look)
        self._connect()
        self._on_model()

    def _build(self) -> None:
        self.setAccessibleName("Batch")
        self.frame = DockFrame(self)
        images, settings, results, foot = Form(), Form(), Form(), Form()
        self.source_form = ImagesForm(self._viewer, self._session, images, self)
        self.model_form = ModelForm(settings, self)
        self.target_form = TargetForm(settings, self)
        self.advanced = AdvancedFold(settings)
        self.tile_form = TileForm(self.advanced.body)
        self.device_form = DeviceForm(self.advanced.body, self._session, self)
        self.plan_form = PlanForm(images, foot, self.device_form)
        self.current = Note("Image at work")
        foot.wide(self.current)
        self.run_form = RunForm(foot, "Run batch", "Classify all images and write the results")
        self.outcome_form = OutcomeForm(results)
        self.open_problem = Note("Problem with opening an image")
        results.wide(self.open_problem)
        pages = (
            (IMAGES, "What to classify", images),
            (SETTINGS, "With which model, and what to write where", settings),
            (RESULTS, "What came of each image", results),
        )
        for title, tooltip, form in pages:
            form.stretch()
            self.frame.add_page(title, tooltip, form, foot)

    def at(self, page: str) -> QWidget:
        """Turn to a page, "" for where it is."""
        if page:
            self.frame.turn_to(page)
        return self

    def _connect(self) -> None:
        self.source_form.changed.connect(self._on_sources)
        self.model_form.changed.connect(self._on_model)
        self.tile_form.changed.connect(self._later)
        self.target_form.changed.connect(self._later)
        self.device_form.changed.connect(self._tell)
        self.run_form.started.connect(self.run)
        self.run_form.cancelled.connect(self.cancel)
        self.outcome_form.opened.connect(self._open)
        self._corrections.changed.connect(self._on_corrected)

    # ------------------------------------------------------------------ what will be done

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self._classifying.running

    @property
    def looking(self) -> bool:
        """Whether the images are being looked at."""
        return self._looking.running or self._settle.isActive()

    @property
    def wish(self) -> work.BatchWish | None:
        """What the user wants, None while there is no model."""
        entry, card = self.model_form.entry, self.model_form.card
        if entry is None or card is None:
            return None
        target, device = self.target_form, self.device_form.chosen
        options = replace(self.tile_form.options, device=device.id, backend=device.backend)
        return work.BatchWish(entry.path, card, options, target.chosen, target.out)

    def _on_sources(self) -> None:
        self.target_form.suggest(self.source_form.first_folder)
        self._later()

    def _on_corrected(self, _layer: Any) -> None:
        if len(self.source_form):
            self._later()

    def _on_model(self) -> None:
        card = self.model_form.card
        if card is not None:
            self.tile_form.grid.suggest(card.tile_px)
        self._later()

    def _later(self) -> None:
        """Look again once the user has stopped changing things for a moment."""
        if self.busy:
            return
        self._looking.abandon()
        self._replan()
        self._settle.start()
        self._tell()

    def _replan(self) -> None:
        """Count the tiles again of images that are known, until the new look is done."""
        wish = self.wish
        if self._found is None or wish is None or not len(self.source_form):
            self._found = None
            return
        looked = self._found.looked
        self._found = work.Look(looked, plan_batch(looked, wish.card, wish.options))

    def _look(self) -> None:
        wish = self.wish
        if wish is None or not len(self.source_form) or self.busy:
            self._tell()
            return
        try:
            layers = self.source_form.open_now()
        except SemClassifyError as error:
            self._looked_in_vain(str(error))
            return
        self._looking.start(
            work.look(self.source_form.paths, layers, wish, self._known, self._corrected()),
            doing="looking at the images",
            on_done=self._looked,
            on_failed=self._looked_in_vain,
            on_progress=self._on_look_progress,
        )
        self._tell()

    def _corrected(self) -> dict[Path, SemImage]:
        """Files that are open and whose scale or area the user corrected."""
        return {
            Path(path): image
            for layer, image in self._session.images.items()
            if layer in self._viewer.layers
            and self._corrections.is_corrected(layer)
            and (path := path_of(layer)) is not None
        }

    def _on_look_progress(self, progress: Progress) -> None:
        if progress.total:
            self.plan_form.estimate.say(
                f"looking at the images… {progress.done} of {progress.total}"
            )

    def _looked(self, found: work.Look) -> None:
        self._found = found
        self.source_form.problem.say("")
        self.tile_form.grid.use_scale(_calibrated(found))
        self._tell()

    def _looked_in_vain(self, sentence: str) -> None:
        self._found = None
        self.source_form.problem.fail(sentence)
        self._tell()

    def _tell(self) -> None:
        """Bring everything above the button up to date."""
        if self.busy:
            return
        if self.device_form.problem:
            self.model_form.problem.fail(self.device_form.problem)
        self.advanced.tell(f"{self.tile_form.said}, {self.device_form.chosen.title}")
        found, entry, wish = self._found, self.model_form.entry, self.wish
        self.source_form.tell_count(None if found is None else found.plan.images)
        if found is None or wish is None or entry is None:
            self.plan_form.clear("looking at the images…" if self._looking.running else "")
            why = "Add images first" if not len(self.source_form) else "Wait: looking at the images"
            self.run_form.allow(False, why if wish is not None else "Choose a model first")
            return
        self._tell_plan(found, wish)
        self.device_form.want(entry, wish.options.tile_px or wish.card.tile_px)

    def _tell_plan(self, found: work.Look, wish: work.BatchWish) -> None:
        self.plan_form.show(
            found.plan,
            self.model_form.entry,
            again=bool(self.target_form.again.value),
            looking=self.looking,
            cost=work.cost_of_tile(found, wish),
        )
        if self.looking:
            self.run_form.allow(False, "Wait: looking at the images")
        elif wish.out is None or self.target_form.check():
            self.run_form.allow(False, "Choose the folder to write into first")
        else:
            self.run_form.allow(bool(found.plan.tiles), "None of the images can be opened")

    # ------------------------------------------------------------------ running

    def run(self) -> None:
        """Classify the images; what is finished stays, whatever happens."""
        wish, found, entry = self.wish, self._found, self.model_form.entry
        if self.busy or self.looking or wish is None or found is None or entry is None:
            return
        if wish.out is None:
            self.run_form.message.fail("Choose the folder to write into.")
            return
        self.device_form.stop()
        self.outcome_form.clear()
        self.open_problem.say("")
        self._outcomes = ()
        self._allow(False)
        self.frame.turn_to(RESULTS)
        self.run_form.start()
        ready, again = self.device_form.ready(entry), bool(self.target_form.again.value)

        def done(result: work.Done) -> None:
            if result.ready is not None:
                self.device_form.remember(entry, result.ready)
            self._done(result)

        self._classifying.start(
            work.run(found, wish, ready, again=again),
            doing="classifying the batch",
            on_done=done,
            on_failed=self._failed,
            on_cancelled=self._cancelled,
            on_progress=self.run_form.tell,
            on_published=self._published,
        )

    def cancel(self) -> None:
        """Stop after this step; images that are finished stay."""
        if self.busy:
            self.run_form.cancelling()
            self._classifying.cancel()

    def _allow(self, free: bool) -> None:
        for part in (self.source_form, self.target_form, self.tile_form):
            part.allow(free)
        self.model_form.combo.enabled = self.device_form.combo.enabled = free

    def _published(self, under: work.Under) -> None:
        self._outcomes = under.outcomes
        self.outcome_form.show(under.outcomes)
        self.run_form.tell(under.whole)
        if under.current:
            self.current.say(under.current)

    def _done(self, result: work.Done) -> None:
        report = result.report
        self.outcome_form.show(report.images)
        self.outcome_form.finish(result.files)
        self._end()
        earlier = sum(each.resumed for each in report.done)
        words = [f"Done: {images_text(len(report.done))} in {duration_text(report.seconds)}"]
        if earlier:
            words.append(f"{earlier} of them done earlier")
        if report.failed:
            words.append(f"{len(report.failed)} could not be used")
        told = {plane.get("arithmetic") for each in report.done for plane in each.planes}
        text = ". ".join([", ".join(words), *sorted(filter(None, told))]) + "."
        if report.done:
            self.run_form.message.say(text)
        else:
            self.run_form.message.fail(text)

    def _cancelled(self) -> None:
        self._end()
        self.run_form.message.say(f"Cancelled: {self._kept()}")

    def _failed(self, sentence: str) -> None:
        self._end()
        self.run_form.message.fail(f"{sentence} {self._kept()[:1].upper()}{self._kept()[1:]}")

    def _kept(self) -> str:
        done = sum(not each.problem for each in self._outcomes)
        if not done:
            return "no image was finished."
        return f"{images_text(done)} finished; they stay, run again to go on."

    def _end(self) -> None:
        self.run_form.idle()
        self.outcome_form.sort()
        self.current.say("")
        self._allow(True)
        self._later()

    def _open(self, outcome: ImageOutcome) -> None:
        self.open_problem.say("")
        try:
            open_outcome(self._viewer, outcome)
        except SemClassifyError as error:
            self.open_problem.fail(str(error))


def _calibrated(found: work.Look) -> SemImage | None:
    """The first image that has a scale, by which a tile size is shown in both units."""
    images = [each.image for each in found.looked if each.image is not None]
    return next((image for image in images if image.pixel_size_nm is not None), None)
