"""The pixel size by hand, and everything that lies on the image staying where it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from class_maps import map_of, patchy_labels
from napari.layers import Layer

from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.layers.layer_image import image_from_layer
from napari_sem_classify.plugin.layers.made_layers import add_class_map, add_confidence

from ..conftest import half_dark, until

PIXELS = [(0, 0), (31, 7), (127, 255)]


@pytest.fixture
def image_layer(real_viewer):
    return real_viewer.add_image(half_dark(), name="bare")


@pytest.fixture
def widget(qtbot, image_layer, open_widget, small_model):
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.image_form.image is not None)
    widget.image_form.set_scale.native.click()
    return widget


@pytest.fixture
def form(widget):
    return widget.image_form.calibration_form


def units(layer):
    return tuple(str(unit) for unit in layer.units)


def draw_line(viewer, start=(120, 10), end=(120, 210)):
    viewer.layers["bare · scale bar"].add([np.array([start, end])], shape_type="line")


def test_an_uncalibrated_image_says_so(widget, form):
    assert widget.image_form.size.said == "256 × 128 px (not calibrated)"
    assert form.pixel_nm.value == 0
    assert form.pixel_nm.native.text() == "unknown"
    assert form.set.native.isHidden()


def test_a_line_along_the_scale_bar_gives_the_pixel_size(widget, form, real_viewer, image_layer):
    form.draw.native.click()
    line = real_viewer.layers["bare · scale bar"]
    assert line.mode == "add_line"
    assert real_viewer.layers.selection.active is line
    assert not form.set.enabled
    draw_line(real_viewer)
    form.length.value, form.unit.value = 500, "nm"
    assert form.line.said == "Line of 200 px: 2.5 nm per px."
    form.set.native.click()
    assert widget.image_form.image.pixel_size_nm == 2.5
    assert widget.image_form.size.said == "256 × 128 px · 2.5 nm/px (scale bar of 500 nm)"
    np.testing.assert_allclose(image_layer.scale, (2.5, 2.5))
    assert units(image_layer) == ("nanometer", "nanometer")
    np.testing.assert_allclose(line.data[0], [(120, 10), (120, 210)])
    np.testing.assert_allclose(line.data_to_world((120, 10)), (300, 25))
    assert real_viewer.layers.selection.active is image_layer
    assert line.mode == "pan_zoom"


@pytest.mark.parametrize(
    ("length", "unit", "nm"), [(1, "µm", 5), (0.2, "mm", 1000), (50, "nm", 0.25)]
)
def test_every_unit_of_a_scale_bar(form, real_viewer, image_layer, length, unit, nm):
    form.draw.native.click()
    draw_line(real_viewer)
    form.length.value, form.unit.value = length, unit
    form.set.native.click()
    assert image_from_layer(image_layer).pixel_size_nm == pytest.approx(nm)


def test_a_line_that_is_too_short_or_a_bar_of_no_length_is_a_sentence(form, real_viewer):
    form.draw.native.click()
    draw_line(real_viewer, end=(120, 11))
    assert "too short" in form.line.said
    assert not form.set.enabled
    draw_line(real_viewer)
    form.length.value = 0
    assert "not possible" in form.line.said
    assert not form.set.enabled


def test_a_real_line_drawn_with_the_mouse(qtbot, form, real_viewer):
    from qtpy.QtCore import QPoint, Qt

    form.draw.native.click()
    line = real_viewer.layers["bare · scale bar"]
    real_viewer.reset_view()
    canvas = real_viewer.window._qt_viewer.canvas

    def place(pixel):
        world = line.data_to_world(pixel)
        mapped = canvas.view.scene.transform.map([world[1], world[0], 0, 1])[:2]
        return QPoint(*(round(float(n)) for n in mapped))

    native, button = canvas.native, Qt.MouseButton.LeftButton
    qtbot.mouseMove(native, place((100, 20)))
    qtbot.mousePress(native, button, pos=place((100, 20)))
    for col in (60, 150, 220):
        qtbot.mouseMove(native, place((100, col)))
        qtbot.wait(30)
    qtbot.mouseRelease(native, button, pos=place((100, 220)))
    until(qtbot, lambda: bool(form.set.enabled), timeout=20_000)
    pixels = float(form.line.said.split()[2])
    assert abs(pixels - 200) < 8


def test_results_and_drawings_stay_on_their_pixels(form, real_viewer, image_layer):
    class_map = map_of(patchy_labels((8, 16)), stride=16, pixel_size_nm=None)
    made = [
        add_class_map(real_viewer, class_map, image_layer),
        add_confidence(real_viewer, {(): class_map}, image_layer),
        real_viewer.add_labels(np.zeros((128, 256), np.uint8), name="my mask"),
        real_viewer.add_points([[5.0, 7.0]], name="my points"),
    ]
    before = [
        [image_layer.world_to_data(layer.data_to_world(place)) for place in ((0, 0), (3, 9))]
        for layer in made
    ]
    form.pixel_nm.value = 7.5
    for layer, places in zip(made, before, strict=True):
        assert units(layer) == ("nanometer", "nanometer")
        now = [image_layer.world_to_data(layer.data_to_world(place)) for place in ((0, 0), (3, 9))]
        np.testing.assert_allclose(now, places, atol=1e-9)
    # Areas of the map that is there are told in the new size.
    (known,) = session_of(real_viewer).maps[made[0]].values()
    assert known.pixel_size_nm == 7.5
    assert known.fractions()[0].area_um2 == pytest.approx(
        class_map.fractions()[0].area_px * 7.5**2 / 1e6
    )


def test_the_same_part_of_the_image_stays_in_view(form, real_viewer, image_layer):
    camera = getattr(real_viewer, "scene", real_viewer).camera
    camera.center, camera.zoom = (0, 40, 60), 3.0
    form.pixel_nm.value = 10
    np.testing.assert_allclose(tuple(camera.center)[-2:], (400, 600))
    assert camera.zoom == pytest.approx(0.3)


def test_an_image_that_lies_elsewhere_is_left_alone(form, real_viewer):
    other = real_viewer.add_image(half_dark(), name="other")
    mask_of_other_size = real_viewer.add_labels(np.zeros((50, 60), np.uint8))
    real_viewer.layers.selection.active = real_viewer.layers["bare"]
    form.pixel_nm.value = 10
    assert tuple(other.scale) == (1, 1)
    assert tuple(mask_of_other_size.scale) == (1, 1)


def test_a_stack_keeps_its_leading_axis(qtbot, widget, form, real_viewer):
    stack = real_viewer.add_image(
        np.stack([half_dark()] * 3), name="stack", scale=(4, 1, 1), units=("um", "pixel", "pixel")
    )
    until(qtbot, lambda: "3 planes" in widget.image_form.size.said)
    form.pixel_nm.value = 20
    np.testing.assert_allclose(stack.scale, (4, 20, 20))
    assert units(stack) == ("micrometer", "nanometer", "nanometer")


def test_the_layers_own_unit_is_kept(qtbot, widget, form, real_viewer):
    layer = real_viewer.add_image(half_dark(), name="um", scale=(0.01, 0.01), units=("um", "um"))
    until(qtbot, lambda: "10 nm/px" in widget.image_form.size.said)
    form.pixel_nm.value = 20
    np.testing.assert_allclose(layer.scale, (0.02, 0.02))
    assert units(layer) == ("micrometer", "micrometer")


def test_as_found_and_undo_have_the_files_size_back(qtbot, widget, form, image_layer):
    assert not form.reset.enabled
    form.pixel_nm.value = 7.5
    form.pixel_nm.value = 8.5
    widget.image_form.undo.native.click()
    assert widget.image_form.image.pixel_size_nm == 7.5
    assert form.reset.enabled
    form.reset.native.click()
    assert widget.image_form.image.pixel_size_nm is None
    assert tuple(image_layer.scale) == (1, 1)
    assert units(image_layer) == ("pixel", "pixel")
    assert widget.image_form.size.said == "256 × 128 px (not calibrated)"
    assert not form.reset.enabled
    widget.image_form.undo.native.click()
    assert widget.image_form.image.pixel_size_nm == 7.5


def test_the_size_is_saved_with_the_layer(form, image_layer):
    form.pixel_nm.value = 7.5
    data, attributes, kind = image_layer.as_layer_data_tuple()
    attributes["metadata"] = json.loads(json.dumps(attributes["metadata"]))
    image = image_from_layer(Layer.create(data, attributes, kind))
    assert image.pixel_size_nm == 7.5
    assert image.pixel_size_source == "set by you"


def test_the_tiles_follow_the_models_scale_once_the_image_has_one(widget, form):
    # The model of the test saw 10 nm/px and 16 px tiles.
    form.pixel_nm.value = 5.0
    assert widget.grid_form.tile_px.value == 32
    assert widget.scale_note.said == (
        "This model saw 10 nm/px, this image has 5 nm/px: tiles will be 32 px."
    )


def test_a_form_for_narrow_docks_stays_narrow(widget):
    from napari_sem_classify.plugin.app.dock_frame import Section

    assert widget.findChild(Section).minimumSizeHint().width() <= 340
