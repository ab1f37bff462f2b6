"""The review in a real viewer: going through the cells, keeping answers, trouble on the way."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from class_maps import NAMES, map_of, patchy_labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from real_hand import Hand

from napari_sem_classify.core.measure.review import UNSURE
from napari_sem_classify.core.measure.review_file import load_review
from napari_sem_classify.plugin.layers.made_layers import add_class_map, update_class_map
from napari_sem_classify.plugin.measure.reviewer import user_folder
from napari_sem_classify.plugin.measure.widget import FRACTIONS, REVIEW

from ..conftest import PLUGIN, half_dark, until
from .conftest import answer_all, begin, saved


def press(widget, key):
    QTest.keyClick(widget._viewer.window._qt_viewer.canvas.native, key)


# ---------------------------------------------------------------------- the review


@pytest.mark.filterwarnings("ignore")
def test_answers_in_quick_succession_all_count(qtbot, real_viewer, widget, picture):
    begin(widget)
    hand = Hand(real_viewer, random.Random(0))
    told = [1 + at * 7 % 3 for at in range(30)]
    for at, number in enumerate(told):
        if at % 5 == 3:
            centre = np.array(real_viewer.camera.center)[-2:]
            hand.stroke([centre, centre + 1.0])
        if at % 5 == 4:
            widget.review_form.cell_form.buttons[number - 1].click()
        else:
            hand.key(str(number))
    assert [cell.answer for cell in saved(picture).cells[:30]] == told


def test_the_whole_review_corrects_the_fractions(qtbot, widget, layer, truth):
    begin(widget, 60)
    answer_all(widget, truth)
    corrected = widget.reviewer.corrected().estimate
    true = [(truth == k).mean() for k in (1, 2, 3)]
    raw = widget.fields[0].class_map.fractions()
    assert abs(corrected.corrected[1].value - true[1]) < abs(raw[1].fraction - true[1])
    assert corrected.corrected[1].low <= true[1] <= corrected.corrected[1].high
    assert widget.review_form.show_result.native.isVisibleTo(widget.pages[REVIEW])
    widget.review_form.show_result.native.click()
    assert widget.tabs.currentIndex() == FRACTIONS
    assert len(widget.fraction_form.corrected.texts()) == 3
    assert "60 reviewed cells" in widget.fraction_form.corrected_note.said
    methods = widget.fraction_form.method
    assert len(methods.choices) == 2
    methods.value = methods.choices[1]
    assert widget.fraction_form.shares == widget.reviewer.corrected().powered


def test_blind_hides_what_the_model_says_and_shows_it_again(qtbot, real_viewer, widget, layer):
    own = real_viewer.add_image(np.ones((20, 20)), name="another picture")
    real_viewer.layers.selection.active = layer
    camera = real_viewer.scene.camera if hasattr(real_viewer, "scene") else real_viewer.camera
    view = camera.zoom
    begin(widget)
    assert not layer.visible
    assert not own.visible, "a picture on top would hide the cell"
    assert real_viewer.layers["coating_12"].visible
    assert not widget.tabs.isTabEnabled(FRACTIONS)
    late = add_class_map(real_viewer, widget.fields[0].class_map, real_viewer.layers["coating_12"])
    until(qtbot, lambda: not late.visible)
    widget.review_form.cell_form.pause.click()
    assert layer.visible
    assert own.visible
    assert late.visible
    assert camera.zoom == view
    assert real_viewer.layers.selection.active is layer
    until(qtbot, lambda: all("cell to review" not in each.name for each in real_viewer.layers))


def test_who_wants_to_see_the_map_sees_it(widget, layer):
    widget.review_form.blind.value = False
    begin(widget)
    assert layer.visible


def test_the_file_says_whether_the_map_was_hidden_at_every_answer(widget, layer, picture, truth):
    begin(widget, 12)
    assert saved(picture).blind is None
    widget.reviewer.answer(1)
    assert saved(picture).blind is True
    layer.visible = True  # by hand, in the layer list
    widget.reviewer.answer(1)
    assert saved(picture).blind is False
    answer_all(widget, truth)
    assert saved(picture).blind is False
    assert "in view during the review" in widget.fraction_form.notes.said


def test_the_outline_lies_around_the_cell_in_the_middle_of_the_view(real_viewer, widget, layer):
    begin(widget)
    cell, outline = widget.reviewer.cell, widget.review_form.spotlight.outline
    middle = outline.data_to_world(outline.data[0].mean(axis=0))
    np.testing.assert_allclose(middle, layer.data_to_world((cell.row, cell.col)))
    camera = real_viewer.scene.camera if hasattr(real_viewer, "scene") else real_viewer.camera
    np.testing.assert_allclose(camera.center[-2:], middle)
    size = np.ptp(outline.data[0], axis=0)
    np.testing.assert_allclose(size, 1.11, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_keys_answer_and_go_back(widget, picture):
    begin(widget)
    press(widget, Qt.Key.Key_2)
    press(widget, Qt.Key.Key_U)
    press(widget, Qt.Key.Key_Space)
    assert [cell.answer for cell in saved(picture).cells[:4]] == [2, UNSURE, "skipped", None]
    press(widget, Qt.Key.Key_Backspace)
    press(widget, Qt.Key.Key_Backspace)
    assert widget.reviewer.at == 1
    assert "unsure" in widget.review_form.cell_form.where.said
    press(widget, Qt.Key.Key_3)
    assert saved(picture).cells[1].answer == 3
    press(widget, Qt.Key.Key_9)
    assert saved(picture).n_answered == 2, "there is no class 9"
    layers = widget._viewer.layers
    layers.selection.active = layers["coating_12"]
    press(widget, Qt.Key.Key_1)
    assert saved(picture).n_answered == 2, "keys are the outline's, not the viewer's"


def test_after_the_last_cell_number_keys_do_nothing(real_viewer, widget, layer):
    real_viewer.layers.selection.active = layer
    mode = str(layer.mode)
    begin(widget, 4)
    for _ in range(4):
        press(widget, Qt.Key.Key_1)
    assert widget.reviewer.finished
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_4):
        press(widget, key)
    assert [str(each.mode) for each in real_viewer.layers] == ["pan_zoom"] * len(real_viewer.layers)
    assert str(layer.mode) == mode == "pan_zoom"


def test_the_key_help_tells_the_keys_of_the_review(real_viewer, widget, layer):
    begin(widget, 4)
    outline = widget.review_form.spotlight.outline
    for mode in ("pan_zoom", "select", "pan_zoom"):
        outline.mode = mode
        assert "<1> to <9> for a class" in real_viewer.help
        assert "<space> for the next" in real_viewer.help
        assert "add" not in real_viewer.help


def test_buttons_answer_too_and_progress_is_told(widget):
    begin(widget)
    form = widget.review_form.cell_form
    assert [button.accessibleName() for button in form.buttons] == list(NAMES)
    assert form.where.said.startswith("1 of 40")
    form.buttons[1].click()
    assert widget.reviewer.review.cells[0].answer == 2
    assert form.where.said.startswith("2 of 40")
    assert form.bar.native.value() == 1
    form.back.click()
    assert "oxide" in form.where.said


def test_cells_left_for_later_come_at_the_end_one_after_the_other(widget):
    begin(widget, 12)
    for _ in range(2):
        widget.review_form.cell_form.later.click()
    while widget.reviewer.cell.answer is None:
        widget.reviewer.answer(1)
    assert widget.reviewer.at == 0
    widget.review_form.cell_form.later.click()
    assert widget.reviewer.at == 1
    assert "Left for later" in widget.review_form.cell_form.where.said
    widget.reviewer.answer(1)
    widget.reviewer.answer(1)
    assert widget.reviewer.finished


def test_a_killed_review_goes_on_where_it_stopped(
    qtbot, real_viewer, widget, layer, picture, truth
):
    begin(widget)
    for _ in range(7):
        widget.reviewer.answer(1)
    # What a kill leaves: the file, as it was after the last answer.
    left = saved(picture)
    assert left.n_answered == 7
    path = picture.parent / "kept.map.tif"
    layer.save(str(path))
    real_viewer.layers.clear()
    assert not widget.reviewer.active
    real_viewer.open(str(path), plugin=PLUGIN)
    until(qtbot, lambda: bool(widget.fields))
    assert widget.reviewer.review == left
    assert "7 of 40" in widget.review_form.found.said
    widget.tabs.setCurrentIndex(REVIEW)
    widget.review_form.go_on.native.click()
    assert widget.reviewer.at == 7
    answer_all(widget, truth)
    assert saved(picture).n_answered == 40


def test_a_map_made_anew_does_not_take_the_old_review(qtbot, real_viewer, widget, layer, picture):
    begin(widget)
    widget.reviewer.answer(1)
    changed = widget.fields[0].class_map
    fresh = changed.probabilities.copy()
    fresh[0, 0] = np.roll(fresh[0, 0], 1)
    update_class_map(real_viewer, layer, replace(changed, probabilities=fresh))
    until(qtbot, lambda: widget.reviewer.review is None)
    assert not widget.reviewer.active
    assert "earlier class map" in widget.review_form.found.said
    old = (picture.parent / "coating_12.review.json").read_bytes()
    begin(widget)
    widget.reviewer.answer(2)
    assert (picture.parent / "coating_12.review.json").read_bytes() == old
    assert load_review(picture.parent / "coating_12-2.review.json").n_answered == 1


def test_more_cells_for_a_wanted_precision(widget, truth, picture):
    begin(widget, 30)
    answer_all(widget, truth)
    form = widget.review_form
    form.wanted.value = 3.0
    more = form._more.total
    assert more > 0
    assert f"{more} more" in form.more.text
    form.more.native.click()
    assert widget.reviewer.active
    assert len(saved(picture).cells) == 30 + more
    answer_all(widget, truth)
    halves = [s.half_width for s in widget.reviewer.corrected().estimate.corrected]
    assert max(halves) < 0.05


# ---------------------------------------------------------------------- trouble


def test_nothing_reviewed_and_all_unsure_are_told_in_a_sentence(widget, truth):
    begin(widget, 12)
    widget.review_form.cell_form.pause.click()
    assert "No cell was reviewed yet" in widget.review_form.found.said
    widget.review_form.go_on.native.click()
    answer_all(widget, truth, unless=lambda _cell: UNSURE)
    assert "unsure" in widget.review_form.found.said
    assert "review more cells" in widget.review_form.found.said
    assert widget.fraction_form.corrected.isHidden()


def test_a_map_with_one_class_only_is_reviewed_all_the_same(qtbot, real_viewer, open_widget):
    image = real_viewer.add_image(half_dark(64, 64), name="one")
    add_class_map(real_viewer, map_of(np.ones((4, 4), int), image_name="one"), image)
    widget = open_widget("Measure")
    until(qtbot, lambda: bool(widget.fields))
    begin(widget, 8)
    answer_all(widget, np.ones((4, 4), int))
    shares = widget.reviewer.corrected().estimate.corrected
    assert [round(share.value, 6) for share in shares] == [1.0, 0.0, 0.0]
    assert shares[0].low < 1.0


def test_the_buttons_that_begin_do_not_scroll_and_belong_to_the_review_alone(widget):
    form = widget.review_form
    assert widget.foot.isAncestorOf(form.start.native)
    assert not form.start.native.isVisibleTo(widget.foot)
    begin(widget)
    widget.reviewer.answer(1)
    widget.reviewer.pause()
    for each in (form.start, form.go_on):
        assert each.native.isVisibleTo(widget.foot)
    assert not widget.isAncestorOf(form.go_on.native)


def test_a_map_without_any_class_says_so(qtbot, real_viewer, open_widget):
    image = real_viewer.add_image(half_dark(64, 64), name="none")
    add_class_map(real_viewer, map_of(np.zeros((4, 4), int), image_name="none"), image)
    widget = open_widget("Measure")
    until(qtbot, lambda: bool(widget.fields))
    assert "all were left out" in widget.fraction_form.note.said
    widget.review_form.start.native.click()
    assert "no classified cell" in widget.review_form.problem.said


@pytest.mark.parametrize("what", ["map", "image", "outline"])
def test_removing_a_layer_in_mid_review_pauses_it_and_keeps_the_answers(
    qtbot, real_viewer, widget, layer, picture, what
):
    begin(widget)
    widget.reviewer.answer(1)
    gone = {
        "map": layer,
        "image": real_viewer.layers["coating_12"],
        "outline": widget.review_form.spotlight.outline,
    }[what]
    real_viewer.layers.remove(gone)
    until(qtbot, lambda: not widget.reviewer.active)
    assert saved(picture).n_answered == 1
    until(qtbot, lambda: all("cell to review" not in each.name for each in real_viewer.layers))
    if what == "image":
        widget.review_form.go_on.native.click()
        assert "open it" in widget.review_form.problem.said


def test_renaming_layers_in_mid_review_changes_nothing(qtbot, real_viewer, widget, layer, picture):
    begin(widget)
    layer.name = "mine"
    real_viewer.layers["coating_12"].name = "other"
    widget.reviewer.answer(2)
    assert widget.reviewer.active
    assert saved(picture).n_answered == 1
    until(qtbot, lambda: widget.map_list.list.item(0).text() == "mine")


@pytest.mark.own_window
def test_closing_the_viewer_in_mid_review_keeps_the_answers(qtbot, real_viewer, widget, picture):
    begin(widget)
    widget.reviewer.answer(2)
    widget.reviewer.answer(1)
    with qtbot.capture_exceptions() as raised:
        real_viewer.close()
        qtbot.wait(50)
    assert raised == []
    assert [cell.answer for cell in saved(picture).cells[:3]] == [2, 1, None]


def test_closing_the_widget_in_mid_review_shows_the_map_again(real_viewer, widget, layer, picture):
    begin(widget)
    widget.reviewer.answer(2)
    real_viewer.window.remove_dock_widget("all")
    assert layer.visible
    assert saved(picture).n_answered == 1


def test_answers_of_an_image_in_a_read_only_folder_go_to_the_users_own(
    widget, picture, monkeypatch
):
    from napari_sem_classify.core.common.errors import OutputError
    from napari_sem_classify.core.measure.review_file import save_review
    from napari_sem_classify.plugin.measure import reviewer

    def refuse(review, path):
        if path.parent == picture.parent:
            raise OutputError(f"{path} cannot be written (read only).")
        save_review(review, path)

    monkeypatch.setattr(reviewer, "save_review", refuse)
    begin(widget)
    widget.reviewer.answer(2)
    assert widget.reviewer.path.parent == user_folder()
    assert load_review(widget.reviewer.path).n_answered == 1
    assert not widget.reviewer.problem


def test_a_full_disk_is_told_and_the_answers_are_written_when_there_is_room(
    widget, picture, monkeypatch
):
    from napari_sem_classify.core.common.errors import OutputError
    from napari_sem_classify.plugin.measure import reviewer

    def full(_review, path):
        raise OutputError(f"{path} cannot be written (No space left on device).")

    begin(widget)
    with monkeypatch.context() as patch:
        patch.setattr(reviewer, "save_review", full)
        widget.reviewer.answer(2)
        widget.reviewer.answer(1)
        assert "No space left" in widget.review_form.problem.said
    assert saved(picture).n_answered == 0
    widget.reviewer.answer(3)
    assert saved(picture).n_answered == 3
    assert not widget.review_form.problem.said


def test_a_plane_of_a_stack_is_reviewed_in_its_plane(qtbot, real_viewer, open_widget):
    place = {"scale": (100, 50, 50), "units": ("nm",) * 3}
    stack = real_viewer.add_image(np.ones((3, 64, 96), np.uint8), name="stack", **place)
    first = replace(map_of(patchy_labels((4, 6)), image_name="stack"), plane=(0,))
    last = replace(map_of(patchy_labels((4, 6), 1), image_name="stack"), plane=(2,))
    layer = add_class_map(real_viewer, first, stack, leading_shape=(3,))
    update_class_map(real_viewer, layer, last)
    widget = open_widget("Measure")
    until(qtbot, lambda: len(widget.fields) == 2)
    begin(widget, 30)
    seen = set()
    while widget.reviewer.cell is not None:
        plane = widget.fields[widget.reviewer.cell.image].class_map.plane[0]
        assert real_viewer.dims.point[0] == 100 * plane
        seen.add(plane)
        widget.reviewer.answer(1)
    assert seen == {0, 2}
