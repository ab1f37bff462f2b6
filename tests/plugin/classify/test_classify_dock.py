"""The dock Classify as a whole: its pages, what stays in view, hasty clicks, a part of a map."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtTest import QTest
from tiny_engine import TinyEngine

from napari_sem_classify.plugin.app.docks import LOOK_MS, docks_of, open_entry
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.layers.made_layers import CLASSES, made_from

from ..conftest import LONG_MS, half_dark, until
from .conftest import NM

ENTRIES = ("Tile image", "Classify", "Measure", "Teach", "Fine-tune", "Batch")


class StepEngine(TinyEngine):
    """Looks at a batch each time the test says so."""

    def __init__(self):
        super().__init__(batch_size=8)
        self.steps = threading.Semaphore(0)

    def embed(self, batch, intensity):
        assert self.steps.acquire(timeout=LONG_MS / 1000)
        return super().embed(batch, intensity)

    def let_go(self, batches=1000):
        self.steps.release(batches)


@pytest.fixture
def engine(small_model):
    small_model.engine = StepEngine()
    yield small_model.engine
    small_model.engine.let_go()


def press(button):
    """A click as the mouse gives it, a double-click too."""
    native = button.native
    assert not native.isHidden()
    assert native.isEnabled()
    QTest.mouseClick(native, Qt.MouseButton.LeftButton)


def double_click(native):
    """Press, release, double-click, release: what a window system sends."""
    left = Qt.MouseButton.LeftButton
    QTest.mouseClick(native, left)
    QTest.mouseDClick(native, left)
    QTest.mouseRelease(native, left)


def map_of(viewer, layer):
    (made,) = made_from(viewer, layer, CLASSES)
    return session_of(viewer).maps[made][()]


# ---------------------------------------------------------------------- the frame


def test_entries_of_the_menu_open_four_docks_as_tabs_and_never_one_twice(qtbot, real_viewer):
    for name in (*ENTRIES, *ENTRIES):
        open_entry(real_viewer, name)
        qtbot.wait(10)
    docks = docks_of(real_viewer)
    titles = [dock.TITLE for dock in docks]
    assert len(set(titles)) == len(titles)
    assert {"SEM Tile", "SEM Classify", "SEM Teach", "SEM Batch"} <= set(titles)
    assert set(real_viewer.window.dock_widgets) == set(titles)
    (first, *others) = [dock.parent() for dock in docks]
    assert set(first.parent().tabifiedDockWidgets(first)) == set(others)


def page_shown(viewer, title, page):
    dock = viewer.window.dock_widgets.get(title)
    return dock is not None and dock.frame.page == page


def test_the_menu_itself_brings_a_dock_to_the_front_also_the_second_time(qtbot, real_viewer):
    from napari._app_model import get_app_model

    commands = get_app_model().commands
    for entry, title, page in (
        ("classify", "SEM Classify", "Map"),
        ("tile", "SEM Tile", "Tiles"),
        ("measure", "SEM Classify", "Measure"),
        ("measure", "SEM Classify", "Measure"),
        ("classify", "SEM Classify", "Map"),
    ):
        commands.execute_command(f"napari-sem-classify.{entry}").result()
        qtbot.wait(10 * LOOK_MS)
        until(qtbot, partial(page_shown, real_viewer, title, page))
        assert not real_viewer.window.dock_widgets[title].parent().isHidden()
        assert set(real_viewer.window.dock_widgets) <= {"SEM Classify", "SEM Tile"}


def test_an_entry_opens_its_page_and_keeps_what_was_set(qtbot, widget, real_viewer):
    widget.grid_form.overlap.value = 50
    measure = open_entry(real_viewer, "Measure")
    assert measure is widget.measure
    assert widget.frame.page == "Measure"
    assert open_entry(real_viewer, "Classify") is widget
    assert widget.frame.page == "Map"
    assert widget.grid_form.overlap.value == 50


@pytest.mark.parametrize("points", [9, 14])
def test_the_main_button_is_in_view_in_a_low_window_also_in_large_letters(
    qtbot, real_viewer, image_layer, points
):
    room = QRect(QPoint(0, 0), QPoint(339, 559))  # what 1280 × 720 leaves
    for name in ("Tile image", "Classify", "Teach", "Batch"):
        open_entry(real_viewer, name)
    (teach,) = [dock for dock in docks_of(real_viewer) if dock.TITLE == "SEM Teach"]
    until(qtbot, lambda: teach.image_form.image is not None)
    for dock in docks_of(real_viewer):
        if hasattr(dock, "header"):
            dock.header.open = True
        if hasattr(dock, "advanced"):
            dock.advanced.open = True
        dock.setStyleSheet(f"* {{ font-size: {points}pt }}")
        for number in range(dock.frame.tabs.count()):
            dock.frame.tabs.setCurrentIndex(number)
            if dock.frame.page == "Measure":
                continue  # what it offers is on its own three pages
            least = dock.frame.minimumSizeHint()
            assert least.width() <= room.width() + 1, (dock.TITLE, dock.frame.page)
            assert least.height() <= room.height() + 1, (dock.TITLE, dock.frame.page)


def test_an_image_chosen_in_one_dock_is_chosen_in_all(qtbot, widget, real_viewer, image_layer):
    other = real_viewer.add_image(half_dark(), name="sample_2", **NM)
    tile = open_entry(real_viewer, "Tile image")
    assert widget.image_form.layer is tile.image_form.layer is other
    tile.image_form.combo.value = image_layer
    assert widget.image_form.layer is image_layer


def test_the_header_is_folded_when_all_is_well_and_open_where_the_scale_is_missing(
    qtbot, widget, real_viewer
):
    assert not widget.header.open
    real_viewer.add_image(half_dark(), name="bare")
    until(qtbot, lambda: "not calibrated" in widget.image_form.size.said)
    assert widget.header.open
    press_fold = widget.header.fold
    QTest.mouseClick(press_fold, Qt.MouseButton.LeftButton)
    assert not widget.header.open


# ---------------------------------------------------------------------- hasty clicks


def test_a_double_click_starts_one_run(qtbot, widget, engine):
    starts = []
    widget.run_form.started.connect(lambda: starts.append(1))
    native = widget.run_form.button.native
    double_click(native)
    assert starts == [1]
    assert widget.busy
    engine.let_go()
    until(qtbot, lambda: not widget.busy)
    assert widget.run_form.message.said.startswith("Done")


def test_the_second_click_of_a_double_click_does_nothing_however_quick_the_work(qtbot):
    from napari_sem_classify.plugin.forms.layout import Form
    from napari_sem_classify.plugin.forms.run_form import RunForm

    form = Form()
    qtbot.addWidget(form)
    run_form, starts = RunForm(form, "Go", "Do it"), []
    run_form.started.connect(lambda: starts.append(1))
    form.show()
    double_click(run_form.button.native)
    assert starts == [1]


# ---------------------------------------------------------------------- a part of a map


def cancel_after(qtbot, widget, engine, batches):
    for _ in range(batches):
        engine.let_go(1)
        qtbot.wait(300)  # what is done is shown a few times a second
    press(widget.run_form.stop)
    engine.let_go()
    until(qtbot, lambda: not widget.busy)


def test_a_cancelled_map_goes_on_where_it_stopped(qtbot, widget, engine, real_viewer, image_layer):
    press(widget.run_form.button)
    cancel_after(qtbot, widget, engine, 3)
    assert not made_from(real_viewer, image_layer, CLASSES)
    assert "Classify goes on from there" in widget.run_form.message.said
    done = engine.calls
    press(widget.run_form.button)
    until(qtbot, lambda: not widget.busy)
    assert engine.calls - done <= 16 - 3
    class_map = map_of(real_viewer, image_layer)
    assert not class_map.left_out.any()
    assert (class_map.labels()[:, :8] == 1).all()


def test_the_part_that_is_done_is_kept_on_request_as_a_map_like_any_other(
    qtbot, widget, engine, real_viewer, image_layer
):
    press(widget.run_form.button)
    cancel_after(qtbot, widget, engine, 3)
    press(widget.map_run.keep)
    until(qtbot, lambda: not widget.busy)
    class_map = map_of(real_viewer, image_layer)
    tiles = int((~class_map.left_out).sum())
    assert 16 <= tiles < 128
    assert class_map.record["tiles"]["classified"] == tiles
    assert class_map.record["chosen_tiles"] is not None
    assert widget.run_form.message.said.startswith(f"Done: {tiles} tiles")
    assert widget.map_run.keep.native.isHidden()
    press(widget.run_form.button)
    until(qtbot, lambda: not widget.busy)
    assert not map_of(real_viewer, image_layer).left_out.any()


def test_another_choice_offers_the_part_no_more(qtbot, widget, engine):
    press(widget.run_form.button)
    cancel_after(qtbot, widget, engine, 3)
    assert not widget.map_run.keep.native.isHidden()
    widget.grid_form.overlap.value = 50
    assert widget.map_run.keep.native.isHidden()


# ---------------------------------------------------------------------- an area of interest


def test_only_an_area_of_interest_is_classified(qtbot, widget, real_viewer, image_layer):
    corners = np.array([[0, 640], [0, 1910], [630, 1910], [630, 640]], float)  # in nm
    shapes = real_viewer.add_shapes([corners], name="film", units=("nm", "nm"))
    widget.area_form.combo.value = shapes
    assert widget.estimate.said.startswith("32 tiles")
    assert "inside film" in widget.advanced.summary.said
    press(widget.run_form.button)
    until(qtbot, lambda: not widget.busy)
    class_map = map_of(real_viewer, image_layer)
    assert not class_map.left_out[:4, 4:12].any()
    assert int((~class_map.left_out).sum()) == 32
    assert [share.fraction for share in class_map.fractions()] == [0.5, 0.5]
    shapes.data = [corners - (0, 640)]
    until(qtbot, lambda: widget.judge_form is not None and not widget.busy)
    widget.area_form._settle.settle()
    press(widget.run_form.button)
    until(qtbot, lambda: not widget.busy)
    assert [s.fraction for s in map_of(real_viewer, image_layer).fractions()] == [1.0, 0.0]


def test_a_painted_area_of_another_scale_is_the_same_area(qtbot, widget, real_viewer, image_layer):
    painted = np.zeros((16, 32), np.uint8)
    labels = real_viewer.add_labels(painted, name="area", scale=(80, 80), units=("nm", "nm"))
    widget.area_form.combo.value = labels
    assert not widget.run_form.button.enabled
    labels.data[:8, 8:24] = 3
    labels.refresh()
    until(qtbot, lambda: widget.estimate.said.startswith("32 tiles"))
    press(widget.run_form.button)
    until(qtbot, lambda: not widget.busy)
    assert not map_of(real_viewer, image_layer).left_out[:4, 4:12].any()
    real_viewer.layers.remove(labels)
    until(qtbot, lambda: widget.estimate.said.startswith("128 tiles"))
