"""The first dock takes room from the canvas: what was seen whole stays so, a chosen view stays."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.plugin.app import docks
from napari_sem_classify.plugin.app.camera import ROOM_MS

from ..conftest import half_dark


def camera_of(viewer):
    return getattr(viewer, "scene", viewer).camera


@pytest.fixture
def narrower(real_viewer):
    """Gives the canvas another size, as a dock does in a window that is shown."""

    holder, name = (real_viewer, "_canvas_size")  # the canvas has it since napari 0.9
    if hasattr(real_viewer, "canvas"):
        holder, name = real_viewer.canvas, "size"
    before = getattr(holder, name)
    yield lambda: setattr(holder, name, (300, 200))
    setattr(holder, name, before)


@pytest.mark.parametrize("moved", [False, True])
def test_an_image_seen_whole_is_seen_whole_beside_the_dock(
    qtbot, real_viewer, open_widget, narrower, moved
):
    real_viewer.add_image(half_dark())
    real_viewer.reset_view()
    camera = camera_of(real_viewer)
    if moved:
        camera.zoom *= 1.5
    before = camera.zoom
    open_widget("Tile image")
    narrower()
    qtbot.wait(2 * ROOM_MS)
    after = camera.zoom
    real_viewer.reset_view()
    whole = camera.zoom
    assert whole < before
    assert after == (before if moved else whole)


def test_a_view_that_was_moved_right_after_the_dock_came_is_left_alone(
    qtbot, real_viewer, open_widget, narrower
):
    real_viewer.add_image(half_dark())
    real_viewer.reset_view()
    open_widget("Tile image")
    narrower()
    camera = camera_of(real_viewer)
    camera.center = (0.0, 3.0, 4.0)
    qtbot.wait(2 * ROOM_MS)
    np.testing.assert_allclose(camera.center[-2:], (3.0, 4.0))


def test_an_entry_that_is_taken_out_before_its_dock_came_opens_none(qtbot, real_viewer):
    dock, entry = real_viewer.window.add_plugin_dock_widget(docks.PLUGIN, "Tile image")
    real_viewer.window.remove_dock_widget(dock)
    qtbot.wait(10 * docks.LOOK_MS)
    assert not entry.done
    assert not real_viewer.window.dock_widgets


def test_the_menu_gives_the_window_back_before_the_dock_is_built(qtbot, real_viewer):
    entry = real_viewer.window.add_plugin_dock_widget(docks.PLUGIN, "Tile image")[1]
    assert not entry.done
    qtbot.waitUntil(lambda: entry.done)
    assert [dock.TITLE for dock in docks.docks_of(real_viewer)] == ["SEM Tile"]
