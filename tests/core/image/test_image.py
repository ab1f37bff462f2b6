"""The image: regions read as grey, areas and pixel sizes that fit, stacks plane by plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen, luminance


def image_of(data, **keywords):
    rows, cols = data.shape[-3:-1] if keywords.get("colour") == "colour" else data.shape[-2:]
    return SemImage("picture", data, Specimen(Area(0, rows, 0, cols)), **keywords)


@given(
    data=arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]),
        st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    ),
    cut=st.data(),
)
def test_a_window_of_a_plane_is_its_pixels_in_the_stored_type(data, cut):
    image = image_of(data)
    top = cut.draw(st.integers(0, data.shape[1] - 1))
    left = cut.draw(st.integers(0, data.shape[2] - 1))
    window = Area(top, data.shape[1], left, data.shape[2])
    for plane in image.planes():
        pixels = image.read(window, plane)
        assert pixels.dtype == data.dtype
        np.testing.assert_array_equal(pixels, data[plane][top:, left:])


def test_leading_axes_are_iterated():
    image = image_of(np.zeros((2, 3, 10, 12)))
    assert image.shape == (10, 12)
    assert image.leading_shape == (2, 3)
    assert list(image.planes()) == [(t, z) for t in range(2) for z in range(3)]
    assert list(image_of(np.zeros((10, 12))).planes()) == [()]


@given(
    grey=arrays.arrays(st.sampled_from([np.uint8, np.uint16]), (6, 7)), channels=st.integers(3, 4)
)
def test_luminance_of_grey_is_that_grey(grey, channels):
    colour = np.stack([grey] * channels, axis=-1)
    shown = luminance(colour)
    assert shown.dtype == grey.dtype
    np.testing.assert_allclose(shown.astype(int), grey.astype(int), atol=1)


def test_luminance_weighs_green_most_and_ignores_alpha():
    pure = np.zeros((3, 4), np.uint8)
    pure[np.arange(3), np.arange(3)] = 255
    np.testing.assert_array_equal(luminance(pure), [54, 182, 18])
    pure[:, 3] = 255
    np.testing.assert_array_equal(luminance(pure), [54, 182, 18])
    assert luminance(pure.astype(np.float64)).dtype == np.float32


def test_colour_images_are_read_as_luminance_without_their_channel_axis():
    data = np.random.default_rng(0).integers(0, 255, (2, 9, 8, 3), np.uint8)
    image = image_of(data, colour="colour")
    assert image.shape == (9, 8)
    assert image.leading_shape == (2,)
    np.testing.assert_array_equal(image.read(Area(1, 5, 2, 7), (1,)), luminance(data[1, 1:5, 2:7]))


def test_an_area_of_the_user_keeps_its_reason_and_must_fit():
    image = image_of(np.zeros((20, 30)))
    smaller = image.with_area(Area(2, 18, 0, 30))
    assert smaller.specimen == Specimen(Area(2, 18, 0, 30), "user", "set by user")
    assert image.area == Area(0, 20, 0, 30)
    with pytest.raises(ImageError, match="leaves the image of 20 × 30 px"):
        image.with_area(Area(0, 21, 0, 30))


@pytest.mark.parametrize("size", [0.0, -3.0, float("nan"), float("inf")])
def test_a_pixel_size_must_be_a_positive_number(size):
    with pytest.raises(ImageError, match="is not usable"):
        image_of(np.zeros((20, 30))).with_pixel_size(size)


def test_a_pixel_size_of_the_user_says_so():
    image = image_of(np.zeros((20, 30))).with_pixel_size(12.5)
    assert (image.pixel_size_nm, image.pixel_size_source) == (12.5, "set by user")


@pytest.mark.parametrize("error", [OSError, ValueError, RuntimeError, EOFError])
def test_a_region_that_cannot_be_read_is_one_sentence(error):
    class Damaged:
        shape, dtype, ndim = (20, 30), np.dtype(np.uint8), 2

        def __getitem__(self, key):
            raise error("broken")

    with pytest.raises(ImageError, match="cannot be read in rows 3 to 9"):
        image_of(Damaged()).read(Area(3, 9, 0, 30))
