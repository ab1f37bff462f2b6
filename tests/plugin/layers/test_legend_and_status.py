"""Names and colours on the canvas; class and confidence under the mouse."""

from __future__ import annotations

import numpy as np
import pytest
from class_maps import NAMES, map_of

from napari_sem_classify.core.model.card import default_colours
from napari_sem_classify.plugin.layers.free_place import picture_bands
from napari_sem_classify.plugin.layers.legend import (
    box_for,
    legend_of,
    relative_luminance,
    rgb_of,
)
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


def overlays_of(viewer):
    overlays = viewer.canvas.overlays
    return [overlays[key] for key in overlays if key.startswith("sem_classify_legend")]


def bottom_of(viewer):
    """Canvas pixels below the picture."""
    return picture_bands(viewer).bottom


def test_the_legend_lies_below_the_specimen(qtbot, real_viewer):
    rows, cols = (int(side) // 4 for side in real_viewer.canvas.size)
    image = real_viewer.add_image(np.ones((rows, cols), np.uint8), name="as wide as the canvas")
    real_viewer.reset_view()
    assert bottom_of(real_viewer) < 25
    legend_of(real_viewer)
    add_class_map(real_viewer, map_of([[1, 2], [2, 2]], names=("a", "b")), image)
    until(qtbot, lambda: len(legend(real_viewer)) == 2)
    assert {each.position for each in overlays_of(real_viewer)} == {"bottom_left"}
    bands = picture_bands(real_viewer)
    assert bands.bottom >= 25
    assert min(bands.top, bands.left, bands.right) >= 0


def test_the_legend_lies_beside_a_narrow_specimen(qtbot, real_viewer):
    image = real_viewer.add_image(np.ones((400, 40), np.uint8), name="narrow")
    real_viewer.reset_view()
    before = tuple(real_viewer.scene.camera.center)
    legend_of(real_viewer)
    add_class_map(real_viewer, map_of([[1, 2], [2, 2]], names=("a", "b")), image)
    until(qtbot, lambda: len(legend(real_viewer)) == 2)
    assert {each.position for each in overlays_of(real_viewer)} == {"top_left"}
    assert tuple(real_viewer.scene.camera.center) == before


def test_a_list_of_long_names_lies_above_the_specimen_where_there_is_room(qtbot, real_viewer):
    rows, cols = (int(side) // 4 for side in real_viewer.canvas.size)
    image = real_viewer.add_image(np.ones((rows // 2, cols), np.uint8), name="low")
    real_viewer.reset_view()
    names = [f"a long name of the class {number}" for number in range(9)]
    before = picture_bands(real_viewer)
    assert before.top < 29 * len(names) < before.top + before.bottom
    legend_of(real_viewer)
    labels = np.arange(1, 10).reshape(1, 9)
    add_class_map(real_viewer, map_of(labels, names=tuple(names)), image)
    until(qtbot, lambda: len(legend(real_viewer)) == len(names))
    assert {each.position for each in overlays_of(real_viewer)} == {"top_left"}
    assert picture_bands(real_viewer).top >= 29 * len(names)
    assert picture_bands(real_viewer).bottom >= 0


def test_each_name_stands_on_a_box_on_which_it_can_be_read():
    def contrast(colour, box):
        parts = sorted(relative_luminance(each) for each in (rgb_of(colour), box[:3]))
        return (parts[1] + 0.05) / (parts[0] + 0.05)

    for colour in default_colours(8):
        assert contrast(colour, box_for(colour)) > 4


def test_the_legend_of_very_many_classes_is_cut(qtbot, real_viewer, image_layer):
    names = tuple(f"class {number}" for number in range(40))
    legend_of(real_viewer)
    add_class_map(real_viewer, map_of([[1, 2, 3], [0, 2, 2]], names=names), image_layer)
    until(qtbot, lambda: legend_of(real_viewer).complete and bool(legend(real_viewer)))
    texts = [text for text, _ in legend(real_viewer)]
    assert len(texts) == 13
    assert "■ and 28 more" in texts


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
