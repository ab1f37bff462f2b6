"""Layers renamed, hidden and deleted, docks closed, while a map is made: nothing goes astray."""

from __future__ import annotations

import threading

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sem_classify.plugin.layers.made_layers import CLASSES, made_from

from ..conftest import SlowEngine, half_dark, until

NM = {"scale": (10, 10), "units": ("nm", "nm")}


@pytest.fixture
def images(real_viewer):
    return [real_viewer.add_image(half_dark(), name=f"field {n}", **NM) for n in (1, 2, 3)]


@pytest.fixture
def gate(small_model):
    """Lets the small model's batches through once it is set."""
    gate = threading.Event()
    small_model.engine = SlowEngine(gate)
    yield gate
    gate.set()


@pytest.fixture
def widget(qtbot, real_viewer, images, open_widget, small_model, gate):
    """Classify at work on the second of three images, with its map in the viewer."""
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    real_viewer.layers.selection.active = images[1]
    until(qtbot, lambda: widget.image_form.layer is images[1] and widget.run_form.button.enabled)
    QTest.mouseClick(widget.run_form.button.native, Qt.MouseButton.LeftButton)
    assert widget.busy
    until(qtbot, lambda: bool(maps(real_viewer)))
    return widget


def maps(viewer):
    return [layer for layer in viewer.layers if layer.name.endswith("classes")]


def delete_by_hand(viewer, layer):
    """Select a layer in the list and press Delete there."""
    viewer.layers.selection.active = layer
    viewer.layers.selection = {layer}
    viewer.layers.remove_selected()


def test_other_layers_that_are_renamed_hidden_and_deleted_change_nothing(
    qtbot, widget, real_viewer, images, gate
):
    first, mine, last = images
    delete_by_hand(real_viewer, first)
    assert widget.image_form.layer is mine
    last.name = "another"
    last.visible = False
    mine.name = "mine"
    mine.visible = False
    real_viewer.layers.move(0, 2)
    assert widget.image_form.layer is mine
    assert widget.busy
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert widget.image_form.layer is mine
    [made] = maps(real_viewer)
    assert made.name == "mine · classes"
    assert made_from(real_viewer, mine, CLASSES) == [made]


def test_the_image_deleted_while_it_runs_leaves_no_map_and_chooses_no_other(
    qtbot, widget, real_viewer, images, gate
):
    delete_by_hand(real_viewer, images[1])
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert maps(real_viewer) == []
    assert "Stopped" in widget.run_form.message.said


def test_the_map_deleted_while_it_runs_stops_the_run(qtbot, widget, real_viewer, images, gate):
    delete_by_hand(real_viewer, maps(real_viewer)[0])
    gate.set()
    until(qtbot, lambda: not widget.busy)
    qtbot.wait(200)
    assert maps(real_viewer) == []
    assert widget.image_form.layer is images[1]


def test_a_dock_closed_while_it_runs_leaves_no_half_map(qtbot, widget, real_viewer, images, gate):
    dock = widget.parent()
    QTest.mouseClick(dock.titleBarWidget().close_button, Qt.MouseButton.LeftButton)
    gate.set()
    until(qtbot, lambda: not _at_work())
    qtbot.wait(100)
    assert maps(real_viewer) == []
    widget.deleteLater()  # napari leaves it to whoever holds it
    qtbot.wait(50)


def test_another_image_chosen_meanwhile_gets_no_map_of_this_one(
    qtbot, widget, real_viewer, images, gate
):
    real_viewer.layers.selection.active = images[2]
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert made_from(real_viewer, images[2], CLASSES) == []
    assert len(made_from(real_viewer, images[1], CLASSES)) == 1


def _at_work():
    return [t for t in threading.enumerate() if t.name.startswith("sem-classify: classifying")]
