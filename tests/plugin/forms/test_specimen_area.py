"""The specimen area: found, dragged in the viewer, typed as numbers, had back, saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.layers import Image, Layer
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.plugin.layers.layer_image import image_from_layer

from ..conftest import until

ROWS, BAR, COLS = 400, 40, 512
TURNED = {"scale": (12.5, 12.5), "units": ("nm", "nm"), "translate": (50, -20), "rotate": 15.0}


@pytest.fixture
def image_layer(real_viewer):
    picture = with_bar(specimen(ROWS, COLS), panel(BAR, COLS))
    return real_viewer.add_image(picture, name="coating_12", **TURNED)


@pytest.fixture
def widget(qtbot, image_layer, open_widget):
    widget = open_widget("Tile image")
    until(qtbot, lambda: widget.image_form.image is not None)
    widget.image_form.set_bar.native.click()
    return widget


def numbers(widget):
    return [int(box.value) for box in widget.image_form.specimen_form.sides.values()]


def rectangle(viewer):
    return viewer.layers["coating_12 · specimen"]


def drag_to(layer, area):
    """What napari does when a rectangle is let go of."""
    top, bottom, left, right = area
    corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]]) - 0.5
    layer.data = [corners]


def test_the_bar_found_is_told_with_its_reason_and_numbers(widget):
    assert widget.image_form.bar.said == f"{BAR} rows at the bottom, found in the picture"
    assert numbers(widget) == [0, BAR, 0, 0]
    assert not widget.image_form.specimen_form.reset.enabled


def test_the_rectangle_lies_on_the_specimen_of_a_turned_image(widget, real_viewer, image_layer):
    widget.image_form.specimen_form.show.native.click()
    drawn = rectangle(real_viewer)
    assert drawn.mode == "select"
    assert drawn.units == image_layer.units
    for corner, pixel in zip(
        drawn.data[0], [(0, 0), (0, COLS), (ROWS, COLS), (ROWS, 0)], strict=True
    ):
        np.testing.assert_allclose(
            drawn.data_to_world(corner),
            image_layer.data_to_world(np.array(pixel) - 0.5),
            atol=1e-6,
        )


def test_dragging_sets_the_area_and_the_numbers(qtbot, widget, real_viewer):
    widget.image_form.specimen_form.show.native.click()
    drag_to(rectangle(real_viewer), (10.3, 300.2, 20, 600))
    until(qtbot, lambda: numbers(widget) == [10, ROWS + BAR - 300, 20, 0])
    assert widget.image_form.image.area == Area(10, 300, 20, COLS)
    assert widget.image_form.image.specimen.source == "user"
    said = widget.image_form.bar.said
    assert said.startswith("10 rows at the top and 140 rows at the bottom")
    assert said.endswith("set by you")
    # The rectangle is back on whole pixels, inside the image.
    np.testing.assert_allclose(rectangle(real_viewer).data[0].min(axis=0), (9.5, 19.5))
    np.testing.assert_allclose(rectangle(real_viewer).data[0].max(axis=0), (299.5, COLS - 0.5))


def test_numbers_move_the_rectangle(widget, real_viewer):
    widget.image_form.specimen_form.show.native.click()
    widget.image_form.specimen_form.sides["left"].value = 30
    assert widget.image_form.image.area == Area(0, ROWS, 30, COLS)
    assert rectangle(real_viewer).data[0][:, 1].min() == 29.5


def test_a_real_drag_of_a_corner_with_the_mouse(qtbot, widget, real_viewer, image_layer):
    image_layer.rotate = 0.0
    until(qtbot, lambda: widget.image_form.image is not None)
    widget.image_form.specimen_form.show.native.click()
    drawn = rectangle(real_viewer)
    real_viewer.reset_view()
    canvas = real_viewer.window._qt_viewer.canvas

    def on_canvas(pixel):
        world = drawn.data_to_world(pixel)
        return canvas.view.scene.transform.map([world[1], world[0], 0, 1])[:2]

    from qtpy.QtCore import QPoint, Qt

    start, end = on_canvas((ROWS - 0.5, COLS - 0.5)), on_canvas((320, 410))
    native = canvas.native
    qtbot.waitExposed(native)
    qtbot.mouseMove(native, QPoint(*(round(float(n)) for n in start)))
    qtbot.mousePress(
        native, Qt.MouseButton.LeftButton, pos=QPoint(*(round(float(n)) for n in start))
    )
    for share in (0.3, 0.6, 1.0):
        place = [s + share * (e - s) for s, e in zip(start, end, strict=True)]
        qtbot.mouseMove(native, QPoint(*(round(float(n)) for n in place)))
        qtbot.wait(50)
    qtbot.mouseRelease(
        native, Qt.MouseButton.LeftButton, pos=QPoint(*(round(float(n)) for n in end))
    )
    until(qtbot, lambda: widget.image_form.image.specimen.source == "user", timeout=20_000)
    area = widget.image_form.image.area
    assert area.top == area.left == 0
    assert abs(area.bottom - 320) < 12
    assert abs(area.right - 410) < 12


def test_as_found_has_the_first_area_back(widget, real_viewer):
    form = widget.image_form.specimen_form
    form.show.native.click()
    form.sides["top"].value = 99
    form.sides["bottom"].value = 0
    assert form.reset.enabled
    form.reset.native.click()
    assert numbers(widget) == [0, BAR, 0, 0]
    assert widget.image_form.bar.said == f"{BAR} rows at the bottom, found in the picture"
    assert rectangle(real_viewer).data[0][:, 0].max() == ROWS - 0.5
    assert not form.reset.enabled


def test_undo_takes_back_one_correction_at_a_time(widget):
    form = widget.image_form
    form.specimen_form.sides["top"].value = 5
    form.specimen_form.sides["top"].value = 9
    form.undo.native.click()
    assert numbers(widget) == [5, BAR, 0, 0]
    form.undo.native.click()
    assert numbers(widget) == [0, BAR, 0, 0]
    assert not form.undo.enabled


def test_a_rectangle_off_the_image_is_a_sentence_and_changes_nothing(qtbot, widget, real_viewer):
    form = widget.image_form.specimen_form
    form.show.native.click()
    drag_to(rectangle(real_viewer), (2000, 2100, 0, 100))
    until(qtbot, lambda: bool(form.problem.said))
    assert "no part of the image" in form.problem.said
    assert widget.image_form.image.area == Area(0, ROWS, 0, COLS)


def test_hiding_or_deleting_the_rectangle_keeps_the_area(qtbot, widget, real_viewer):
    form = widget.image_form.specimen_form
    form.show.native.click()
    drag_to(rectangle(real_viewer), (10, 300, 20, 400))
    until(qtbot, lambda: widget.image_form.image.area == Area(10, 300, 20, 400))
    form.show.native.click()
    assert "coating_12 · specimen" not in real_viewer.layers
    form.show.native.click()
    real_viewer.layers.remove(rectangle(real_viewer))
    assert form.show.text == "Show in viewer"
    assert widget.image_form.image.area == Area(10, 300, 20, 400)


def test_other_forms_on_the_same_image_follow(qtbot, widget, open_widget):
    other = open_widget("Classify")
    until(qtbot, lambda: other.image_form.image is not None)
    widget.image_form.specimen_form.sides["top"].value = 7
    assert other.image_form.image.area.top == 7
    assert int(other.image_form.specimen_form.sides["top"].value) == 7


def test_the_area_comes_back_with_the_saved_layer(widget, real_viewer, image_layer):
    widget.image_form.specimen_form.sides["top"].value = 11
    data, attributes, kind = image_layer.as_layer_data_tuple()
    attributes["metadata"] = json.loads(json.dumps(attributes["metadata"]))
    again = Layer.create(data, attributes, kind)
    image = image_from_layer(again)
    assert image.area == Area(11, ROWS, 0, COLS)
    assert image.specimen.source == "user"


def test_a_saved_rectangle_works_again(qtbot, widget, real_viewer):
    widget.image_form.specimen_form.show.native.click()
    drawn = rectangle(real_viewer)
    saved = drawn.as_layer_data_tuple()
    real_viewer.layers.remove(drawn)
    again = real_viewer.add_layer(Layer.create(*saved))
    drag_to(again, (0, 200, 0, 200))
    until(qtbot, lambda: widget.image_form.image.area == Area(0, 200, 0, 200))


def test_other_pixels_in_the_layer_are_looked_at_again(qtbot, widget, image_layer):
    assert widget.image_form.image.area.bottom == ROWS
    image_layer.data = specimen(ROWS + BAR, COLS)
    until(qtbot, lambda: widget.image_form.bar.said == "no info bar found")
    assert widget.image_form.image.area.bottom == ROWS + BAR


def test_an_image_without_a_bar_says_so(qtbot, real_viewer, widget):
    real_viewer.add_layer(Image(specimen(300, 300), name="plain"))
    until(qtbot, lambda: widget.image_form.bar.said == "no info bar found")
    assert numbers(widget) == [0, 0, 0, 0]
