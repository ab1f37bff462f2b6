"""The sample comes while the window stays alive, by the button and by napari's menu."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

from napari_sem_classify.core.sample import cross_section
from napari_sem_classify.plugin.layers.made_layers import CLASSES, made_from

from ..conftest import PLUGIN, until


@pytest.fixture
def waits_for_the_window(monkeypatch):
    """Makes a small sample, and that only once the window's event loop came round meanwhile."""
    came_round = threading.Event()
    calls = []
    real = cross_section.generate_cross_section

    def generate(seed, job=None):
        calls.append(threading.current_thread())
        assert came_round.wait(30), "the window stood still"
        return real((256, 256), seed, job=job)

    timer = QTimer()
    timer.timeout.connect(lambda: calls and came_round.set())
    timer.start(5)
    monkeypatch.setattr(cross_section, "generate_cross_section", generate)
    yield calls
    timer.stop()


@pytest.fixture
def classify(open_widget, small_model):
    """The dock on an empty viewer, with a small model at the sample's scale."""
    card = replace(small_model.classifier.card, pixel_size_nm=cross_section.PIXEL_SIZE_NM)
    small_model.classifier = replace(small_model.classifier, card=card)
    widget = open_widget("Classify")
    widget.model_form.offer(replace(small_model.entry, card=card))
    return widget


def click(button):
    QTest.mouseClick(button.native, Qt.MouseButton.LeftButton)


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_the_button_opens_it_and_tells_how_far_it_is(
    qtbot, real_viewer, open_widget, waits_for_the_window
):
    form = open_widget("Classify").image_form
    click(form.sample_button)
    assert form.empty.said.startswith("Making the sample")
    assert names(real_viewer) == []
    click(form.sample_button)  # a double click makes one
    until(qtbot, lambda: form.image is not None and len(real_viewer.layers) == 2)
    assert names(real_viewer) == ["coating-cross-section", "coating-cross-section · truth"]
    assert real_viewer.layers.selection.active is real_viewer.layers[0]
    assert len(waits_for_the_window) == 1
    assert waits_for_the_window[0] is not threading.main_thread()


def test_naparis_menu_gets_it_at_once_and_the_window_goes_on(real_viewer, waits_for_the_window):
    made = real_viewer.open_sample(PLUGIN, "cross_section")
    assert [layer.name for layer in made] == names(real_viewer)
    assert len(made) == 2
    assert waits_for_the_window[0] is not threading.main_thread()


def test_what_fails_is_told_in_the_dock(qtbot, real_viewer, open_widget, monkeypatch):
    def fail(seed, job=None):
        raise MemoryError

    monkeypatch.setattr(cross_section, "generate_cross_section", fail)
    form = open_widget("Classify").image_form
    click(form.sample_button)
    until(qtbot, lambda: "memory" in form.empty.said)
    assert names(real_viewer) == []


def test_closing_the_dock_meanwhile_does_no_harm(
    qtbot, real_viewer, open_widget, waits_for_the_window
):
    widget = open_widget("Classify")
    click(widget.image_form.sample_button)
    real_viewer.window.remove_dock_widget("all")
    until(qtbot, lambda: len(real_viewer.layers) == 2)


# ---------------------------------------------------------------------- one press to a map


def maps(viewer, widget):
    return made_from(viewer, widget.image_form.layer, CLASSES)


@pytest.mark.parametrize("opened_before", [False, True])
def test_one_press_from_an_empty_viewer_makes_a_map_of_the_sample(
    qtbot, real_viewer, classify, waits_for_the_window, opened_before
):
    classify.frame.turn_to("Measure")
    if opened_before:
        click(classify.image_form.sample_button)
    click(classify.try_sample.button)
    click(classify.try_sample.button)
    assert classify.frame.page == "Map"
    assert classify.run_form.running
    until(qtbot, lambda: classify.run_form.message.said.startswith("Done"))
    assert len(waits_for_the_window) == 1
    assert len(maps(real_viewer, classify)) == 1
    assert classify.image_form.beginning.isHidden()


def test_cancel_while_the_sample_is_made_opens_it_and_classifies_nothing(
    qtbot, real_viewer, classify, waits_for_the_window
):
    click(classify.try_sample.button)
    click(classify.run_form.stop)
    until(qtbot, lambda: classify.run_form.button.enabled)
    assert len(real_viewer.layers) == 2
    assert not classify.busy
    assert not classify.run_form.running
    assert maps(real_viewer, classify) == []


def test_a_sample_that_fails_leaves_the_dock_ready_for_another_try(qtbot, classify, monkeypatch):
    def fail(seed, job=None):
        raise MemoryError

    monkeypatch.setattr(cross_section, "generate_cross_section", fail)
    click(classify.try_sample.button)
    until(qtbot, lambda: "memory" in classify.image_form.empty.said)
    assert not classify.run_form.running
    assert not classify.try_sample.wanted
