"""Two maps of one image are compared in the viewer."""

from __future__ import annotations

import numpy as np
import pytest
from class_maps import map_of

from napari_sem_classify.plugin.forms.compare_form import ONE_MAP_ONLY
from napari_sem_classify.plugin.layers.difference_layer import DIFFERENCE
from napari_sem_classify.plugin.layers.made_layers import add_class_map, made_from

from ..conftest import half_dark, until


@pytest.fixture
def image_layer(real_viewer):
    return real_viewer.add_image(half_dark(32, 64), name="coating_12", scale=(10, 10))


@pytest.fixture
def form(qtbot, image_layer, open_widget, small_model):
    widget = open_widget("Classify")
    until(qtbot, lambda: widget.image_form.image is not None)
    return widget.compare_form


def with_maps(form, viewer, image_layer, *maps):
    layers = [add_class_map(viewer, each, image_layer) for each in maps]
    form.follow(image_layer)
    form.offer()
    return layers


def test_the_difference_of_two_maps_is_a_layer_that_names_the_pairs(form, real_viewer, image_layer):
    maps = map_of([[1, 1, 1, 0], [2, 2, 1, 1]]), map_of([[1, 2, 1, 1], [2, 2, 1, 1]])
    with_maps(form, real_viewer, image_layer, *maps)
    assert len(form.menu.actions()) == 1
    form.menu.actions()[0].trigger()
    layer = real_viewer.layers["coating_12 · difference"]
    named = dict(zip(layer.features["index"], layer.features["pair"], strict=True))
    said = {named[number] for number in np.unique(layer.data)}
    assert said == {"the same", "oxide / matrix", "matrix / left out"}
    assert np.allclose(layer.scale, (160, 160))
    colours = layer.colormap.color_dict
    assert not np.allclose(colours[1], colours[2])
    said = form.message.said
    assert said == "1 of 7 cells differ, 14.3 % of the area; 1 have a class in one map only."


def test_another_comparison_takes_the_place_of_the_former(form, real_viewer, image_layer):
    maps = [map_of([[1, 1]]), map_of([[2, 1]]), map_of([[2, 2]])]
    first, second, third = with_maps(form, real_viewer, image_layer, *maps)
    assert len(form.menu.actions()) == 3
    form.compare(first, second)
    form.compare(first, third)
    (layer,) = made_from(real_viewer, image_layer, DIFFERENCE)
    assert layer.data.tolist() == [[1, 1]]


def test_one_map_or_maps_of_other_cells_are_told_in_a_sentence(form, real_viewer, image_layer):
    (first,) = with_maps(form, real_viewer, image_layer, map_of([[1, 2]]))
    form.button.native.click()
    assert form.message.said == ONE_MAP_ONLY
    (second,) = with_maps(form, real_viewer, image_layer, map_of([[1]], stride=32))
    form.compare(first, second)
    assert "different cells" in form.message.said
    assert not made_from(real_viewer, image_layer, DIFFERENCE)
