"""What is painted counts however fast the next key or click follows it, and is saved."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from real_hand import Hand

from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.plugin.teach.teacher import Teacher

from ..conftest import PLUGIN, half_dark, until
from .conftest import add_classes, corrections, counts, paint, ready


@pytest.fixture
def hand(real_viewer):
    return Hand(real_viewer, random.Random(0))


def middle(layer, tile):
    return np.array(layer.data_to_world(tile))[-2:]


def said(widget, tile):
    mark = widget.teacher.here.marks.get((16 * tile[0], 16 * tile[1], 16))
    return None if mark is None else mark.class_name


def test_strokes_with_a_key_close_behind_all_count(qtbot, widget, real_viewer, hand):
    widget.live.value = False
    add_classes(widget)
    real_viewer.reset_view()
    qtbot.wait(50)
    layer = widget.teacher.painting.layer
    for row in range(8):
        number = row % 2 + 1
        hand.key(str(number))
        hand.stroke([middle(layer, (row, 1))])
        hand.key(str(3 - number))  # nothing else happened meanwhile
        hand.stroke([middle(layer, (row, 3))])
        hand.key(str(number))
        hand.stroke([middle(layer, (row, 3))])  # a double click for the window
        places = [middle(layer, (row, col)) for col in (6, 7, 9)]
        hand.stroke(places, within=lambda: hand.key(str(3 - number)))  # noqa: B023
        hand.key("1")
    for row in range(8):
        name = ("dark", "bright")[row % 2]
        assert [said(widget, (row, col)) for col in (1, 3, 6, 7, 8, 9)] == [name] * 6, row


def test_corrections_count_while_the_map_is_drawn_anew(qtbot, taught, real_viewer, hand):
    layer = taught.teacher.maps.own
    real_viewer.layers.selection.active = layer
    layer.mode = "paint"
    real_viewer.reset_view()
    qtbot.wait(50)
    learner = taught.teacher.learner
    for row in range(1, 8, 2):
        hand.key("2")
        hand.stroke(
            [middle(layer, (row, col)) for col in (1, 2)],
            within=lambda: taught.teacher.maps.draw(learner.learned.class_map),
        )
        hand.key("1")
    assert len(corrections(taught)) == 8
    assert (layer.data[1:8:2, 1:3] == 2).all()


def test_undo_right_behind_a_stroke_takes_that_stroke_back(qtbot, widget, real_viewer, hand):
    widget.live.value = False
    add_classes(widget)
    paint(qtbot, widget, [(0, 0)], 1)
    layer = widget.teacher.painting.layer
    with layer.block_history():
        layer.data[2, 2] = 2  # painted, and the button not yet let go
        widget.keys.undo()
    assert counts(widget) == {"dark": 1, "bright": 0}
    assert layer.data[2, 2] == 0


@pytest.fixture
def two_windows(qtbot, engine, make_napari_viewer, tmp_path):
    """Two viewers with the same image, which lies on disk."""
    path = tmp_path / "coating.tif"
    tifffile.imwrite(path, half_dark())
    made = []
    for _ in range(2):
        viewer = make_napari_viewer()
        viewer.open(str(path), plugin=PLUGIN)
        widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Teach")[1].opened
        ready(qtbot, widget)
        widget.live.value = False
        made.append(widget)
    return path, *made


def test_two_windows_on_one_image_show_what_both_annotated(qtbot, two_windows):
    path, first, second = two_windows
    add_classes(first)
    paint(qtbot, first, [(0, 0)], 1)
    until(qtbot, lambda: not first.teacher.memory.keeper.busy)
    add_classes(second)
    paint(qtbot, second, [(1, 1)], 2)
    until(qtbot, lambda: counts(second) == {"dark": 1, "bright": 1})
    assert second.teacher.painting.layer.data[0, 0] == 1
    paint(qtbot, first, [(2, 2)], 1)
    until(qtbot, lambda: counts(first) == {"dark": 2, "bright": 1})
    assert load_annotations(beside(path)).counts() == {"dark": 2, "bright": 1}
    assert "Another window" in first.keep_form.kept.said


def test_a_failed_save_is_shown_at_once_and_told_again_when_the_dock_closes(
    qtbot, widget, real_viewer, monkeypatch
):
    def full(*_args):
        raise OutputError("The disk is full.")

    told = []
    monkeypatch.setattr("napari_sem_classify.core.annotate.keeper.save_annotations", full)
    monkeypatch.setattr("napari_sem_classify.plugin.teach.teacher.tell_unsaved", told.append)
    add_classes(widget)
    paint(qtbot, widget, [(0, 0)], 1)
    until(qtbot, lambda: "The disk is full." in widget.keep_form.kept.said)
    keeper = widget.teacher.memory.keeper
    real_viewer.window.remove_dock_widget(widget)
    assert "The disk is full." in told[0]
    monkeypatch.undo()
    keeper.flush()
    assert not keeper.busy
    assert keeper.problem == ""
    widget.deleteLater()
    qtbot.wait(50)


def test_each_of_several_corrections_can_be_taken_back(qtbot, taught):
    taught.live.value = False
    layer, teacher = taught.teacher.maps.own, taught.teacher
    for row in (1, 3):
        paint_on(layer, (row, 1), 2)
    for row in (1, 3):
        teacher.book.mark(teacher.key, {(16 * row, 16, 16): None})
        assert layer.data[row, 1] == 1


def test_what_is_painted_while_the_image_is_read_anew_counts(
    qtbot, taught, real_viewer, image_layer, monkeypatch
):
    taught.live.value = False
    layer = taught.teacher.maps.own
    monkeypatch.setattr(Teacher, "_open", lambda *_: None)  # it takes its time
    image = replace(taught.teacher.image, data=image_layer.data.copy())
    taught.teacher.use(image_layer, image, 16)
    assert taught.teacher.key is None
    paint_on(layer, (1, 1), 2)
    paint_on(taught.teacher.painting.layer, (5, 1), 1)
    real_viewer.layers.remove(image_layer)
    marks = taught.teacher.book.annotations.images[0].marks
    assert marks[16, 16, 16].correction
    assert (80, 16, 16) in marks


def paint_on(layer, tile, number):
    with layer.block_history():
        layer.paint(tile, number)
