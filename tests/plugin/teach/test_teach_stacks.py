"""Stacks: each plane is annotated at its place of the slider, and all planes teach one model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations
from napari_sem_classify.core.model.recipe import Recipe, RecipeChoice
from napari_sem_classify.core.teach.recipes import recipes_for
from napari_sem_classify.plugin.layers.made_layers import CLASSES, CONFIDENCE, made_from

from ..conftest import half_dark, until
from .conftest import (
    TILE,
    add_classes,
    corrections,
    counts,
    learned,
    own_map,
    paint,
    paint_halves,
    ready,
)

PLANES = 7


def slices():
    """Dark on the left and bright on the right; from plane 4 on it is the other way round."""
    plane = half_dark()
    return np.stack([plane if number < 4 else plane[:, ::-1] for number in range(PLANES)])


@pytest.fixture
def stack(qtbot, engine, real_viewer, open_widget):
    """Teach on a stack, with plane 0 in view."""
    real_viewer.add_image(
        slices(), name="slices", scale=(20, 10, 10), units=("nm", "nm", "nm"), axis_labels="zyx"
    )
    real_viewer.dims.set_current_step(0, 0)
    widget = ready(qtbot, open_widget("Teach"))
    add_classes(widget)
    return widget


def turn_to(qtbot, widget, plane):
    widget._viewer.dims.set_point(0, plane * widget.teacher.layer.scale[0])
    assert widget.teacher.plane == (plane,)


def learned_here(qtbot, widget):
    """Wait for the map of the plane in view."""
    learned(qtbot, widget)
    seen = widget.teacher.learner.learned.class_map

    def drawn():
        learner = widget.teacher.learner
        seen = learner.learned.class_map
        return not learner.busy and seen is not None and seen.plane == widget.teacher.plane

    until(qtbot, drawn)
    assert seen is not None


def on_plane(plane, places):
    return [(plane, *at) for at in places]


ROWS = range(0, 8, 2)
LEFT = [(row, col) for row in ROWS for col in (0, 3, 6)]
RIGHT = [(row, col) for row in ROWS for col in (9, 12, 15)]


def paint_on(qtbot, widget, plane, dark, bright):
    paint(qtbot, widget, on_plane(plane, dark), 1)
    paint(qtbot, widget, on_plane(plane, bright), 2)


def test_planes_0_and_5_are_annotated_and_teach_one_model(qtbot, stack):
    paint_on(qtbot, stack, 0, LEFT, [])
    assert stack.teacher.learner.learned is None
    turn_to(qtbot, stack, 5)
    paint_on(qtbot, stack, 5, [], LEFT)  # the bright half of plane 5
    assert counts(stack) == {"dark": 12, "bright": 12}
    assert "Plane 5 is annotated" in stack.stack_note.said
    assert "2 planes" in stack.source_form.note.said
    learned_here(qtbot, stack)
    lesson = stack.teacher.learner.learned.lesson
    assert lesson.counts.tolist() == [12, 12]
    assert {key for key, _ in lesson.tiles} == {
        stack.teacher.fingerprint,
        f"{stack.teacher.fingerprint}@5",
    }
    found = own_map(stack)
    assert found.shape == (PLANES, 8, 16)
    assert (found[5, :, :8] == 2).all()
    assert (found[5, :, 8:] == 1).all()


def test_the_map_of_the_plane_in_view_is_drawn_and_of_an_older_model_none_stays(qtbot, stack):
    paint_on(qtbot, stack, 0, LEFT, RIGHT)
    learned_here(qtbot, stack)
    assert (own_map(stack)[0, :, :8] == 1).all()
    assert not own_map(stack)[1:].any()
    turn_to(qtbot, stack, 6)
    learned_here(qtbot, stack)
    assert (own_map(stack)[6, :, :8] == 2).all()
    assert (own_map(stack)[0, :, :8] == 1).all()  # nothing new was learned: it still holds
    confidence = made_from(stack._viewer, stack.teacher.layer, CONFIDENCE)[-1].data
    assert np.isfinite(confidence[[0, 6]]).all()
    assert np.isnan(confidence[3]).all()
    paint_on(qtbot, stack, 6, [(1, 15)], [])
    learned_here(qtbot, stack)
    assert own_map(stack)[6].all()
    assert not own_map(stack)[0].any()
    turn_to(qtbot, stack, 0)
    learned_here(qtbot, stack)
    assert (own_map(stack)[0, :, :8] == 1).all()


def test_the_same_place_of_neighbouring_planes_is_never_learned_and_scored(qtbot, stack):
    paint_on(qtbot, stack, 0, LEFT, RIGHT)
    paint_on(qtbot, stack, 1, LEFT, RIGHT)
    assert counts(stack) == {"dark": 24, "bright": 24}
    learned_here(qtbot, stack)
    learned = stack.teacher.learner.learned
    assert set(learned.lesson.places.image.tolist()) == {0}
    assert "blocks through all planes" in learned.taught.score.how


def test_a_stroke_just_made_belongs_to_the_plane_that_was_left(qtbot, stack):
    layer = stack.teacher.painting.layer
    with layer.block_history():
        layer.paint((0, 3, 3), 1)
    turn_to(qtbot, stack, 2)
    assert list(stack.teacher.book.annotations.of(stack.teacher.fingerprint).marks) == [
        (3 * TILE, 3 * TILE, TILE)
    ]
    assert not stack.teacher.here.marks


def test_undo_takes_strokes_back_whatever_their_plane(qtbot, stack):
    paint(qtbot, stack, [(0, 3, 3)], 1)
    turn_to(qtbot, stack, 2)
    paint(qtbot, stack, [(2, 4, 4)], 2)
    stack.teacher.book.undo()
    stack.teacher.book.undo()
    assert counts(stack) == {"dark": 0, "bright": 0}
    assert not np.asarray(stack.teacher.painting.layer.data).any()
    stack.teacher.book.redo()
    stack.teacher.book.redo()
    assert np.argwhere(stack.teacher.painting.layer.data).tolist() == [[0, 3, 3], [2, 4, 4]]


def test_a_correction_belongs_to_its_plane(qtbot, stack):
    paint_on(qtbot, stack, 0, LEFT, RIGHT)
    learned_here(qtbot, stack)
    turn_to(qtbot, stack, 1)
    learned_here(qtbot, stack)
    layer = stack.teacher.maps.own
    with layer.block_history():
        layer.paint((1, 3, 5), 2)
    until(qtbot, lambda: len(corrections(stack)) == 1)
    learned_here(qtbot, stack)
    assert own_map(stack)[1, 3, 5] == 2
    assert stack.correction_list.list.count() == 1
    turn_to(qtbot, stack, 0)
    learned_here(qtbot, stack)
    assert corrections(stack) == []
    assert stack.correction_list.list.count() == 0
    assert own_map(stack)[0, 3, 5] == 1


def test_planes_out_of_view_keep_what_the_network_saw_of_annotated_tiles_and_around_them_only(
    qtbot, stack, monkeypatch
):
    looked = "napari_sem_classify.core.teach.looked"
    monkeypatch.setattr(f"{looked}.SMALL_TILES", 50)  # of a small image all tiles are kept
    monkeypatch.setattr(f"{looked}.SAMPLE_TILES", 10)
    paint_on(qtbot, stack, 0, LEFT[:2], RIGHT[:2])
    learned_here(qtbot, stack)
    first = stack.teacher.key
    assert len(stack.teacher.memory.looked[first].index) == 128
    turn_to(qtbot, stack, 1)
    assert 4 < len(stack.teacher.memory.looked[first].index) < 128
    learned_here(qtbot, stack)
    turn_to(qtbot, stack, 0)
    learned_here(qtbot, stack)
    assert len(stack.teacher.memory.looked[first].index) == 128
    assert own_map(stack)[0].all()


def test_a_labels_layer_of_the_stack_annotates_the_plane_in_view(qtbot, stack, real_viewer):
    mask = np.zeros((PLANES, 128, 256), np.uint8)
    mask[0, :32, :32] = 1
    mask[2, :16, :16] = 2
    layer = real_viewer.add_labels(mask, name="mask", scale=(20, 10, 10), units=("nm",) * 3)
    stack.source_form.combo.value = layer
    until(qtbot, lambda: counts(stack) == {"dark": 4, "bright": 0})
    turn_to(qtbot, stack, 2)
    until(qtbot, lambda: counts(stack) == {"dark": 4, "bright": 1})
    assert list(stack.teacher.here.marks) == [(0, 0, TILE)]


def test_what_was_just_drawn_counts_for_the_plane_that_is_left(qtbot, stack, real_viewer):
    stack.live.value = False
    mask = np.zeros((PLANES, 128, 256), np.uint8)
    mask[0, :16, :16] = 1
    layer = real_viewer.add_labels(mask, name="mask", scale=(20, 10, 10), units=("nm",) * 3)
    stack.source_form.combo.value = layer
    until(qtbot, lambda: counts(stack) == {"dark": 1, "bright": 0})
    rows, cols = (each.ravel() for each in np.mgrid[64:80, 64:80])
    layer.data_setitem((np.zeros_like(rows), rows, cols), 2)
    turn_to(qtbot, stack, 2)  # at once
    assert counts(stack) == {"dark": 1, "bright": 1}
    assert stack.teacher.book.annotations.images[0].marks[64, 64, TILE].class_name == "bright"


def test_points_on_other_planes_are_left_out(qtbot, stack, real_viewer):
    points = real_viewer.add_points(
        [[0, 100, 100], [40, 100, 500], [40, 100, 900]], units=("nm",) * 3, name="dots"
    )
    stack.source_form.as_class.value = "dark"
    turn_to(qtbot, stack, 2)
    stack.source_form.combo.value = points
    until(qtbot, lambda: counts(stack)["dark"] > 0)
    assert counts(stack) == {"dark": 2, "bright": 0}


def open_file(qtbot, make_napari_viewer, path):
    viewer = make_napari_viewer()
    viewer.open(str(path), plugin="napari-sem-classify")
    viewer.dims.set_current_step(0, 0)
    widget = viewer.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    until(qtbot, lambda: widget.teacher.key is not None)
    return widget


def test_the_annotations_of_all_planes_come_back_with_the_file(
    qtbot, engine, make_napari_viewer, tmp_path
):
    path = tmp_path / "slices.tif"
    tifffile.imwrite(path, slices(), photometric="minisblack", metadata={"axes": "ZYX"})
    widget = ready(qtbot, open_file(qtbot, make_napari_viewer, path))
    add_classes(widget)
    paint_on(qtbot, widget, 0, LEFT, [])
    turn_to(qtbot, widget, 5)
    paint_on(qtbot, widget, 5, [], LEFT)
    until(qtbot, lambda: not widget.teacher.memory.keeper.busy)
    images = json.loads(beside(path).read_text())["images"]
    assert [(image.get("plane"), len(image["tiles"])) for image in images] == [
        (None, 12),
        ([5], 12),
    ]
    again = open_file(qtbot, make_napari_viewer, path)
    assert counts(again) == {"dark": 12, "bright": 12}
    assert int(again.grid_form.tile_px.value) == TILE
    data = np.asarray(again.teacher.painting.layer.data)
    assert [np.count_nonzero(data[plane]) for plane in range(PLANES)] == [12, 0, 0, 0, 0, 12, 0]
    # Plane 5 is not visited: its annotated tiles are looked at all the same.
    learned_here(qtbot, again)
    assert again.teacher.learner.learned.lesson.counts.tolist() == [12, 12]
    assert (own_map(again)[0, :, 8:] == 2).all()
    paint(qtbot, again, [(3, 1, 1)], 1)
    until(qtbot, lambda: not again.teacher.memory.keeper.busy)
    assert {image.plane for image in load_annotations(beside(path)).images} == {(), (3,), (5,)}


def test_a_file_from_before_is_of_the_first_plane(qtbot, engine, make_napari_viewer, tmp_path):
    path = tmp_path / "slices.tif"
    tifffile.imwrite(path, slices(), photometric="minisblack", metadata={"axes": "ZYX"})
    widget = ready(qtbot, open_file(qtbot, make_napari_viewer, path))
    value = {
        "format": "napari-sem-classify annotations",
        "format_version": 1,
        "classes": [{"name": "dark", "colour": "#0072b2"}],
        "images": [
            {
                "name": "slices",
                "path": "slices.tif",
                "fingerprint": widget.teacher.fingerprint,
                "shape": [128, 256],
                "tiles": [[0, 0, TILE, 0, 0]],
            }
        ],
    }
    beside(path).write_text(json.dumps(value))
    again = open_file(qtbot, make_napari_viewer, path)
    assert list(again.teacher.here.marks) == [(0, 0, TILE)]
    assert np.argwhere(again.teacher.painting.layer.data).tolist() == [[0, 0, 0]]


def test_removing_the_stack_and_closing_the_widget_lose_nothing(qtbot, stack, real_viewer):
    paint_on(qtbot, stack, 0, LEFT, [])
    turn_to(qtbot, stack, 5)
    paint_on(qtbot, stack, 5, [], LEFT)
    learned_here(qtbot, stack)
    data, layer = slices(), stack.teacher.layer
    real_viewer.layers.remove(layer)
    until(qtbot, lambda: stack.teacher.key is None)
    assert counts(stack) == {"dark": 12, "bright": 12}
    real_viewer.layers.clear()
    real_viewer.add_image(half_dark(), name="single")
    until(qtbot, lambda: stack.teacher.key is not None)
    assert stack.teacher.plane == ()
    assert stack.stack_note.said == ""
    real_viewer.add_image(data, name="slices")
    stack.image_form.combo.value = real_viewer.layers["slices"]
    until(qtbot, lambda: stack.teacher.key is not None and stack.teacher.plane != ())
    turn_to(qtbot, stack, 5)
    assert len(stack.teacher.here.marks) == 12
    learned_here(qtbot, stack)
    assert (own_map(stack)[5, :, :8] == 2).all()
    stack.stop()
    real_viewer.dims.set_current_step(0, 1)
    assert stack.teacher.plane == (5,)


def test_moving_the_slider_while_tiles_are_looked_at_goes_on_with_the_plane_in_view(
    qtbot, gate, real_viewer, open_widget
):
    real_viewer.add_image(slices(), name="slices")
    real_viewer.dims.set_current_step(0, 0)
    widget = ready(qtbot, open_widget("Teach"))
    add_classes(widget)
    paint_on(qtbot, widget, 0, LEFT, RIGHT)
    until(qtbot, lambda: widget.teacher.learner.looking)
    turn_to(qtbot, widget, 3)
    turn_to(qtbot, widget, 4)
    gate.set()
    learned_here(qtbot, widget)
    assert (own_map(widget)[4, :, :8] == 2).all()
    assert made_from(real_viewer, widget.teacher.layer, CLASSES) == [widget.teacher.maps.own]


# ---------------------------------------------------------------------- the way of looking


def test_the_way_of_looking_comes_back_with_the_annotations(
    qtbot, engine, make_napari_viewer, tmp_path
):
    path = tmp_path / "coating.tif"
    tifffile.imwrite(path, half_dark())
    viewer = make_napari_viewer()
    viewer.open(str(path), plugin="napari-sem-classify")
    widget = viewer.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    ready(qtbot, widget)
    add_classes(widget)
    paint_halves(qtbot, widget)
    even = recipes_for(TILE)[1]
    widget.teacher.learner.use_recipe(RecipeChoice(even, (), "It was clearly better."))
    until(qtbot, lambda: not widget.teacher.memory.keeper.busy)
    kept = load_annotations(beside(path)).looking
    assert kept == RecipeChoice(even, (), "It was clearly better.")
    other = make_napari_viewer()
    other.open(str(path), plugin="napari-sem-classify")
    again = other.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    until(qtbot, lambda: again.teacher.key is not None)
    assert again.teacher.memory.choice == kept
    assert again.way_form.combo.value == even
    learned(qtbot, again)
    assert again.teacher.learner.learned.lesson.recipe == even
    again.way_form.combo.value = Recipe()
    until(qtbot, lambda: not again.teacher.memory.keeper.busy)
    assert load_annotations(beside(path)).looking.recipe == Recipe()
