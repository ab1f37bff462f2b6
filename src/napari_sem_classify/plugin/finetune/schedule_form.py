"""How to train: for the time one has, as the article did, or by stages of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from magicgui import widgets
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidgetItem, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_pace import PACES, Pace, Plan
from napari_sem_classify.core.finetune.finetune_presets import (
    DEFAULT_PRESET,
    Preset,
    Stage,
    make_preset,
)
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.finetune import stages
from napari_sem_classify.plugin.finetune.augment_form import AugmentForm
from napari_sem_classify.plugin.finetune.training_tasks import devices
from napari_sem_classify.plugin.forms.dock_table import EDITABLE, NARROWEST, DockTable
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, narrow, slim
from napari_sem_classify.plugin.forms.network_row import NetworkRow

ARTICLE, OWN = "article", "own"
WAYS = (
    *((pace.title, pace.name) for pace in PACES.values()),
    ("As the article of 2020", ARTICLE),
    ("Own stages", OWN),
)
USUAL = "coffee"
AUTOMATIC = ("automatic", "auto")


class ScheduleForm:
    """Choice of the way to train, and of the stages where they are one's own."""

    changed = Signal()

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._filling = False
        self._tile_px: int | None = None
        self._finding = JobSlot(owner)
        self._build(form, owner)
        self._use_way()
        self.way.changed.connect(self._use_way)
        self.stages.itemChanged.connect(self._on_cell)
        self.more.changed.connect(self._add_stage)
        self.fewer.changed.connect(self._remove_stage)
        self.options.native.toggled.connect(self._show_options)
        self.network.changed.connect(self.changed.emit)
        for control in (self.device, self.seed, self.find_rate, self.patience, self.mixup):
            control.changed.connect(lambda *_: self.changed.emit())

    def _build(self, form: Form, owner: QWidget) -> None:
        self.way = narrow(widgets.ComboBox(choices=WAYS, value=USUAL), least=5)
        explain(
            self.way,
            "Time",
            "The time that there is, for which sizes and epochs are chosen; or the schedule of the "
            "article, or stages of your own",
        )
        self.options = button("More ▾", "Stages, seed and further settings", "More settings")
        self.options.native.setCheckable(True)
        form.row("Time", self.way, self.options)
        self.said = Note("The training in short")
        form.wide(self.said)
        self.stages = StageTable(self.said)
        self.more = button("+ stage", "Add a stage like the last one", "Add stage")
        self.fewer = button("− stage", "Remove the last stage", "Remove stage")
        self.problem = Note("Problem with the stages")
        form.wide(self.stages)
        self._stage_row = form.row("", self.more, self.fewer)
        form.wide(self.problem)
        self.network = NetworkRow(form)
        self.seed = slim(widgets.SpinBox(value=0, min=0, max=99999), longest="00000")
        explain(self.seed, "Seed", "The same seed and data give the same model on the same CPU")
        self._seed_row = form.row("Seed", self.seed)
        self.find_rate = widgets.CheckBox(value=False, text="look for it first")
        explain(self.find_rate, "Look for the learning rate", "Try rates before each stage")
        self.patience = slim(widgets.SpinBox(value=0, min=0, max=1000), longest="0000")
        explain(self.patience, "Patience", "Epochs without progress that end a stage; 0: never")
        self.mixup = slim(widgets.FloatSpinBox(value=0.0, min=0.0, max=1.0, step=0.1), "000.00")
        explain(self.mixup, "Mixup", "Mix pairs of tiles and their classes; 0: not")
        self._rate_row = form.row("Rate", self.find_rate)
        self._other_row = form.row(
            "Patience", self.patience, widgets.Label(value="Mixup"), self.mixup
        )
        self.augment = AugmentForm(form, owner)
        self.augment.changed.connect(self.changed.emit)
        self.device = narrow(widgets.ComboBox(choices=[AUTOMATIC]))
        explain(self.device, "Device", "The processor that trains")
        form.row("Device", self.device)
        self._show_options(False)

    # ------------------------------------------------------------------ what is chosen

    @property
    def pace(self) -> Pace | None:
        """The time that there is, None for a schedule that is given."""
        return PACES.get(str(self.way.value))

    def chosen_options(self) -> FineTuneOptions | None:
        """How to train, None where the stages cannot be read; the form then says why.

        Where there is a pace it is the whole training, still to be cut to it.
        """
        preset = self.chosen_preset()
        if preset is None:
            return None
        return FineTuneOptions(
            preset,
            device=str(self.device.value),
            seed=int(self.seed.value),
            search_rate=bool(self.find_rate.value) and self.pace is None,
            backbone_id=self.network.chosen,
        )

    def chosen_preset(self) -> Preset | None:
        """The preset with the stages of the table."""
        preset = self._preset()
        # Zero leaves what the preset has.
        preset = replace(
            preset,
            augmentation=self.augment.chosen(preset.augmentation),
            mixup=float(self.mixup.value) or preset.mixup,
        )
        self.problem.say("")
        if self.pace is not None:
            return preset
        try:
            found = stages.stages_of(self.stages.texts())
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return None
        return replace(preset, stages=found, patience=int(self.patience.value) or preset.patience)

    def _preset(self) -> Preset:
        """The preset that the choice stands on, as it is for these tiles."""
        name = ARTICLE if self.way.value == ARTICLE else DEFAULT_PRESET
        return make_preset(name, tile_px=self._tile_px)

    def follow(self, tile_px: int | None) -> None:
        """Know the side of the tiles, None for whole images: sizes rise to it."""
        if tile_px != self._tile_px:
            self._tile_px = tile_px
            if self.pace is not None:
                self._show_stages(self._preset().stages)

    def show_plan(self, plan: Plan) -> None:
        """Show the stages that the time allows."""
        if plan.pace == self.pace:
            self._show_stages(plan.preset.stages)

    # ------------------------------------------------------------------ what the user does

    def _use_way(self) -> None:
        preset = self._preset()
        self.augment.fill(preset.augmentation)
        self._let_rates(self.pace is None)
        self._show_stages(preset.stages)
        self._tell()

    def _show_stages(self, chosen: Sequence[Stage]) -> None:
        self._filling = True
        self.stages.fill([stages.texts_of(stage) for stage in chosen])
        self._filling = False

    def _add_stage(self) -> None:
        rows = self.stages.texts()
        self.set_stages([*rows, rows[-1]])

    def _remove_stage(self) -> None:
        rows = self.stages.texts()
        if len(rows) > 1:
            self.set_stages(rows[:-1])

    def set_stages(self, rows: Sequence[Sequence[str]]) -> None:
        """Train these stages."""
        self._filling = True
        self.stages.fill(rows)
        self._filling = False
        self._now_own()

    def _on_cell(self, _item: QTableWidgetItem) -> None:
        if not self._filling:
            self._now_own()

    def _now_own(self) -> None:
        """Stages that were edited are trained as they stand, whatever the time."""
        if self.pace is not None:
            with self.way.changed.blocked():
                self.way.value = OWN
            self._let_rates(True)
        self._tell()

    def _let_rates(self, free: bool) -> None:
        """A pace has its own search for a rate and its own patience."""
        self.find_rate.enabled = self.patience.enabled = free

    def _tell(self) -> None:
        preset = self.chosen_preset()
        if preset is not None:
            sizes = " → ".join(f"{stage.size}" for stage in preset.stages)
            edited = self.pace is None and preset.stages != self._preset().stages
            own = ", edited" if edited else ""
            self.said.say("" if self.pace else f"{sizes} px · {preset.epochs} epochs{own}")
        self.changed.emit()

    def _show_options(self, shown: bool) -> None:
        for row in (self._stage_row, self._seed_row, self._rate_row, self._other_row, self.stages):
            row.setVisible(shown)
        self.network.show(shown)
        self.augment.set_visible(shown)
        self.options.text = "More ▴" if shown else "More ▾"

    def set_enabled(self, enabled: bool) -> None:
        """Let the training be changed, or not while it runs."""
        settings = (self.seed, self.mixup, self.device)
        for control in (self.way, self.more, self.fewer, *settings):
            control.enabled = enabled
        self._let_rates(enabled and self.pace is None)
        self.augment.set_enabled(enabled)
        self.network.set_enabled(enabled)
        self.stages.setEnabled(enabled)

    # ------------------------------------------------------------------ devices

    def look_for_devices(self) -> None:
        """Offer the processors of this computer, once they are known."""
        if self._finding.running or len(self.device.choices) > 1:
            return

        def done(found: list[tuple[str, str]]) -> None:
            before = self.device.value
            with self.device.changed.blocked():
                self.device.choices = [AUTOMATIC, *found]
                self.device.value = before

        self._finding.start(
            devices,
            doing="looking for processors",
            on_done=done,
            on_failed=lambda _sentence: None,  # "automatic" is left, and tells why when it fails
        )


class StageTable(DockTable):
    """A row a stage, every cell editable."""

    def __init__(self, label: Note) -> None:
        tooltip = "Sizes, epochs and learning rates of the training, in order"
        super().__init__(label, "Stages", tooltip, stages.COLUMNS)
        self.tell_headers(dict(enumerate(stages.TOOLTIPS)))
        self.setEditTriggers(EDITABLE)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectItems)
        self.setShowGrid(True)
        self.setTabKeyNavigation(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setMinimumSectionSize(NARROWEST)

    def fill(self, rows: Sequence[Sequence[str]]) -> None:
        """Show stages."""
        self.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = self.put(row, column, text, stages.TOOLTIPS[column])
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        self.fit()
