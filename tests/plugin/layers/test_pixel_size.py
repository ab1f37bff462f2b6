"""The pixel size of a layer is what a pixel measures on the screen, however the layer is laid."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_sem_classify.plugin.layers.image_corrections import corrections_of
from napari_sem_classify.plugin.layers.layer_image import pixel_size_nm, pixel_size_note

NM = ("nm", "nm")
TURNED = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])


def layer(shape=(64, 48), **keywords):
    return Image(np.zeros(shape, np.uint8), **{"units": NM, **keywords})


@pytest.mark.parametrize(
    ("placed", "expected"),
    [
        ({"scale": (25, 25)}, 25.0),
        ({"scale": (25, -25)}, 25.0),
        ({"affine": np.diag([25, 25, 1.0])}, 25.0),
        ({"scale": (10, 10), "affine": np.diag([2, 2, 1.0])}, 20.0),
        ({"scale": (10, 10), "affine": np.diag([-2, 2, 1.0])}, 20.0),
        ({"scale": (10, 10), "affine": TURNED}, 10.0),
        ({"scale": (10, 10), "rotate": 30, "translate": (1e6, -3e5)}, 10.0),
        ({"scale": (0.02, 20), "units": ("µm", "nm")}, 20.0),
        ({"scale": (0.01, 0.01), "units": ("um", "um"), "affine": TURNED}, 10.0),
    ],
)
def test_squares_on_screen(placed, expected):
    assert pixel_size_nm(layer(**placed)) == pytest.approx(expected)
    assert pixel_size_note(layer(**placed)) == ""


@pytest.mark.parametrize(
    ("placed", "words"),
    [
        ({"scale": (10, 10), "affine": np.diag([1, 2, 1.0])}, "not square (20 × 10 nm)"),
        ({"scale": (10, 12)}, "not square (12 × 10 nm)"),
        ({"scale": (10, 10), "shear": [0.3]}, "sheared"),
        ({"scale": (10, 10), "affine": np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])}, "sheared"),
    ],
)
def test_what_is_not_square_on_screen_is_told(placed, words):
    assert pixel_size_nm(layer(**placed)) is None
    assert words in pixel_size_note(layer(**placed))


def test_without_lengths_there_is_no_size_and_nothing_to_say():
    plain = layer(units=("pixel", "pixel"), affine=np.diag([2, 2, 1.0]))
    assert pixel_size_nm(plain) is None
    assert pixel_size_note(plain) == ""


def test_a_stack_is_laid_by_its_last_axes():
    stack = layer(
        (3, 64, 48), scale=(1, 10, 10), units=("pixel", "nm", "nm"), affine=np.diag([1, 2, 2, 1.0])
    )
    assert pixel_size_nm(stack) == pytest.approx(20.0)


def test_a_size_set_by_hand_is_the_size_on_screen():
    viewer = ViewerModel()
    image = viewer.add_layer(layer(scale=(10, -10), affine=np.diag([2, 2, 1.0]) @ TURNED))
    corrections_of(viewer).set_pixel_size(image, 7.0)
    assert pixel_size_nm(image) == pytest.approx(7.0)
    assert tuple(np.sign(image.scale)) == (1, -1)
