"""Keys, suggestions, doubtful annotations, confusions, and corrections on a finished map."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.layers.made_layers import CLASSES, made_from
from napari_sem_classify.plugin.teach.correction_marks import CORRECTIONS

from ..conftest import until
from .conftest import TILE, corrections, counts, learned, own_map, paint, press

# ---------------------------------------------------------------------- keys and tours


@pytest.mark.filterwarnings("ignore")
def test_number_keys_choose_the_class_and_ctrl_z_takes_a_stroke_back(qtbot, taught):
    press(taught, Qt.Key.Key_1)
    assert taught.teacher.painting.layer.selected_label == 1
    assert taught.class_table.number == 0
    paint(qtbot, taught, [(1, 1)], 1)
    press(taught, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert counts(taught)["dark"] == 12
    assert taught.teacher.painting.layer.data[1, 1] == 0


@pytest.mark.filterwarnings("ignore")
def test_suggested_tiles_are_annotated_skipped_and_gone_back_to_by_keys(qtbot, taught):
    learned(qtbot, taught)
    taught.guide.button.native.click()
    until(qtbot, lambda: taught.guide.tour.active)
    first = taught.guide.tour.place
    assert first not in taught.teacher.here.marks
    press(taught, Qt.Key.Key_2)
    assert taught.teacher.here.marks[first].class_name == "bright"
    second = taught.guide.tour.place
    assert second != first
    press(taught, Qt.Key.Key_Space)
    assert taught.guide.tour.place not in (first, second)
    press(taught, Qt.Key.Key_Backspace)
    assert taught.guide.tour.place == second
    taught.guide.button.native.click()
    assert not taught.guide.tour.active
    until(qtbot, lambda: all("look at" not in each.name for each in taught._viewer.layers))


def test_a_wrong_annotation_is_found_and_shown(qtbot, taught):
    paint(qtbot, taught, [(5, 2)], 2)
    learned(qtbot, taught)
    assert taught.guide.doubts.said == "1 annotation looks wrong"
    taught.guide.visit_doubts()
    assert taught.guide.tour.place == (5 * TILE, 2 * TILE, TILE)


def test_a_cell_of_the_confusion_matrix_shows_its_tiles(qtbot, taught):
    paint(qtbot, taught, [(5, 2)], 2)
    learned(qtbot, taught)
    taught.score_form.matrix.cellClicked.emit(1, 0)
    assert taught.guide.tour.place == (5 * TILE, 2 * TILE, TILE)
    assert "bright taken for dark" in taught.guide.where.said


# ---------------------------------------------------------------------- correcting


def correct(qtbot, layer, place, number):
    with layer.block_history():
        layer.paint(place, number)
    qtbot.wait(20)


def test_painting_on_the_map_corrects_it_and_survives_the_next_fit(qtbot, taught):
    correct(qtbot, taught.teacher.maps.own, (5, 5), 2)
    assert corrections(taught) == [(5 * TILE, 5 * TILE, TILE)]
    learned(qtbot, taught)
    taught.run_form.button.native.click()
    learned(qtbot, taught)
    assert own_map(taught)[5, 5] == 2
    maps = session_of(taught._viewer).maps[taught.teacher.maps.own]
    assert maps[()].probabilities[5, 5].tolist() == [0.0, 1.0]


def test_erasing_a_correction_shows_what_the_model_says(qtbot, taught):
    correct(qtbot, taught.teacher.maps.own, (5, 5), 2)
    learned(qtbot, taught)
    correct(qtbot, taught.teacher.maps.own, (5, 5), 0)
    assert corrections(taught) == []
    learned(qtbot, taught)
    assert own_map(taught)[5, 5] == 1


def test_corrections_are_taken_back_one_by_one(qtbot, taught):
    correct(qtbot, taught.teacher.maps.own, (5, 5), 2)
    correct(qtbot, taught.teacher.maps.own, (5, 6), 2)
    taught.class_table.undo.click()
    assert corrections(taught) == [(5 * TILE, 5 * TILE, TILE)]


def test_corrected_tiles_have_marks_of_their_own(qtbot, taught):
    viewer, image = taught._viewer, taught.teacher.layer
    assert made_from(viewer, image, CORRECTIONS) == []
    active = viewer.layers.selection.active
    correct(qtbot, taught.teacher.maps.own, (5, 5), 2)
    correct(qtbot, taught.teacher.maps.own, (5, 9), 1)
    (marks,) = made_from(viewer, image, CORRECTIONS)
    assert marks.name == "sample_1 · corrections"
    assert marks.data.tolist() == [[5.5 * TILE - 0.5] * 2, [5.5 * TILE - 0.5, 9.5 * TILE - 0.5]]
    assert list(marks.features["class"]) == ["bright", "dark"]
    assert not np.allclose(marks.face_color[0], marks.face_color[1])
    assert viewer.layers.selection.active is active
    taught.class_table.undo.click()
    assert len(marks.data) == 1
    taught.class_table.undo.click()
    assert made_from(viewer, image, CORRECTIONS) == []


def test_a_map_made_by_classify_is_corrected_and_stays_so_after_another_run(
    qtbot, widget, open_widget, small_model
):
    classify = open_widget("Classify")
    classify.model_form.offer(small_model.entry)
    until(qtbot, lambda: classify.image_form.image is not None)

    def run():
        classify.run_form.button.native.click()
        until(qtbot, lambda: not classify.busy)
        qtbot.wait(50)
        return made_from(widget._viewer, widget.teacher.layer, CLASSES)[-1]

    made = run()
    before = int(made.data[2, 2])
    correct(qtbot, made, (2, 2), 2)
    assert corrections(widget) == [(2 * TILE, 2 * TILE, TILE)]
    assert widget.teacher.book.annotations.class_names == ("bright",)
    again = run()
    assert again is not made
    assert before != 2
    assert int(again.data[2, 2]) == 2


def test_the_list_of_corrections_leads_to_a_tile_and_takes_one_back(qtbot, taught, real_viewer):
    listed = taught.correction_list
    assert not listed.list.isVisibleTo(taught)
    own = taught.teacher.maps.own
    for at in ((1, 1), (6, 2)):
        own.selected_label = 2
        own.paint(at, 2)
        qtbot.wait(20)
    until(qtbot, lambda: listed.list.count() == 2)
    assert listed.list.item(0).text() == "bright · 16, 16 px"
    camera = getattr(real_viewer, "scene", real_viewer).camera  # napari 0.9 moved it
    camera.center = (0, 0)
    item = listed.list.item(1)
    rect = listed.list.visualItemRect(item)
    qtbot.mouseClick(listed.list.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    assert camera.center[-2:] == pytest.approx((10 * 103.5, 10 * 39.5), abs=10)
    listed.take_back.click()
    learned(qtbot, taught)
    assert corrections(taught) == [(16, 16, 16)]
    assert own_map(taught)[6, 2] == 1
    assert own_map(taught)[1, 1] == 2
    assert listed.list.count() == 1


def test_the_table_of_classify_follows_a_correction(qtbot, taught, real_viewer, open_widget):
    classify = open_widget("Classify")
    until(qtbot, lambda: classify.result_form.table.rowCount() == 2)
    before = classify.result_form.table.item(1, 1).text()
    own = taught.teacher.maps.own
    own.paint((1, 1), 2)
    until(qtbot, lambda: classify.result_form.table.item(1, 1).text() != before)


def test_a_map_that_is_opened_again_shows_its_corrections(qtbot, taught, real_viewer, tmp_path):
    own = taught.teacher.maps.own
    saved = str(tmp_path / "sample.map.tif")
    own.save(saved, plugin="napari-sem-classify")
    correct(qtbot, own, (1, 1), 2)
    learned(qtbot, taught)
    taught.live.value = False
    real_viewer.layers.remove(own)
    real_viewer.open(saved, plugin="napari-sem-classify")
    again = made_from(real_viewer, taught.teacher.layer, CLASSES)[-1]
    until(qtbot, lambda: int(again.data[1, 1]) == 2)
    correct(qtbot, again, (2, 2), 2)
    assert corrections(taught) == [(16, 16, 16), (32, 32, 16)]
