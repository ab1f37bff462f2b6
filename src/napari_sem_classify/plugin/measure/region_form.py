"""Connected regions: how many, how large, and where; a click on one goes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray
from qtpy.QtCore import QModelIndex
from qtpy.QtWidgets import QLabel, QWidget

from napari_sem_classify.core.export.geojson import outline
from napari_sem_classify.core.export.quantities import pixels_text
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.regions import Region, find_regions, label_regions
from napari_sem_classify.plugin.app.camera import look_at
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.text import area_text, count_text, counted
from napari_sem_classify.plugin.forms.fitted_table import FittedTable
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, narrow, slim
from napari_sem_classify.plugin.layers.made_layers import remove_layer
from napari_sem_classify.plugin.measure.fields import Field
from napari_sem_classify.plugin.measure.region_table import RegionTable, told_of
from napari_sem_classify.plugin.measure.spotlight import (
    add_outline,
    go_to_plane,
    show_again,
    show_only,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

REGION = "region"
ALL = "all classes"
MOST_CORNERS = 4000
AROUND, LEAST = 20.0, 1.6


@dataclass(frozen=True, slots=True)
class FieldRegions:
    """Regions of one map, and their numbers in its cells."""

    regions: list[Region]
    numbers: NDArray[np.int32]


class RegionForm:
    """Regions of the maps, measured when the form is first looked at."""

    def __init__(self, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        self._viewer = viewer
        self._measuring = JobSlot(owner)
        self._fields: Sequence[Field] = ()
        self._found: list[FieldRegions] | None = None
        self._mark: Any = None
        self._looked_at = False
        self._before: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()
        self.note = Note("About the regions")
        self.summary = FittedTable(
            self.note,
            "Regions of each class",
            "Connected regions of each class; those at the edge touch the border",
            4,
            may_hide=(2,),
        )
        tips = ("", "Number of regions", "Regions that touch the border", "Median of their areas")
        for column, tip in enumerate(tips):
            if tip:
                self.summary.header_tips[column] = tip
        self.of_class = narrow(widgets.ComboBox(choices=[ALL], value=ALL))
        explain(self.of_class, "Class of the regions", "List the regions of this class")
        self.smallest = slim(widgets.SpinBox(value=1, min=1, max=1_000_000))
        explain(self.smallest, "Smallest region", "Leave out regions of fewer cells")
        self.size = Note("Smallest area listed")
        self.table = RegionTable(self.note)
        self.chosen = Note("The region chosen")
        form.wide(self.summary, self.note)
        self._class_row = form.row("Show", self.of_class)
        self._size_row = form.row("From", self.smallest, QLabel("cells"))
        form.wide(self.size, self.table, self.chosen)
        self.of_class.changed.connect(self._list)
        self.smallest.changed.connect(self._list)
        self.table.clicked.connect(self._on_row)
        self.table.activated.connect(self._on_row)  # Enter, for the keyboard
        viewer.layers.events.removed.connect(self._on_removed)
        self._arrange()

    # ------------------------------------------------------------------ measuring

    def use(self, fields: Sequence[Field]) -> None:
        """Measure these maps, as soon as the form is looked at."""
        self._measuring.abandon()
        self.unmark()
        self._fields, self._found = fields, None
        self.note.say("")
        self._arrange()
        if self._looked_at:
            self.look(True)

    def look(self, on: bool) -> None:
        """Hear whether the form is in view."""
        self._looked_at = on
        if not on:
            self.unmark()
        elif self._found is None and not self._measuring.running and self._fields:
            self._measure([field.class_map for field in self._fields])

    def _measure(self, maps: list[ClassMap]) -> None:
        def task(context: JobContext) -> list[FieldRegions]:
            found = []
            for class_map in maps:
                context.check()
                found.append(FieldRegions(find_regions(class_map), label_regions(class_map)))
            return found

        def done(found: list[FieldRegions]) -> None:
            self._found = found
            self.note.say("")
            self._offer_classes()
            self._arrange()
            self._list()

        self.note.say("Measuring the regions…")
        self._measuring.start(
            task, doing="measuring regions", on_done=done, on_failed=self.note.fail
        )

    # ------------------------------------------------------------------ what is shown

    def _offer_classes(self) -> None:
        names = [info.name for info in self._fields[0].class_map.classes]
        before = self.of_class.value
        with self.of_class.changed.blocked():
            self.of_class.choices = [ALL, *names]
            self.of_class.value = before if before in names else ALL

    def _arrange(self) -> None:
        there = self._found is not None
        for part in (self.summary, self._class_row, self._size_row, self.table):
            part.setVisible(there)
        if not there:
            self.size.say("")
            self.chosen.say("")

    def _list(self, _event: Any = None) -> None:
        if self._found is None:
            return
        least, name = int(self.smallest.value), self.of_class.value
        classes = self._fields[0].class_map.classes
        kept = [
            (region, place)
            for place, each in enumerate(self._found)
            for region in each.regions
            if region.cells >= least
        ]
        rows = []
        for info in classes:
            mine = [region for region, _ in kept if region.class_name == info.name]
            edge = sum(region.at_border for region in mine)
            rows.append((info.title, count_text(len(mine)), count_text(edge), _median(mine)))
        self.summary.fill(
            ["Class", "No.", "At edge", "Median"], rows, [info.colour for info in classes]
        )
        shown = [row for row in kept if name in (ALL, row[0].class_name)]
        self.table.put(shown, {info.name: info.colour for info in classes})
        size = self._fields[0].class_map.pixel_size_nm
        side = self._fields[0].class_map.grid.stride
        area = (
            f"{pixels_text(least * side**2)} (not calibrated)"
            if size is None
            else area_text(least * (side * size / 1000) ** 2)
        )
        self.size.say(f"{counted(len(shown), 'region')} of {area} or more.")

    # ------------------------------------------------------------------ going there

    def _on_row(self, index: QModelIndex) -> None:
        region, place = self.table.regions.rows[index.row()]
        self.go_to(region, place)

    def go_to(self, region: Region, place: int) -> None:
        """Show a region: the camera goes there, its border is drawn."""
        if self._found is None or self._fields[place].layer not in self._viewer.layers:
            return
        field = self._fields[place]
        rings = _rings(self._found[place].numbers, region, field)
        low = np.min([ring.min(axis=0) for ring in rings], axis=0)
        high = np.max([ring.max(axis=0) for ring in rings], axis=0)
        self._take_mark_away()
        if len(self._fields) > 1:
            show_only(self._viewer, field, self._before, blind=False)
        self._mark = add_outline(
            self._viewer, field, REGION, rings, (0.24, 0.12), select=False, shape_type="path"
        )
        go_to_plane(self._viewer, field)
        look_at(self._viewer, self._mark, low, high, AROUND, LEAST)
        self.chosen.say(f"{told_of(region)}.")

    def unmark(self) -> None:
        """Take the border away, and have all maps in view again."""
        self._take_mark_away()
        show_again(self._viewer, self._before)
        self.chosen.say("")

    def _take_mark_away(self) -> None:
        mark, self._mark = self._mark, None
        remove_layer(self._viewer, mark)

    def _on_removed(self, event: Any) -> None:
        if self._mark is not None and event.value is self._mark:
            self._mark = None
            self.chosen.say("")

    def stop(self) -> None:
        """Follow the viewer no more."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.unmark()


