"""How to train: preset, stages, device, seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from magicgui import widgets
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidgetItem, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import DEFAULT_PRESET, PRESETS, Preset
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.finetune import stages
from napari_sem_classify.plugin.finetune.training_tasks import devices
from napari_sem_classify.plugin.forms.dock_table import EDITABLE, NARROWEST, DockTable
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, narrow, slim
from napari_sem_classify.plugin.forms.network_row import NetworkRow

TITLES = {"sem": "SEM (this program's)", "article": "as the article of 2020"}
AUTOMATIC = ("automatic", "auto")


class ScheduleForm:
    """Choice of preset and stages."""

    changed = Signal()

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._filling = False
        self._finding = JobSlot(owner)
        self._build(form)
        self._use_preset()
        self.preset.changed.connect(self._use_preset)
        self.stages.itemChanged.connect(self._on_cell)
        self.more.changed.connect(self._add_stage)
        self.fewer.changed.connect(self._remove_stage)
        self.options.native.toggled.connect(self._show_options)
        self.network.changed.connect(self.changed.emit)
        for control in (self.device, self.seed, self.find_rate, self.patience, self.mixup):
            control.changed.connect(lambda *_: self.changed.emit())

    def _build(self, form: Form) -> None:
        choices = [(TITLES.get(name, name), name) for name in PRESETS]
        self.preset = narrow(widgets.ComboBox(choices=choices, value=DEFAULT_PRESET), least=5)
        explain(self.preset, "Preset", "The way to train: this program's own, or the article's")
        self.options = button("More ▾", "Stages, seed and further settings", "More settings")
        self.options.native.setCheckable(True)
        form.row("Preset", self.preset, self.options)
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
        self.device = narrow(widgets.ComboBox(choices=[AUTOMATIC]))
        explain(self.device, "Device", "The processor that trains")
        form.row("Device", self.device)
        self._show_options(False)

    # ------------------------------------------------------------------ what is chosen

    def chosen_options(self) -> FineTuneOptions | None:
        """How to train, None where the stages cannot be read; the form then says why."""
        preset = self.chosen_preset()
        if preset is None:
            return None
        return FineTuneOptions(
            preset,
            device=str(self.device.value),
            seed=int(self.seed.value),
            search_rate=bool(self.find_rate.value),
            backbone_id=self.network.chosen,
        )

    def chosen_preset(self) -> Preset | None:
        """The preset with the stages of the table."""
        try:
            found = stages.stages_of(self.stages.texts())
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return None
        self.problem.say("")
        preset = PRESETS[str(self.preset.value)]
        # Zero leaves what the preset has.
        return replace(
            preset,
            stages=found,
            patience=int(self.patience.value) or preset.patience,
            mixup=float(self.mixup.value) or preset.mixup,
        )

    # ------------------------------------------------------------------ what the user does

    def _use_preset(self) -> None:
        self.set_stages([stages.texts_of(s) for s in PRESETS[str(self.preset.value)].stages])

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
        self._tell()

    def _on_cell(self, _item: QTableWidgetItem) -> None:
        if not self._filling:
            self._tell()

    def _tell(self) -> None:
        preset = self.chosen_preset()
        if preset is not None:
            sizes = " → ".join(f"{stage.size}" for stage in preset.stages)
            own = ", edited" if preset.stages != PRESETS[preset.name].stages else ""
            self.said.say(f"{sizes} px · {preset.epochs} epochs{own}")
        self.changed.emit()

    def _show_options(self, shown: bool) -> None:
        for row in (self._stage_row, self._seed_row, self._rate_row, self._other_row, self.stages):
            row.setVisible(shown)
        self.network.show(shown)
        self.options.text = "More ▴" if shown else "More ▾"

    def set_enabled(self, enabled: bool) -> None:
        """Let the training be changed, or not while it runs."""
        settings = (self.seed, self.find_rate, self.patience, self.mixup, self.device)
        for control in (self.preset, self.more, self.fewer, *settings):
            control.enabled = enabled
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
