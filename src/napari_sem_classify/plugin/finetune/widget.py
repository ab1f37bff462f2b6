"""The page *Fine-tune*: annotated tiles or sorted images in, a model with its own network out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.plugin.app.docks import open_entry
from napari_sem_classify.plugin.app.jobs import JobSlot, SettleTimer
from napari_sem_classify.plugin.app.session import Session, session_of, unwrapped
from napari_sem_classify.plugin.app.text import duration_text
from napari_sem_classify.plugin.finetune import training_tasks
from napari_sem_classify.plugin.finetune.chosen import too_few
from napari_sem_classify.plugin.finetune.curve_plot import CurvePlot
from napari_sem_classify.plugin.finetune.data_form import DataForm
from napari_sem_classify.plugin.finetune.expected_time import ExpectedTime
from napari_sem_classify.plugin.finetune.schedule_form import ScheduleForm
from napari_sem_classify.plugin.finetune.summary_form import SummaryForm
from napari_sem_classify.plugin.finetune.trained_form import TrainedForm, outcome_text
from napari_sem_classify.plugin.finetune.watch import TrainingSnapshot
from napari_sem_classify.plugin.forms.image_form import SAMPLE_PLUGIN, open_sample
from napari_sem_classify.plugin.forms.layout import Form, Note
from napari_sem_classify.plugin.forms.run_form import RunForm
from napari_sem_classify.plugin.teach.tour import Tour

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

SETTLE_MS, SPARE_PX = 100, 40
EARLIER = "Earlier models are untouched."
NOTHING = "Choose data of two classes or more first"


class FineTunePage(Form):
    """Trains a network on annotated tiles or on sorted images.

    Attributes
    ----------
    foot : Form
        What is always in view: how far the training is, and its button.
    """

    def __init__(self, viewer: Viewer, owner: QWidget, to_teach: Callable[[], None]) -> None:
        super().__init__()
        self._viewer, self._owner, self._to_teach = viewer, owner, to_teach
        self.foot = Form()
        self._training = JobSlot(owner)
        self._stop: training_tasks.Stop | None = None
        self._snapshot: TrainingSnapshot | None = None
        self._tour = Tour(self._viewer)
        self._build(session_of(viewer))
        self._scroll = SettleTimer(self._owner, SETTLE_MS, self._on_scroll)
        self._part: QWidget = self.now
        self._connect()
        self._refresh()
        self.run_form.message.say(training_tasks.interrupted(training_tasks.training_folder()))

    def _build(self, session: Session) -> None:
        self.setAccessibleName("Fine-tune")
        self.data_form = DataForm(self._viewer, self, self._owner)
        self._rest = Form(margin=0)
        self.wide(self._rest)
        self.stretch()
        self.summary_form = SummaryForm(self._rest, self._owner)
        self.schedule_form = ScheduleForm(self._rest, self._owner)
        self.expected = ExpectedTime(self.foot, self._owner)
        self.run_form = RunForm(self.foot, "Fine-tune", "Train the network, then score it")
        self.now = Note("The training now")
        self.curves = CurvePlot(self.now)
        self._rest.wide(self.now, self.curves)
        self.result_form = TrainedForm(self._rest, session, self._owner)

    def _connect(self) -> None:
        self.data_form.changed.connect(self._refresh)
        self.data_form.sample.changed.connect(
            lambda: open_sample(self._viewer, self.data_form.problem)
        )
        self.data_form.teach_wanted.connect(self._to_teach)
        self.schedule_form.changed.connect(self._refresh)
        self.expected.planned.connect(self.schedule_form.show_plan)
        self.run_form.started.connect(self.train)
        self.run_form.cancelled.connect(self.cancel)
        self.result_form.picked.connect(self._go_to)
        self.result_form.open_wanted.connect(self._open_held)
        self.result_form.classify_wanted.connect(self._classify_with)
        self._viewer.layers.events.removed.connect(self._on_removed)

    # ------------------------------------------------------------------ what will be done

    def _refresh(self) -> None:
        if self.busy:
            return
        choice = self.data_form.choice
        self._rest.setVisible(choice is not None or self.result_form.outcome is not None)
        if choice is not None:
            self.schedule_form.follow(choice.tile_px)
        preset = self.schedule_form.chosen_preset()
        self.summary_form.show(choice, preset)
        ready = choice is not None and preset is not None and not too_few(choice)
        self.run_form.allow(ready, NOTHING)
        if ready:
            self.schedule_form.look_for_devices()
        # Where the page is not in view nobody waits for it.
        asked = ready and self.isVisible()
        options = self.schedule_form.chosen_options() if asked else None
        self.expected.show(choice, options, self.schedule_form.pace)
        self.schedule_form.augment.show(choice, preset.stages[-1].size if preset else 0)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Tell how long it will take once somebody looks."""
        super().showEvent(event)
        self._refresh()

    # ------------------------------------------------------------------ training

    @property
    def busy(self) -> bool:
        """Whether a training is under way."""
        return self._training.running

    def train(self) -> None:
        """Train on the chosen data; curves appear as it goes."""
        choice, options = self.data_form.choice, self.schedule_form.chosen_options()
        if self.busy or choice is None or options is None:
            return
        self.summary_form.put_away()
        self.expected.stop()
        self._set_enabled(False)
        self.result_form.hide()
        self._tour.stop()
        self._snapshot = None
        self.curves.hide()
        self.run_form.start()
        self._stop = training_tasks.Stop()
        pace, rate = self.schedule_form.pace, self.expected.rate(options)
        place = training_tasks.training_folder()
        self._training.start(
            training_tasks.train(choice, options, self._stop, place, pace, rate),
            doing="fine-tuning",
            on_done=self._done,
            on_failed=self._failed,
            on_cancelled=self._cancelled,
            on_progress=self._progress,
            on_published=self._published,
        )
        self._scroll_to(self.now)

    def cancel(self) -> None:
        """End the training within a batch; the best model so far is kept."""
        if self._stop is not None:
            self.run_form.cancelling()
            self._stop.cancel()

    @property
    def _cancelling(self) -> bool:
        return self._stop is not None and self._stop.asked

    def _progress(self, progress: Progress) -> None:
        if not self._cancelling and self._snapshot is None:
            # The bar is that of the whole training: what comes before it is told in words.
            self.run_form.tell(Progress(0, 0, progress.stage))
            so_far = f": {progress.done} of {progress.total}" if progress.total else "…"
            self.now.say(f"{progress.stage}{so_far}")

    def _published(self, snapshot: TrainingSnapshot) -> None:
        self._snapshot = snapshot
        self.curves.fill(snapshot)
        if self._cancelling:
            return
        self.run_form.bar.native.setRange(0, 100)
        self.run_form.bar.native.setValue(int(100 * snapshot.fraction))
        left = snapshot.remaining_s
        told = "" if left is None else f" · about {duration_text(left)} left"
        self.run_form.left.say(f"{100 * snapshot.fraction:.0f} %{told}")
        self.now.say(_now_text(snapshot))

    def _done(self, outcome: training_tasks.Outcome) -> None:
        self._end()
        self.now.say("")
        self.curves.fill(outcome.curves)
        self.run_form.message.say(outcome_text(outcome))
        self.result_form.show(outcome)
        self._scroll_to(self.result_form.score)

    def _cancelled(self) -> None:
        self._end()
        self.curves.hide()
        self._show_earlier()
        self.run_form.message.say(f"Cancelled before there was any model. {EARLIER}")

    def _failed(self, sentence: str) -> None:
        self._end()
        self._show_earlier()
        self.run_form.message.fail(f"{sentence} {EARLIER}")

    def _end(self) -> None:
        self._stop = None
        self.run_form.idle()
        self.now.say("")
        self._set_enabled(True)
        self._refresh()

    def _show_earlier(self) -> None:
        """The result of the training before is still what can be saved."""
        earlier = self.result_form.outcome
        if earlier is not None:
            saved = self.result_form.saved
            self.result_form.show(earlier)
            self.result_form.saved = saved
            self.curves.fill(earlier.curves)

    def _set_enabled(self, enabled: bool) -> None:
        self.data_form.set_enabled(enabled)
        self.schedule_form.set_enabled(enabled)

    # ------------------------------------------------------------------ the viewer

    def _scroll_to(self, part: QWidget) -> None:
        """Bring a part of the form to the top, once it has its place."""
        self._part = part
        self._scroll.start()

    def _on_scroll(self) -> None:
        view = self.parentWidget()
        area = None if view is None else view.parentWidget()
        if isinstance(area, QScrollArea):
            top = self._part.mapTo(self, QPoint(0, 0)).y()
            area.verticalScrollBar().setValue(top - SPARE_PX)

    def _open(self, name: str) -> Any:
        return open_entry(self._viewer, name)

    def _go_to(self, held: training_tasks.HeldTile) -> None:
        """Move the camera to a tile where its image is open; else offer to open it."""
        layer = self.data_form.finder.layer_of(held.key, held.path)
        if layer is None:
            self.result_form.tell_not_open(held)
            return
        if not held.is_tile:
            self._viewer.layers.selection.active = layer
        else:
            top, bottom, left, right = held.place
            self._tour.start(layer, [(top, left, max(bottom - top, right - left))], "held out")

    def _open_held(self, held: training_tasks.HeldTile) -> None:
        try:
            self._viewer.open(str(held.path), plugin=SAMPLE_PLUGIN)
        except SemClassifyError as error:
            self.result_form.where.fail(str(error))
            return
        self.result_form.open_image.native.hide()
        self._go_to(held)

    def _classify_with(self, path: Path) -> None:
        widget = self._open("Classify")
        unwrapped(widget).model_form.choose(path)
        layer = self._first_layer()
        if layer is not None:
            unwrapped(widget).image_form.combo.value = layer

    def _first_layer(self) -> Image | None:
        """The image in view if it is one, else the first that was learned from."""
        active = self._viewer.layers.selection.active
        finder = self.data_form.finder
        keys = [image.fingerprint for image in finder.annotations().images]
        layers = [layer for key in keys if (layer := finder.layer_of(key)) is not None]
        return active if active in layers else (layers[0] if layers else None)

    def _on_removed(self, event: Any) -> None:
        self._tour.forget(event.value)

    # ------------------------------------------------------------------ end

    def stop(self) -> None:
        """Let go of what the data come from; the owner lets go of the work."""
        self.data_form.changed.disconnect(self._refresh)
        self.data_form.stop()


def _now_text(snapshot: TrainingSnapshot) -> str:
    """Where the training is: size, epoch, and the score so far."""
    epochs = [report for report in snapshot.epochs if report.train_loss == report.train_loss]
    done = min(len(epochs) + 1, snapshot.preset.epochs)
    words = [f"Epoch {done} of {snapshot.preset.epochs}"]
    if snapshot.scoring:
        words = ["Scoring the model on held-out tiles"]
    if snapshot.epochs:
        best = max(report.macro_f1 for report in snapshot.epochs)
        words.append(f"best macro-F1 so far {best:.2f}")
    return " · ".join(words)
