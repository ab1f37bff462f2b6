"""Look before labelling: tiles like one that is clicked, and groups before any class exists."""

from __future__ import annotations

import random

import numpy as np
from qtpy.QtCore import Qt
from real_hand import Hand

from napari_sem_classify.plugin.layers.look_layers import ALIKE, STRUCTURE
from napari_sem_classify.plugin.layers.made_layers import made_from

from ..conftest import half_dark, until
from .conftest import TILE, add_classes, counts, press, ready


def click(qtbot, viewer, layer, y, x):
    """A real click on a place of an image, in its pixels."""
    viewer.reset_view()
    qtbot.wait(50)
    world = layer.data_to_world((y, x))
    Hand(viewer, random.Random(0)).stroke([world])
    qtbot.wait(20)


def of_kind(viewer, layer, kind):
    found = made_from(viewer, layer, kind)
    return found[-1] if found else None


def test_a_click_shows_how_alike_all_tiles_of_all_images_are_and_the_best_are_suggested(
    qtbot, widget, real_viewer, image_layer
):
    place = {"scale": (10, 10), "units": ("nm", "nm")}
    other = real_viewer.add_image(half_dark()[:, ::-1].copy(), name="sample_2", **place)
    real_viewer.layers.selection.active = image_layer
    until(qtbot, lambda: widget.teacher.layer is image_layer)
    ready(qtbot, widget)
    add_classes(widget)
    look = widget.guide.look_form
    look.similar.find.native.click()
    assert "Click a tile" in look.note.said
    click(qtbot, real_viewer, image_layer, 5 * TILE + 3, 2 * TILE + 3)
    until(qtbot, lambda: of_kind(real_viewer, other, ALIKE) is not None)
    values = of_kind(real_viewer, image_layer, ALIKE).data
    assert values.shape == (8, 16)
    assert values[5, 2] > 0.999
    assert values[:, :8].mean() > values[:, 8:].mean() + 0.5
    theirs = of_kind(real_viewer, other, ALIKE).data
    assert theirs[:, 8:].mean() > theirs[:, :8].mean() + 0.5
    tour = widget.guide.tour
    assert tour.place == (5 * TILE, 2 * TILE, TILE)
    assert "Alike: tile 1 of 10" in widget.guide.where.said
    assert counts(widget) == {"dark": 0, "bright": 0}
    press(widget, Qt.Key.Key_1)
    assert counts(widget)["dark"] == 1
    assert tour.place[1] < 8 * TILE

    def other_in_view():
        real_viewer.layers.selection.active = other  # the next tile may take the selection first
        return widget.teacher.layer is other and widget.teacher.key is not None

    until(qtbot, other_in_view)
    assert not tour.active
    until(qtbot, lambda: look.similar.go.enabled)
    look.similar.go.native.click()
    assert tour.place[1] >= 8 * TILE


def test_groups_are_shown_before_any_class_and_a_click_makes_one_of_them_a_class(
    qtbot, widget, real_viewer, image_layer
):
    look = widget.guide.look_form
    assert not look.structure.make.enabled
    look.structure.groups.value = 2
    look.structure.structure.native.click()
    until(qtbot, lambda: of_kind(real_viewer, image_layer, STRUCTURE) is not None)
    groups = np.asarray(of_kind(real_viewer, image_layer, STRUCTURE).data)
    assert {len(np.unique(groups[:, :8])), len(np.unique(groups[:, 8:]))} == {1}
    look.structure.make.native.click()
    click(qtbot, real_viewer, image_layer, 3 * TILE, 12 * TILE)
    name = f"group {groups[3, 12]}"
    until(qtbot, lambda: widget.guide.tour.active)
    assert counts(widget) == {name: 0}
    assert widget.guide.tour.place[1] >= 8 * TILE
    press(widget, Qt.Key.Key_1)
    assert counts(widget) == {name: 1}
    widget.teacher.book.undo()
    widget.teacher.book.undo()
    assert counts(widget) == {}


def test_while_a_click_is_waited_for_nothing_is_painted_and_the_brush_comes_back(
    qtbot, widget, real_viewer, image_layer
):
    add_classes(widget)
    widget.class_table.choose(1)
    brush = real_viewer.layers.selection.active
    assert brush.mode == "paint"
    look = widget.guide.look_form
    look.similar.find.native.click()
    click(qtbot, real_viewer, image_layer, -40, -40)
    assert "not on the specimen" in look.note.said
    assert not np.any(brush.data)
    assert real_viewer.layers.selection.active is brush
    look.similar.find.native.click()
    look.similar.find.native.click()
    click(qtbot, real_viewer, image_layer, 5, 5)
    until(qtbot, lambda: counts(widget)["bright"] == 1)
    assert of_kind(real_viewer, image_layer, ALIKE) is None
