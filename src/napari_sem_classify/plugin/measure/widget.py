"""The pages *Measure* and *Export*: class maps in, area fractions that can be published out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTabBar, QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.export.measured import Measured
from napari_sem_classify.plugin.forms.layout import Form, Note, explain
from napari_sem_classify.plugin.layers.saved_maps import follow_maps
from napari_sem_classify.plugin.measure.export_form import ExportForm
from napari_sem_classify.plugin.measure.fields import Field, image_behind
from napari_sem_classify.plugin.measure.fraction_form import FractionForm
from napari_sem_classify.plugin.measure.map_list import MapList
from napari_sem_classify.plugin.measure.region_form import RegionForm
from napari_sem_classify.plugin.measure.review_form import ReviewForm
from napari_sem_classify.plugin.measure.reviewer import Corrected, Reviewer

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_sem_classify.core.image.sem_image import SemImage

FRACTIONS, REVIEW, REGIONS = range(3)
TABS = (
    ("Fractions", "Area fractions: raw, corrected, and their spread"),
    ("Review", "Look at a sample of cells to correct the area fractions"),
    ("Regions", "Connected regions: how many, how large, where"),
)


class MeasurePage(Form):
    """What measures class maps; `export_parts`, a page and its foot, write what was measured.

    Attributes
    ----------
    foot : Form
        What is always in view: the buttons that begin a review.
    """

    def __init__(self, viewer: Viewer, owner: QWidget, to_map: Callable[[], None]) -> None:
        super().__init__()
        self._viewer, self._owner = viewer, owner
        self._corrected: Corrected | None = None
        self._stopped = False
        follow_maps(self._viewer)
        self._build(to_map)
        self.map_list.changed.connect(self._on_maps)
        self.tabs.currentChanged.connect(self._on_tab)
        self.review_form.ended.connect(self._on_review)
        self.review_form.result_wanted.connect(self._show_result)
        self.reviewer.changed.connect(self._on_review_step)
        self._on_maps()

    def _build(self, to_map: Callable[[], None]) -> None:
        self.setAccessibleName("Measure")
        self.map_list = MapList(self._viewer, self, self._owner, to_map)
        self.tabs = QTabBar(self)
        explain(self.tabs, "What to measure", "Area fractions, their review, or regions")
        self.tabs.setExpanding(True)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setDrawBase(True)
        for number, (title, tooltip) in enumerate(TABS):
            self.tabs.addTab(title)
            self.tabs.setTabToolTip(number, tooltip)
        self.problem = Note("Problem with the maps")
        self.wide(self.problem, self.tabs)
        self.pages = []
        for _ in TABS:
            page = Form(margin=0)
            self.pages.append(page)
            self.wide(page)
        self.stretch()
        self.reviewer = Reviewer(self._viewer)
        self.fraction_form = FractionForm(self.pages[FRACTIONS], self._owner)
        self.foot, self._review_foot = Form(margin=0), Form()
        self.foot.wide(self._review_foot)
        self.review_form = ReviewForm(
            self._viewer, self.reviewer, self.pages[REVIEW], self._review_foot, self._owner
        )
        self.region_form = RegionForm(self._viewer, self.pages[REGIONS], self._owner)
        self.export_parts = Form(), Form()
        self.export_form = ExportForm(*self.export_parts, self._owner, self._measured, self._copy)

    # ------------------------------------------------------------------ what is measured

    @property
    def fields(self) -> list[Field]:
        """The maps that are measured together."""
        return self.map_list.fields

    def _on_maps(self) -> None:
        fields = self._usable(self.fields)
        self.fraction_form.use(fields)
        self.region_form.use(fields)
        self.review_form.use(fields)
        self._arrange()
        self.export_form.run_form.message.say("")
        self.export_form.refresh()

    def _usable(self, fields: list[Field]) -> list[Field]:
        """The fields, or none and a sentence where they cannot be counted together."""
        from napari_sem_classify.core.measure.review import check_same_classes

        self.problem.say("")
        try:
            if fields:
                check_same_classes([field.class_map for field in fields])
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return []
        return fields

    def _on_review(self) -> None:
        """Bring the corrected fractions up to date: a review began to count, or ended."""
        why_not = ""
        self._corrected = None
        try:
            self._corrected = self.reviewer.corrected()
        except SemClassifyError as error:
            why_not = str(error)
        self.fraction_form.show_corrected(self._corrected)
        self.review_form.tell_result(self._corrected, why_not)

    def _on_review_step(self) -> None:
        active = self.reviewer.active
        self.map_list.follow = not active
        # A glance at the numbers sways the next answers.
        self.tabs.setTabEnabled(FRACTIONS, not active)
        self.tabs.setTabEnabled(REGIONS, not active)

    def _measured(self) -> tuple[Measured, list[Callable[[], SemImage | None]]] | None:
        fields = [] if self.problem.said else self.fields
        if not fields:
            return None
        measured = Measured(
            [field.class_map for field in fields],
            [None] * len(fields),
            None if self._corrected is None else self._corrected.estimate,
            None if self._corrected is None else self._corrected.powered,
            self.fraction_form.spreads,
            saved=[field.saved for field in fields],
            blind=None if self._corrected is None else self._corrected.blind,
        )
        return measured, [image_behind(self._viewer, field) for field in fields]

    def _copy(self) -> None:
        table = self.fraction_form.corrected
        (self.fraction_form.raw if self._corrected is None else table).copy()

    # ------------------------------------------------------------------ what is shown

    def _on_tab(self, number: int) -> None:
        self._arrange()
        self.region_form.look(number == REGIONS and bool(self.fields))

    def _show_result(self) -> None:
        self.tabs.setCurrentIndex(FRACTIONS)

    def _arrange(self) -> None:
        there = bool(self.fields) and not self.problem.said
        self.tabs.setVisible(there)
        for number, page in enumerate(self.pages):
            page.setVisible(there and number == self.tabs.currentIndex())
        self._review_foot.setVisible(there and self.tabs.currentIndex() == REVIEW)

    # ------------------------------------------------------------------ end

    def stop(self) -> None:
        """Let go of the viewer; answers are written already."""
        if self._stopped:
            return
        self._stopped = True
        self.map_list.changed.disconnect(self._on_maps)
        self.review_form.ended.disconnect(self._on_review)
        self.reviewer.changed.disconnect(self._on_review_step)
        self.map_list.stop()
        self.review_form.stop()
        self.region_form.stop()
