"""Pyramids and stacks in the viewer: the level of the model's scale is read, maps lie right."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.plugin.layers.layer_image import (
    image_from_layer,
    layer_levels,
    noted_level,
    pixels_at,
)
from napari_sem_classify.plugin.layers.made_layers import CLASSES, CONFIDENCE, made_from

from ..conftest import half_dark, until

TURNED = {
    "translate": (300.0, -70.0),
    "rotate": 15.0,
    "affine": [[0.8, -0.6, 5], [0.6, 0.8, 9], [0, 0, 1]],
}


def pyramid(finest, levels=3):
    found = [finest]
    for _ in range(levels - 1):
        last = found[-1]
        rows, cols = (n // 2 * 2 for n in last.shape[-2:])
        blocks = last[..., :rows, :cols].reshape(*last.shape[:-2], rows // 2, 2, cols // 2, 2)
        found.append(blocks.mean(axis=(-3, -1)).round().astype(last.dtype))
    return found


@pytest.fixture
def image_layer(real_viewer):
    """Finest pixels of 2.5 nm, so that level 2 has the 10 nm of the test's model."""
    return real_viewer.add_image(
        pyramid(half_dark(512, 1024)),
        multiscale=True,
        name="big",
        scale=(2.5, 2.5),
        units=("nm", "nm"),
        **TURNED,
    )


@pytest.fixture
def widget(qtbot, image_layer, open_widget, small_model):
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.image_form.image is not None and noted_level(image_layer) == 2)
    return widget


def classify(qtbot, widget):
    widget.run_form.button.native.click()
    assert widget.busy
    until(qtbot, lambda: not widget.busy)


def test_the_level_of_the_models_scale_is_read_and_told(widget):
    image = widget.image_form.image
    assert (image.level, image.shape, image.pixel_size_nm) == (2, (128, 256), 10.0)
    assert widget.image_form.size.said.startswith("1\u2009024 × 512 px · 2.5 nm/px")
    assert widget.image_form.level_form.combo.native.currentText() == "2: 256 × 128 px · 10 nm/px"
    assert widget.grid_form.tile_px.value == 16
    assert widget.estimate.said.startswith("128 tiles")
    assert widget.scale_note.said == ""


def test_the_map_of_a_level_lies_exactly_over_the_image(qtbot, widget, real_viewer, image_layer):
    classify(qtbot, widget)
    for kind in (CLASSES, CONFIDENCE):
        (made,) = made_from(real_viewer, image_layer, kind)
        assert made.data.shape == (8, 16)
        # Corners of the map are corners of the finest level, in the world.
        for cell, pixel in (((-0.5, -0.5), (-0.5, -0.5)), ((7.5, 15.5), (511.5, 1023.5))):
            np.testing.assert_allclose(
                made.data_to_world(cell), image_layer.data_to_world(pixel), atol=1e-6
            )
    (made,) = made_from(real_viewer, image_layer, CLASSES)
    assert set(made.data[:, :8].ravel()) == {1}
    assert set(made.data[:, 8:].ravel()) == {2}
    # One cell is 16 px of 10 nm.
    (class_map,) = widget._session.maps[made].values()
    assert class_map.fractions()[0].area_um2 == pytest.approx(64 * 0.16**2)


def test_levels_of_odd_lengths_lie_right_too(real_viewer):
    layer = real_viewer.add_image(
        [half_dark(501, 333), half_dark(250, 166)], multiscale=True, scale=(3, 3), **TURNED
    )
    layer.metadata = {"sem_classify": {"level": 1}}
    world = [layer.data_to_world(place) for place in ((-0.5, -0.5), (500.5, 332.5))]
    np.testing.assert_allclose(pixels_at(layer, world), [(-0.5, -0.5), (249.5, 165.5)], atol=1e-9)


def test_an_area_set_on_the_finest_level_counts_on_the_one_that_is_read(widget, image_layer):
    widget.image_form.set_bar.native.click()
    widget.image_form.specimen_form.sides["bottom"].value = 130
    assert widget.image_form.image.area == Area(0, 95, 0, 256)
    assert image_from_layer(image_layer, 0).area == Area(0, 382, 0, 1024)
    widget.image_form.specimen_form.show.native.click()


def test_the_rectangle_is_in_finest_pixels(widget, real_viewer, image_layer):
    widget.image_form.specimen_form.show.native.click()
    drawn = real_viewer.layers["big · specimen"]
    np.testing.assert_allclose(drawn.data[0].max(axis=0), (511.5, 1023.5))
    np.testing.assert_allclose(
        drawn.data_to_world((511.5, 0)), image_layer.data_to_world((511.5, 0)), atol=1e-6
    )


def test_a_pixel_size_set_by_hand_is_the_finest_levels(widget):
    widget.image_form.set_bar.native.click()
    widget.image_form.pixel_nm.value = 5.0
    # 10 nm is level 1 now.
    assert noted_level(widget.image_form.layer) == 1


def test_a_level_chosen_by_hand_stays(qtbot, widget, image_layer):
    widget.image_form.level_form.combo.value = 0
    until(qtbot, lambda: widget.image_form.image is not None)
    assert widget.image_form.image.level == 0
    assert widget.grid_form.tile_px.value == 64
    assert "this image has 2.5 nm/px: tiles will be 64 px" in widget.scale_note.said
    widget.image_form.read_for(10.0)
    assert noted_level(image_layer) == 0


