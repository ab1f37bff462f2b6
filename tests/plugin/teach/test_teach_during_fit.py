"""What a user does while a model is being fitted neither breaks anything nor loses a tile."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_sem_classify.core.teach import lesson_fit

from ..conftest import LONG_MS, half_dark, until
from .conftest import TILE, add_classes, counts, learned, own_map, paint, paint_halves, ready

ALL = {"dark": 12, "bright": 12}


@pytest.fixture
def fit_gate(monkeypatch):
    """Lets fits go on once it is set; `started` tells that one has begun."""
    gate, real = threading.Event(), lesson_fit.teach_lesson
    gate.started = threading.Event()

    def fit(*args, **more):
        gate.started.set()
        assert gate.wait(LONG_MS / 1000)
        return real(*args, **more)

    monkeypatch.setattr(lesson_fit, "teach_lesson", fit)
    yield gate
    gate.set()


@pytest.fixture
def fitting(qtbot, fit_gate, widget):
    """A widget in the middle of its first fit."""
    add_classes(widget)
    paint_halves(qtbot, widget)
    until(qtbot, fit_gate.started.is_set)
    assert widget.teacher.learner.busy
    assert widget.teacher.learner.learned is None
    return widget


def test_removing_the_image_during_a_fit(qtbot, fitting, fit_gate, real_viewer, image_layer):
    real_viewer.layers.remove(image_layer)
    fit_gate.set()
    qtbot.wait(300)
    assert fitting.teacher.layer is None
    assert counts(fitting) == ALL
    assert fitting.teacher.maps.own is None


def test_renaming_all_layers_during_a_fit(qtbot, fitting, fit_gate, real_viewer):
    for number, layer in enumerate(real_viewer.layers):
        layer.name = f"layer {number}"
    fit_gate.set()
    learned(qtbot, fitting)
    assert fitting.teacher.maps.own is not None
    assert counts(fitting) == ALL


def test_another_tile_size_during_a_fit(qtbot, fitting, fit_gate):
    fitting.grid_form.tile_px.value = 2 * TILE
    fit_gate.set()
    qtbot.wait(300)
    assert counts(fitting) == ALL
    assert fitting.teacher.maps.own is None  # a fit for the other tiles is dropped
    assert "of another tile size" in fitting.source_form.note.said
    fitting.grid_form.tile_px.value = TILE
    learned(qtbot, fitting)
    assert own_map(fitting).shape == (8, 16)


def test_a_stroke_during_a_fit_is_in_the_next_one(qtbot, fitting, fit_gate):
    paint(qtbot, fitting, [(1, 1)], 1)
    fit_gate.set()
    learned(qtbot, fitting)
    assert len(fitting.teacher.learner.learned.lesson.labels) == 25


def test_a_second_viewer_that_fits_too(qtbot, fitting, fit_gate, make_napari_viewer):
    other = make_napari_viewer()
    other.add_image(255 - half_dark(), name="second", scale=(10, 10), units=("nm", "nm"))
    second = other.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    ready(qtbot, second)
    add_classes(second, "one", "two")
    paint_halves(qtbot, second)
    fit_gate.set()
    learned(qtbot, fitting)
    learned(qtbot, second)
    assert counts(fitting) == ALL
    assert counts(second) == {"one": 12, "two": 12}
    assert (own_map(fitting)[:, :8] == 1).all()
    assert (own_map(second)[:, :8] == 1).all()


def test_closing_the_window_during_a_fit(qtbot, engine, fit_gate, make_napari_viewer, tmp_path):
    import tifffile

    path = tmp_path / "coating.tif"
    tifffile.imwrite(path, half_dark())
    viewer = make_napari_viewer()
    viewer.open(str(path), plugin="napari-sem-classify")
    widget = viewer.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    ready(qtbot, widget)
    add_classes(widget)
    paint_halves(qtbot, widget)
    until(qtbot, fit_gate.started.is_set)
    viewer.close()
    fit_gate.set()
    qtbot.wait(300)
    again = make_napari_viewer()
    again.open(str(path), plugin="napari-sem-classify")
    widget = again.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    until(qtbot, lambda: widget.teacher.key is not None)
    assert counts(widget) == ALL
    assert np.count_nonzero(widget.teacher.painting.layer.data) == 24
