"""Names and colours on the canvas; class and confidence under the mouse."""

from __future__ import annotations

import numpy as np
import pytest
from class_maps import NAMES, map_of

from napari_sem_classify.plugin.layers.legend import legend_of
from napari_sem_classify.plugin.layers.made_layers import add_class_map
from napari_sem_classify.plugin.layers.status import status_line_of

from ..conftest import until


@pytest.fixture
def image_layer(real_viewer):
    return real_viewer.add_image(
        np.ones((32, 48), np.uint8), name="coating_12", scale=(5, 5), units=("nm", "nm")
    )


@pytest.fixture
def layer(qtbot, real_viewer, image_layer):
    legend_of(real_viewer)
    status_line_of(real_viewer)
    made = add_class_map(real_viewer, map_of([[1, 2, 3], [0, 2, 2]]), image_layer)
    until(qtbot, lambda: len(legend(real_viewer)) == len(NAMES))
    return made


def legend(viewer):
    overlays = viewer.canvas.overlays
    shown = [overlays[key] for key in sorted(overlays) if key.startswith("sem_classify_legend")]
    return [(each.text, as_hex(each.color)) for each in shown if each.visible]


def as_hex(colour):
    return "#" + "".join(f"{round(255 * float(channel)):02x}" for channel in colour[:3])


def status_at(qtbot, viewer, layer, row, col):
    viewer.mouse_over_canvas = True
    viewer.cursor.position = tuple(layer.data_to_world((row, col)))
    viewer.update_status_from_cursor()
    qtbot.wait(50)
    return viewer.status["coordinates"]


def test_the_legend_names_each_class_in_its_colour(real_viewer, layer):
    colours = [colour for _, colour in legend(real_viewer)]
    assert [text for text, _ in legend(real_viewer)] == [f"■ {name}" for name in NAMES]
    noted = layer.metadata["sem_classify"]["classes"]
    assert colours == [each["colour"] for each in noted]


def test_the_legend_goes_when_the_map_is_hidden_or_deleted(qtbot, real_viewer, layer):
    layer.visible = False
    assert legend(real_viewer) == []
    layer.visible = True
    until(qtbot, lambda: len(legend(real_viewer)) == len(NAMES))
    real_viewer.layers.remove(layer)
    assert legend(real_viewer) == []


def test_a_map_hidden_before_its_legend_is_whole_leaves_nothing_of_it(qtbot, real_viewer, layer):
    layer.visible = False
    layer.visible = True
    layer.visible = False
    qtbot.wait(200)
    assert legend(real_viewer) == []


def test_the_status_bar_tells_class_and_confidence_under_the_mouse(qtbot, real_viewer, layer):
    real_viewer.layers.selection.active = layer
    assert "oxide 80.0 %" in status_at(qtbot, real_viewer, layer, 1, 2)
    assert "left out" in status_at(qtbot, real_viewer, layer, 1, 0)


def test_it_tells_the_class_while_the_image_is_selected_too(qtbot, real_viewer, image_layer, layer):
    real_viewer.layers.selection.active = image_layer
    assert "crack 80.0 %" in status_at(qtbot, real_viewer, layer, 0, 2)


def test_outside_of_the_map_nothing_is_added(qtbot, real_viewer, layer):
    real_viewer.layers.selection.active = layer
    assert "%" not in status_at(qtbot, real_viewer, layer, 40, 40)