def test_the_corrections_stay_unfolded_while_another_level_is_read(qtbot, widget):
    widget.header.open = True
    widget.image_form.set_bar.native.click()
    assert not widget.image_form.pixel_nm.native.isHidden()
    widget.image_form.level_form.combo.value = 1
    until(qtbot, lambda: widget.image_form.image is not None)
    assert widget.image_form.image.level == 1
    assert widget.image_form.undo.native.isVisibleTo(widget)
    # All numbers there are of the finest level.
    assert widget.image_form.pixel_nm.value == 2.5


def test_an_earlier_map_stays_when_another_level_is_read(
    qtbot, widget, real_viewer, image_layer, tmp_path
):
    classify(qtbot, widget)
    (made,) = made_from(real_viewer, image_layer, CLASSES)
    before = made.data_to_world((3, 5))
    widget.image_form.level_form.combo.value = 0
    until(qtbot, lambda: widget.image_form.image is not None)
    np.testing.assert_allclose(made.data_to_world((3, 5)), before)
    export = widget.measure.export_form
    until(qtbot, lambda: export.run_form.button.enabled)
    export.write_usual(tmp_path)
    until(qtbot, lambda: "files written" in export.run_form.message.said)
    summary = json.loads(next(tmp_path.glob("*.summary.json")).read_text())
    assert (summary["level"], summary["shape"]) == (2, [128, 256])


def test_the_level_is_saved_with_the_layer(widget, image_layer):
    from napari.layers import Layer

    again = Layer.create(*image_layer.as_layer_data_tuple())
    assert image_from_layer(again).level == 2


def test_levels_that_thin_out_a_stack_are_not_offered(real_viewer):
    stack = [np.ones((4, 64, 64), np.uint8), np.ones((4, 32, 32), np.uint8)]
    thinned = [*stack, np.ones((2, 16, 16), np.uint8)]
    layer = real_viewer.add_image(thinned, multiscale=True)
    assert [level.shape for level in layer_levels(layer)] == [(64, 64), (32, 32)]


def test_only_the_level_that_is_read_is_computed(real_viewer):
    """Dask levels: reading level 1 leaves level 0 alone, once its bar is known."""
    asked = []

    def lazy(picture, name):
        def block(block_info=None):
            asked.append(name)
            (rows, cols) = block_info[None]["array-location"]
            return picture[slice(*rows), slice(*cols)]

        chunks = tuple((64,) * (length // 64) for length in picture.shape)
        return da.map_blocks(block, chunks=chunks, dtype=picture.dtype)

    finest = half_dark(256, 512)
    layer = real_viewer.add_image(
        [lazy(finest, 0), lazy(pyramid(finest)[1], 1)], multiscale=True, contrast_limits=(0, 255)
    )
    notes = {"level": 1, "shape": [256, 512], "specimen": [0, 256, 0, 512]}
    layer.metadata = {"sem_classify": {**notes, "specimen_source": "none"}}
    asked.clear()
    image = image_from_layer(layer)
    image.read(image.area)
    assert set(asked) == {1}


def test_every_plane_of_a_stack_gets_its_map_with_scale_and_units(
    qtbot, real_viewer, open_widget, small_model
):
    stack = np.stack([half_dark(), half_dark()[:, ::-1], half_dark()])[None].repeat(2, axis=0)
    layer = real_viewer.add_image(
        stack,
        name="stack",
        scale=(2.0, 50.0, 10.0, 10.0),
        translate=(0, 100, 7, 8),
        units=("s", "nm", "nm", "nm"),
        axis_labels=("t", "z", "y", "x"),
    )
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.image_form.image is not None)
    assert "6 planes" in widget.image_form.size.said
    classify(qtbot, widget)
    for kind in (CLASSES, CONFIDENCE):
        (made,) = made_from(real_viewer, layer, kind)
        assert made.data.shape == (2, 3, 8, 16)
        assert tuple(made.scale) == (2.0, 50.0, 160.0, 160.0)
        assert made.units == layer.units
        assert made.axis_labels == layer.axis_labels
        np.testing.assert_allclose(
            made.data_to_world((1, 2, -0.5, -0.5)), layer.data_to_world((1, 2, -0.5, -0.5))
        )
    (made,) = made_from(real_viewer, layer, CLASSES)
    assert (made.data[:, 0, :, :8] == 1).all()
    assert (made.data[:, 1, :, :8] == 2).all()


def test_the_note_about_the_scale_is_the_one_people_ask_for(
    qtbot, real_viewer, open_widget, small_model
):
    real_viewer.add_image(half_dark(256, 512), name="fine", scale=(4, 4), units=("nm", "nm"))
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: "nm/px" in widget.scale_note.said)
    assert widget.scale_note.said == (
        "This model saw 10 nm/px, this image has 4 nm/px: tiles will be 40 px."
    )


def test_a_level_that_is_not_there_is_level_0(real_viewer, image_layer):
    for level in ("two", 7, -1, None):
        image_layer.metadata = {"sem_classify": {"level": level}}
        assert noted_level(image_layer) == 0
    plain = real_viewer.add_image(half_dark(), metadata={"sem_classify": {"level": 1}})
    assert noted_level(plain) == 0
