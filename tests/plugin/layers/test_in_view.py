"""Layers of one image stand together, and the user's own choice of what is visible stays."""

from __future__ import annotations

import numpy as np
import pytest
from class_maps import map_of

from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.app.turns import TURN_MS
from napari_sem_classify.plugin.layers.image_corrections import corrections_of
from napari_sem_classify.plugin.layers.in_view import in_view_of
from napari_sem_classify.plugin.layers.made_layers import add_class_map, add_confidence
from napari_sem_classify.plugin.layers.scale_bar import scale_bar_of

CLASSES = [[1, 2, 3], [0, 2, 2]]


def picture(viewer, name, **look):
    return viewer.add_image(np.ones((32, 48), np.uint8), name=name, **look)


@pytest.fixture
def two(real_viewer):
    """Two images, one on the other, each with its map."""
    in_view_of(real_viewer)
    layers = {}
    for name in ("first", "second"):
        layers[name] = picture(real_viewer, name)
        class_map = map_of(CLASSES, image_name=name)
        layers[f"{name} map"] = add_class_map(real_viewer, class_map, layers[name])
    return layers


def visible(layers):
    return [name for name, layer in layers.items() if layer.visible]


def test_layers_of_other_images_are_hidden_while_one_is_in_view(real_viewer, two):
    assert visible(two) == ["first", "second", "second map"]
    real_viewer.layers.selection.active = two["first"]
    assert visible(two) == ["first", "first map"]
    real_viewer.layers.selection.active = two["second map"]
    assert visible(two) == ["first", "second", "second map"]


def test_the_image_chosen_in_a_dock_is_in_view_too(real_viewer, two):
    session_of(real_viewer).choose_image(two["first"])
    assert visible(two) == ["first", "first map"]


def test_what_the_user_shows_again_stays(real_viewer, two):
    real_viewer.layers.selection.active = two["first"]
    two["second map"].visible = True
    for name in ("second", "first", "second", "first"):
        real_viewer.layers.selection.active = two[name]
        assert two["second map"].visible


def test_what_the_user_hid_stays_hidden(real_viewer, two):
    two["second map"].visible = False
    for name in ("first", "second"):
        real_viewer.layers.selection.active = two[name]
    assert not two["second map"].visible


def test_the_map_goes_and_comes_with_its_image(real_viewer, two):
    two["second"].visible = False
    assert not two["second map"].visible
    two["second"].visible = True
    assert two["second map"].visible


def test_pictures_that_are_blended_or_lie_apart_stay(real_viewer):
    in_view_of(real_viewer)
    low = picture(real_viewer, "BSE")
    blended = picture(real_viewer, "SE", opacity=0.5)
    apart = picture(real_viewer, "elsewhere", translate=(100, 0))
    real_viewer.layers.selection.active = low
    assert blended.visible
    assert apart.visible


def test_a_calibrated_image_has_a_scale_bar_until_the_user_hides_it(qtbot, real_viewer):
    scale_bar_of(real_viewer)
    bar = real_viewer.canvas.overlays.scale_bar
    layer = picture(real_viewer, "bare")
    assert not bar.visible
    corrections_of(real_viewer).set_pixel_size(layer, 5.0)
    qtbot.waitUntil(lambda: bar.visible)
    bar.visible = False
    corrections_of(real_viewer).set_pixel_size(layer, 6.0)
    picture(real_viewer, "other", scale=(5, 5), units=("nm", "nm"))
    qtbot.wait(3 * TURN_MS)
    assert not bar.visible


def test_confidence_is_grey_with_a_bar_that_tells_what_it_means(real_viewer):
    image = picture(real_viewer, "first")
    layer = add_confidence(real_viewer, {(): map_of(CLASSES, image_name="first")}, image)
    assert layer.colormap.name == "gray"
    assert layer.colorbar.visible