def _rings(numbers: NDArray[np.int32], region: Region, field: Field) -> list[NDArray[np.float64]]:
    """Borders of a region in the map layer's pixels; its box where they have very many corners."""
    grid = field.class_map.grid
    box, area = region.box, grid.area
    top, left = (box.top - area.top) // grid.stride, (box.left - area.left) // grid.stride
    bottom = -(-(box.bottom - area.top) // grid.stride)
    right = -(-(box.right - area.left) // grid.stride)
    rings = outline(numbers[top:bottom, left:right] == region.number)
    if sum(len(ring) for ring in rings) > MOST_CORNERS:
        rows, cols = bottom - top, right - left
        rings = [[(0, 0), (0, cols), (rows, cols), (rows, 0), (0, 0)]]
    # Cells at the lower and right border are smaller.
    most = np.array([area.height, area.width]) / grid.stride - 0.5
    corner = np.array([top, left]) - 0.5
    return [np.minimum(np.array(ring, dtype=float) + corner, most) for ring in rings]


def _median(regions: Sequence[Region]) -> str:
    if not regions:
        return "–"
    sizes = [region.area_um2 for region in regions if region.area_um2 is not None]
    if len(sizes) == len(regions):
        return area_text(float(np.median(sizes)))
    if not regions[0].is_area:
        return counted(round(float(np.median([region.cells for region in regions]))), "cell")
    return pixels_text(float(np.median([region.area_px for region in regions])))
