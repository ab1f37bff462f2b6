"""Result layers lie where the image lies and know what they show."""

from __future__ import annotations

import json

import numpy as np
import pytest
from class_maps import NAMES, map_of, patchy_labels

from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import (
    CLASSES,
    CONFIDENCE,
    add_class_map,
    add_confidence,
    kind_of,
    made_from,
)

TURNED = {
    "scale": (12.5, 12.5),
    "translate": (100.0, -40.0),
    "rotate": 20.0,
    "shear": [0.2],
    "affine": np.array([[1.0, 0.3, 5.0], [0.1, 1.4, -3.0], [0.0, 0.0, 1.0]]),
}


@pytest.fixture
def viewer(viewer_model):
    """No test here looks at a window."""
    return viewer_model


@pytest.fixture
def class_map():
    return map_of(patchy_labels((8, 12)), stride=16, cut=(5, 3), offset=(4, 7))


@pytest.fixture
def image_layer(real_viewer):
    return real_viewer.add_image(
        np.random.default_rng(0).integers(1, 255, (140, 210), dtype=np.uint8),
        name="coating_12",
        units=("nm", "nm"),
        axis_labels=("y", "x"),
        **TURNED,
    )


def test_each_cell_lies_on_the_pixels_it_stands_for(viewer, image_layer, class_map):
    layer = add_class_map(viewer, class_map, image_layer)
    for row, col in [(0, 0), (3, 5), (7, 11)]:
        y, x, _ = class_map.grid.affine() @ (row, col, 1)
        np.testing.assert_allclose(
            layer.data_to_world((row, col)), image_layer.data_to_world((y, x)), atol=1e-6
        )


def test_units_and_axis_labels_are_the_images(viewer, image_layer, class_map):
    for layer in (
        add_class_map(viewer, class_map, image_layer),
        add_confidence(viewer, {(): class_map}, image_layer),
    ):
        assert layer.units == image_layer.units
        assert layer.axis_labels == image_layer.axis_labels


def test_the_map_has_a_pixel_a_cell_in_the_classes_colours(viewer, image_layer, class_map):
    layer = add_class_map(viewer, class_map, image_layer)
    np.testing.assert_array_equal(layer.data, class_map.labels())
    for number, info in enumerate(class_map.classes, start=1):
        shade = "#" + "".join(f"{round(255 * c):02x}" for c in layer.get_color(number)[:3])
        assert shade == info.colour
    assert layer.colormap.color_dict[None][3] == 0
    assert layer.get_color(0) is None or layer.get_color(0)[3] == 0


def test_features_name_the_classes_and_their_shares(viewer, image_layer, class_map):
    features = add_class_map(viewer, class_map, image_layer).features
    assert list(features["class"]) == ["left out", *NAMES]
    assert list(features["colour"])[1:] == [info.colour for info in class_map.classes]
    shares = [share.fraction for share in class_map.fractions()]
    np.testing.assert_allclose(features["area_fraction"][1:].astype(float), shares)
    assert np.isnan(features["area_fraction"][0])


def test_cells_left_out_are_transparent_and_without_confidence(viewer, image_layer):
    labels = patchy_labels((8, 12))
    labels[:2] = 0
    class_map = map_of(labels, stride=16)
    layer = add_class_map(viewer, class_map, image_layer)
    confidence = add_confidence(viewer, {(): class_map}, image_layer)
    assert (layer.data[:2] == 0).all()
    assert np.isnan(confidence.data[:2]).all()
    np.testing.assert_allclose(confidence.data[2:], class_map.confidence()[2:])


def test_a_stack_keeps_its_leading_axes(real_viewer):
    stack = real_viewer.add_image(
        np.ones((3, 64, 96), np.uint8), name="stack", scale=(100, 10, 10), units=("nm",) * 3
    )
    from dataclasses import replace

    class_map = replace(map_of(patchy_labels((4, 6)), stride=16), plane=(2,))
    layer = add_class_map(real_viewer, class_map, stack, leading_shape=(3,))
    assert layer.data.shape == (3, 4, 6)
    assert tuple(layer.scale) == (100, 160, 160)
    np.testing.assert_array_equal(layer.data[2], class_map.labels())
    assert not layer.data[:2].any()
    np.testing.assert_allclose(layer.data_to_world((2, 0, 0)), stack.data_to_world((2, 7.5, 7.5)))


def test_names_follow_the_image_and_the_source_is_found_after_renaming(
    viewer, real_viewer, image_layer, class_map
):
    layer = add_class_map(viewer, class_map, image_layer)
    add_confidence(viewer, {(): class_map}, image_layer)
    assert [each.name for each in real_viewer.layers] == [
        "coating_12",
        "coating_12 · classes",
        "coating_12 · confidence",
    ]
    image_layer.name, layer.name = "other", "thing"
    assert made_from(real_viewer, image_layer, CLASSES) == [layer]
    assert len(made_from(real_viewer, image_layer, CONFIDENCE)) == 1


def test_a_saved_layer_still_tells_model_grid_and_classes(real_viewer, image_layer, class_map):
    from napari.layers import Layer

    layer = add_class_map(real_viewer, class_map, image_layer)
    data, attributes, kind = layer.as_layer_data_tuple()
    noted = json.loads(json.dumps(attributes["metadata"]))[METADATA_KEY]
    assert noted["image"] == "coating_12"
    assert noted["grid"] == {"area": class_map.grid.area.as_list(), "tile": 16, "stride": 16}
    assert [each["name"] for each in noted["classes"]] == list(NAMES)
    real_viewer.layers.clear()
    again = real_viewer.add_layer(Layer.create(data, attributes, kind))
    assert kind_of(again) == CLASSES
    np.testing.assert_array_equal(again.data, class_map.labels())


def test_the_session_goes_with_its_viewer_not_before(viewer, real_viewer):
    assert session_of(viewer) is session_of(real_viewer)


def test_tiles_that_only_contain_a_class_are_tinted_less_so_that_it_is_seen(
    viewer, image_layer, class_map
):
    from dataclasses import replace

    *others, crack = class_map.classes
    thin = replace(class_map, classes=(*others, replace(crack, contains=0.02)))
    layer = add_class_map(viewer, thin, image_layer)
    colours = layer.colormap.color_dict
    assert [float(colours[number][3]) for number in (0, 1, 2, 3)] == [0.0, 1.0, 1.0, 0.5]
    assert layer.metadata[METADATA_KEY]["classes"][2]["contains"] == 0.02
