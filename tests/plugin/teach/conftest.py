"""The Teach widget on a small network, and what a user does in it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tiny_engine import TinyEngine

from ..conftest import SlowEngine, half_dark, until

TILE = 16


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class WideEngine(TinyEngine):
    """As many features as the real network gives, so that a model file can be written."""

    feature_size = 3584

    def embed(self, batch, intensity):
        return np.tile(super().embed(batch, intensity), 3584 // 8)


@pytest.fixture
def engine(monkeypatch):
    """A small network in place of the large one; exchange it before the first stroke."""

    class Used:
        engine = TinyEngine(batch_size=8)

    used = Used()
    monkeypatch.setattr(
        "napari_sem_classify.core.network.engine.make_engine", lambda **_settings: used.engine
    )
    return used


@pytest.fixture
def gate(engine):
    """Lets the network go on once it is set."""
    gate = threading.Event()
    engine.engine = SlowEngine(gate)
    yield gate
    gate.set()


@pytest.fixture
def image_layer(real_viewer):
    return real_viewer.add_image(half_dark(), name="sample_1", scale=(10, 10), units=("nm", "nm"))


def ready(qtbot, widget, tile=TILE):
    until(qtbot, lambda: widget.teacher.key is not None)
    widget.grid_form.tile_px.value = tile
    return widget


@pytest.fixture
def widget(qtbot, engine, image_layer, open_widget):
    return ready(qtbot, open_widget("Teach"))


@pytest.fixture
def taught(qtbot, widget):
    """Two classes with tiles of both halves, and the map made of them."""
    add_classes(widget)
    paint_halves(qtbot, widget)
    learned(qtbot, widget)
    return widget


def add_classes(widget, *names):
    for name in names or ("dark", "bright"):
        widget.class_table.add_class(name, edit=False)


def paint(qtbot, widget, places, number):
    """A stroke of the brush over some tiles; `number` is the label, 0 the eraser."""
    layer = widget.teacher.painting.layer
    with layer.block_history():
        for place in places:
            layer.paint(place, number)
    qtbot.wait(20)


def paint_halves(qtbot, widget):
    rows = range(0, 8, 2)
    paint(qtbot, widget, [(row, col) for row in rows for col in (0, 3, 6)], 1)
    paint(qtbot, widget, [(row, col) for row in rows for col in (9, 12, 15)], 2)


def learned(qtbot, widget):
    learner = widget.teacher.learner

    def done():
        known = learner.learned
        return known is not None and known.scored and not learner.out_of_date and not learner.busy

    until(qtbot, done)


def own_map(widget):
    return np.asarray(widget.teacher.maps.own.data)


def counts(widget):
    return widget.teacher.book.annotations.counts()


def corrections(widget):
    return [at for at, mark in widget.teacher.here.marks.items() if mark.correction]


def press(widget, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(widget._viewer.window._qt_viewer.canvas.native, key, modifier)
