"""The window that the tests share comes back as new, and what a test leaves in it is found."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import shared_window
from napari.components.overlays import TextOverlay
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget
from shared_window import SharedWindow, Shelf, settle

from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.layers.legend import Legend, legend_of

from ..conftest import PLUGIN


class OurWidget(QWidget):
    """Stands for a widget of the plugin."""

    __module__ = "napari_sem_classify.plugin.test"


def test_after_a_fault_there_is_another_window(qtbot, shelf):
    shelf.throw_away()
    own = Shelf()
    seen = []
    with own.lend(lambda: True) as viewer:
        seen.append(viewer.window)
    with pytest.raises(AssertionError, match="timer of None"), own.lend(lambda: False) as viewer:
        seen.append(viewer.window)
        left = QTimer()
        left.start(60_000)
    left.stop()
    with pytest.raises(AssertionError, match="own_window"), own.lend(lambda: False) as viewer:
        seen.append(viewer.window)
        viewer.close()
    assert len({id(each) for each in seen}) == 3


@pytest.fixture(scope="module")
def window(shelf):
    shelf.throw_away()
    window = SharedWindow()
    yield window
    window.close()


def test_it_comes_back_as_new(qtbot, window):
    with window.lent() as left:
        viewer = window.viewer
        assert window.differences() == []
        viewer.add_image(np.zeros((2, 3, 30, 40), np.uint8), axis_labels=("t", "z", "y", "x"))
        viewer.add_labels(np.zeros((30, 40), np.uint8)).events.visible.connect(print)
        for name in ("Classify", "Measure"):
            assert viewer.window.add_plugin_dock_widget(PLUGIN, name)[1].opened
        legend_of(viewer)
        viewer.dims.ndisplay = 3
        viewer.dims.set_current_step(0, 1)
        viewer.scene.camera.angles = (10, 20, 30)
        viewer.canvas.grid.enabled = True
        viewer.canvas.overlays["more"] = TextOverlay(text="more")
        viewer.title = viewer.status = "another"
        viewer.mouse_over_canvas = True
        assert len(window.differences()) > 10
    assert left == []
    assert window.differences() == []


def listening(window):
    legend = Legend(window.viewer)
    yield legend
    for event in ("inserted", "removed", "reordered"):
        getattr(window.viewer.layers.events, event).disconnect(legend._on_layers)


def thread(_window):
    go_on = threading.Event()
    running = threading.Thread(target=go_on.wait, name="sem-classify: testing")
    running.start()
    yield running
    go_on.set()
    running.join()


def timer(_window):
    ticking = QTimer()
    ticking.start(60_000)
    yield ticking
    ticking.stop()


def widget(window):
    left = OurWidget(window.viewer.window._qt_window)
    yield left
    left.deleteLater()
    settle()


def window_of_its_own(_window):
    left = QWidget()
    yield left
    left.deleteLater()
    settle()


@pytest.mark.parametrize(
    ("leave", "named"),
    [
        (listening, "listening: Legend to LayerList.inserted"),
        (thread, "thread sem-classify: testing"),
        (timer, "timer of None"),
        (widget, "widget <napari_sem_classify.plugin.test.OurWidget"),
        (window_of_its_own, "window <PyQt6.QtWidgets.QWidget"),
    ],
)
def test_what_is_left_in_it_is_named(qtbot, window, monkeypatch, leave, named):
    monkeypatch.setattr(shared_window, "ENDS_WITHIN_S", 0.1)
    with window.lent() as left:
        leaving = leave(window)
        held = next(leaving)
    assert held is not None
    assert any(each.startswith(named) for each in left), left
    assert list(leaving) == []


def test_its_session_ends_with_each_test(qtbot, window):
    with window.lent():
        first = session_of(window.viewer)
    with window.lent():
        assert session_of(window.viewer) is not first
