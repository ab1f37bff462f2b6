"""The Tile image widget: tiles as a layer, some left out, written as files."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_sem_classify.plugin.layers.grid_layers import area_layer_of, grid_layer_of

from ..conftest import half_dark, until


@pytest.fixture
def image_layer(real_viewer):
    picture = half_dark(128, 256)
    picture[:32, :64] = 0
    return real_viewer.add_image(picture, name="sample_1", scale=(10, 10), units=("nm", "nm"))


@pytest.fixture
def widget(qtbot, image_layer, open_widget):
    widget = open_widget("Tile image")
    until(qtbot, lambda: widget.image_form.image is not None)
    widget.grid_form.tile_px.value = 32
    return widget


@pytest.fixture
def laid(qtbot, widget):
    widget.lay.native.click()
    until(qtbot, lambda: widget.plan is not None and not widget.plan.keep[0, 0])
    return widget


def test_nothing_is_added_before_the_user_asks(widget, real_viewer):
    assert len(real_viewer.layers) == 1
    assert not widget.write_form.run_form.button.enabled


@pytest.mark.own_window
def test_laying_shows_the_tiles_and_tells_their_number_and_area(laid, real_viewer, image_layer):
    assert grid_layer_of(real_viewer, image_layer).data.shape == (4, 8)
    assert laid.plan.keep.sum() == 30
    assert "30 of 32 tiles" in laid.count.said
    covered = 30 * 32 * 32 * 0.01**2
    assert f"{covered:.3g} µm²" in laid.count.said


def test_a_clicked_tile_is_left_out_and_comes_back(qtbot, laid, real_viewer, image_layer):
    layer = grid_layer_of(real_viewer, image_layer)
    click(layer, 2, 5)
    assert not laid.plan.keep[2, 5]
    assert laid.plan.keep.sum() == 29
    click(layer, 2, 5)
    assert laid.plan.keep[2, 5]


def test_a_tile_left_out_by_a_rule_can_be_taken_back(laid, real_viewer, image_layer):
    click(grid_layer_of(real_viewer, image_layer), 0, 0)
    assert laid.plan.keep[0, 0]
    assert not laid.plan.keep[0, 1]


def test_dragging_over_the_grid_moves_the_view_and_leaves_no_tile_out(
    laid, real_viewer, image_layer
):
    layer = grid_layer_of(real_viewer, image_layer)
    click(layer, 2, 5, moved=(0, 30))
    assert laid.plan.keep[2, 5]


def test_flat_tiles_are_left_out_by_their_contrast(qtbot, laid):
    laid.leave_out.limit.value = 50.0
    laid.leave_out.flat.value = True
    until(qtbot, lambda: not laid.plan.keep.any())
    assert not laid.write_form.run_form.button.enabled
    laid.leave_out.limit.value = 0.0
    until(qtbot, lambda: laid.plan.keep.sum() == 30)


def test_only_tiles_inside_a_drawn_region_are_kept(qtbot, laid, real_viewer):
    region = np.array([[640, 1280], [640, 2550], [1270, 2550], [1270, 1280]], float)
    real_viewer.add_shapes([region], shape_type="polygon", name="region", units=("nm", "nm"))
    laid.leave_out.area.combo.value = real_viewer.layers["region"]
    until(qtbot, lambda: laid.plan.keep.sum() == 8)
    assert laid.plan.keep[2:, 4:].all()


def test_the_area_can_be_moved_and_the_tiles_follow(qtbot, laid, real_viewer, image_layer):
    laid.in_area.value = True
    until(qtbot, lambda: laid.plan.grid.area.height == 64)
    rectangle = area_layer_of(real_viewer, image_layer)
    rectangle.data = [rectangle.data[0] + (10, 20)]
    until(qtbot, lambda: laid.plan.grid.area.as_list() == [42, 106, 84, 212])
    real_viewer.layers.remove(rectangle)
    until(qtbot, lambda: laid.plan.grid.area.height == 128)
    assert not laid.in_area.value


def test_deleting_the_grid_takes_the_plan_away(laid, real_viewer, image_layer):
    real_viewer.layers.remove(grid_layer_of(real_viewer, image_layer))
    assert laid.plan is None
    assert laid.lay.text == "Lay tiles"


def test_deleting_the_image_is_no_problem(qtbot, laid, real_viewer, image_layer):
    real_viewer.layers.remove(image_layer)
    qtbot.wait(300)
    assert laid.plan is None
    assert laid.count.said == ""


@pytest.mark.parametrize(("choice", "suffix"), [("TIFF", ".tif"), ("PNG", ".png")])
def test_kept_tiles_are_written_with_a_table(qtbot, laid, tmp_path, image_layer, choice, suffix):
    laid.write_form.format.value = choice
    laid.write_form.write_to(tmp_path)
    until(qtbot, lambda: "30 tiles" in laid.write_form.run_form.message.said)
    with (tmp_path / "sample_1.tile_files.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert {path.name for path in tmp_path.glob(f"*{suffix}")} == {row["file"] for row in rows}


def test_classify_takes_over_the_tiles(qtbot, laid, open_widget, small_model):
    classify = open_widget("Classify")
    classify.model_form.offer(small_model.entry)
    until(qtbot, lambda: classify.estimate.said.startswith("30 tiles"))
    assert not classify.grid_form.tile_px.visible
    laid.lay.native.click()
    assert classify.estimate.said.startswith("128 tiles")


def click(layer, row, col, moved=None):
    """A press and a release on a tile, as napari hands them to the layer's callbacks."""

    class Event:
        button = 1
        type = "mouse_press"
        position = tuple(layer.data_to_world((row, col)))

    event = Event()
    ours = [each for each in layer.mouse_drag_callbacks if "clicks" in each.__module__]
    (callback,) = ours
    steps = callback(layer, event)
    next(steps)
    if moved is not None:
        event.type = "mouse_move"
        event.position = tuple(np.add(event.position, moved))
        assert next(steps, "ended") == "ended"
        return
    event.type = "mouse_release"
    assert next(steps, "ended") == "ended"
