"""The Measure widget in a real viewer: which maps, what is shown of them, regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from class_maps import NAMES, map_of, patchy_labels
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox

from napari_sem_classify.plugin.layers.made_layers import add_class_map, update_class_map
from napari_sem_classify.plugin.measure.map_list import EMPTY, FILLING, NO_MAP
from napari_sem_classify.plugin.measure.widget import FRACTIONS, REGIONS

from ..conftest import half_dark, until
from .conftest import COLS, ROWS, answer_all, begin


def test_an_empty_viewer_is_told_what_to_do(qtbot, real_viewer, open_widget):
    widget = open_widget("Measure")
    assert widget.map_list.note.said == EMPTY
    assert widget.tabs.isHidden()
    real_viewer.add_image(half_dark(), name="field")
    until(qtbot, lambda: widget.map_list.note.said == NO_MAP)
    widget.map_list.classify_button.native.click()
    assert open_widget("Classify").frame.page == "Map"


def test_raw_fractions_are_those_of_the_classify_table_and_say_that_they_are_biased(
    widget, open_widget, class_map
):
    shown = widget.fraction_form.raw.texts()
    classify = open_widget("Classify")
    assert shown == classify.result_form.table.texts()
    assert [row[0] for row in shown] == list(NAMES)
    assert "bias" in widget.fraction_form.note.said
    assert "µm²" in shown[0][3]


def test_without_calibration_areas_are_in_px(qtbot, real_viewer, open_widget, truth):
    image = real_viewer.add_image(half_dark(16 * ROWS, 16 * COLS), name="plain")
    add_class_map(real_viewer, map_of(truth, pixel_size_nm=None, image_name="plain"), image)
    widget = open_widget("Measure")
    until(qtbot, lambda: bool(widget.fields))
    assert widget.fraction_form.raw.texts()[0][3].endswith(" px²")
    assert "not calibrated" in widget.fraction_form.note.said
    begin(widget)
    answer_all(widget, truth)
    assert widget.fraction_form.corrected.isColumnHidden(2)


def test_a_map_that_is_being_made_waits_until_it_is_finished(qtbot, real_viewer, widget, layer):
    finished = widget.fields[0].class_map
    update_class_map(real_viewer, layer, replace(finished, record={}))
    until(qtbot, lambda: widget.map_list.note.said == FILLING)
    assert widget.tabs.isHidden()
    update_class_map(real_viewer, layer, finished)
    until(qtbot, lambda: bool(widget.fields))
    assert not widget.tabs.isHidden()


def test_a_painted_cell_counts_as_painted(qtbot, widget, layer):
    before = widget.fraction_form.raw.texts()
    some = np.argwhere(np.asarray(layer.data) == 1)[:5]
    layer.data[tuple(some.T)] = 3
    layer.refresh()
    until(qtbot, lambda: widget.fraction_form.raw.texts() != before)
    crack = widget.fraction_form.raw.texts()[2]
    assert int(crack[1]) == int((np.asarray(layer.data) == 3).sum())


def test_maps_of_different_classes_cannot_be_measured_together(real_viewer, widget, layer, truth):
    image = real_viewer.layers["coating_12"]
    other = add_class_map(real_viewer, map_of(truth, names=("a", "b", "c")), image)
    widget.map_list.tick([layer, other])
    assert "different classes" in widget.problem.said
    assert widget.tabs.isHidden()
    widget.map_list.tick([layer])
    assert not widget.problem.said


def test_one_map_tells_how_another_place_might_differ(qtbot, widget):
    until(qtbot, lambda: widget.fraction_form.spread.rowCount() == 3)
    assert "Another place" in widget.fraction_form.spread_note.said


def test_several_maps_are_fields_with_a_spread(qtbot, real_viewer, widget, layer):
    layers = [layer]
    for seed in (1, 2):
        name = f"field_{seed}"
        image = real_viewer.add_image(half_dark(16 * ROWS, 16 * COLS), name=name)
        class_map = map_of(patchy_labels((ROWS, COLS), seed), image_name=name)
        layers.append(add_class_map(real_viewer, class_map, image))
    widget.map_list.tick(layers)
    assert len(widget.fields) == 3
    assert "E562" in widget.fraction_form.spread_note.said
    cells = sum(int(row[1]) for row in widget.fraction_form.raw.texts())
    assert cells == 3 * ROWS * COLS
    mean = np.mean([f.class_map.fractions()[1].fraction for f in widget.fields])
    assert widget.fraction_form.spread.texts()[1][1].startswith(f"{100 * mean:.1f} ±")


def test_regions_are_listed_sorted_filtered_and_gone_to(qtbot, real_viewer, widget, layer):
    form = widget.region_form
    assert form._found is None, "nothing is measured before it is looked at"
    widget.tabs.setCurrentIndex(REGIONS)
    until(qtbot, lambda: form._found is not None)
    model = form.table.regions
    sizes = [region.area_px for region, _ in model.rows]
    assert sizes == sorted(sizes, reverse=True)
    counted = sum(int(row[1]) for row in form.summary.texts())
    assert counted == len(sizes)
    form.table.sort_by(3)
    aspects = [region.aspect_ratio for region, _ in model.rows]
    assert aspects == sorted(aspects, reverse=True)
    form.smallest.value = 4
    assert all(region.cells >= 4 for region, _ in model.rows)
    form.of_class.value = "oxide"
    assert {region.class_name for region, _ in model.rows} == {"oxide"}
    region, _ = model.rows[0]
    form.table.clicked.emit(model.index(0, 0))
    (mark,) = [each for each in real_viewer.layers if each.name.endswith("region")]
    corners = np.concatenate(mark.data)
    grid = widget.fields[0].class_map.grid
    box = region.box
    low = (np.array([box.top, box.left]) - [grid.area.top, grid.area.left]) / grid.stride - 0.5
    np.testing.assert_allclose(corners.min(axis=0), low)
    assert "oxide" in form.chosen.said
    widget.tabs.setCurrentIndex(FRACTIONS)
    assert mark not in real_viewer.layers


def test_it_fits_a_narrow_dock_and_every_control_is_explained(qtbot, widget, truth):
    begin(widget, 12)
    answer_all(widget, truth)
    assert widget.minimumSizeHint().width() <= 340
    for kind in (QAbstractButton, QComboBox, QAbstractSpinBox):
        for control in widget.findChildren(kind):
            if control.objectName().startswith("qt_") or isinstance(
                control.parent(), (QComboBox, QAbstractSpinBox)
            ):
                continue
            if type(control.parent()).__name__ in ("QTabBar", "QTableView", "QTableWidget"):
                continue
            if type(control.parent()).__name__ in ("FittedTable", "RegionTable"):
                continue
            assert control.toolTip(), control
            assert control.accessibleName(), control
