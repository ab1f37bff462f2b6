"""Intensities are measured once per image, robustly, and travel without losing what matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sem_pictures import specimen

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import (
    IntensityRange,
    IntensityRecipe,
    measure_range,
    no_data_mask,
    stretch_to_uint8,
    to_batch_dtype,
)
from napari_sem_classify.core.image.sem_image import SemImage, Specimen

DTYPES = [np.uint8, np.uint16, np.int32, np.float32, np.float64]
RECIPE = IntensityRecipe()


def image_of(data, area=None):
    return SemImage("picture", data, Specimen(area or Area(0, data.shape[0], 0, data.shape[1])))


@given(seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_the_range_is_the_percentiles_of_the_specimen(seed, dtype):
    picture = specimen(90, 100, seed, dtype)
    measured = measure_range(image_of(picture), RECIPE)
    low, high = np.percentile(picture.astype(np.float64), [1, 99])
    assert (measured.low, measured.high) == pytest.approx((low, high))


@given(value=st.sampled_from([0, 1, 200]), dtype=st.sampled_from(DTYPES))
def test_a_constant_image_has_a_range_one_unit_wide(value, dtype):
    measured = measure_range(image_of(np.full((40, 50), value, dtype)), RECIPE)
    assert measured.high - measured.low == pytest.approx(1.0)


def test_what_lies_outside_the_specimen_does_not_count():
    picture = specimen(90, 100)
    with_panel = np.vstack([picture, np.full((10, 100), 255, np.uint8)])
    inside = measure_range(image_of(with_panel, Area(0, 90, 0, 100)), RECIPE)
    assert inside == measure_range(image_of(picture), RECIPE)


def test_the_black_border_of_a_mosaic_does_not_count():
    picture = np.maximum(specimen(96, 96), 1)
    bordered = np.pad(picture, 48)
    with_border = measure_range(image_of(bordered), RECIPE)
    without = measure_range(image_of(picture), RECIPE)
    assert with_border.low == pytest.approx(without.low, abs=2)
    assert with_border.high == pytest.approx(without.high, abs=2)


def test_undefined_values_do_not_count():
    picture = specimen(90, 100, dtype=np.float32)
    spoilt = np.hstack([picture, np.full((90, 30), np.nan, np.float32)])
    spoilt[0, 110:] = np.inf
    measured = measure_range(image_of(spoilt), RECIPE)
    expected = measure_range(image_of(picture), RECIPE)
    assert (measured.low, measured.high) == pytest.approx((expected.low, expected.high))


def test_an_image_without_values_is_one_sentence():
    with pytest.raises(ImageError, match="no finite values"):
        measure_range(image_of(np.full((40, 50), np.nan)), RECIPE)


def test_the_range_of_a_large_image_comes_from_a_bounded_sample():
    class Counting:
        shape, dtype, ndim, read = (20_000, 20_000), np.dtype(np.uint8), 2, 0

        def __getitem__(self, key):
            rows, cols = key
            block = specimen(rows.stop - rows.start, cols.stop - cols.start)
            self.read += block.size
            return block

    data = Counting()
    first = measure_range(image_of(data), RECIPE)
    assert data.read <= 64 * 256 * 256
    assert measure_range(image_of(data), RECIPE) == first


@given(seed=st.integers(0, 99), dtype=st.sampled_from([np.uint8, np.uint16]))
def test_eight_and_sixteen_bits_travel_as_they_are(seed, dtype):
    picture = specimen(20, 30, seed, dtype)
    intensity = IntensityRange(3.0, 200.0)
    sent, in_units_of_sent = to_batch_dtype(picture, intensity)
    assert sent is picture
    assert in_units_of_sent == intensity


@given(
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.int32, np.float32, np.float64, np.int16]),
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-3, 1e6),
)
def test_other_types_keep_their_place_in_the_range(seed, dtype, low, width):
    intensity = IntensityRange(low, low + width)
    place = np.random.default_rng(seed).uniform(-0.2, 1.2, (12, 13))
    picture = (low + place * width).astype(dtype)
    sent, in_units_of_sent = to_batch_dtype(picture, intensity)
    assert sent.dtype == np.uint16
    assert in_units_of_sent == IntensityRange(0.0, 65535.0)
    stored_place = (picture.astype(np.float64) - intensity.low) / (intensity.high - intensity.low)
    expected = np.clip(stored_place, 0.0, 1.0)
    np.testing.assert_allclose(sent / 65535.0, expected, atol=1e-5)


def test_undefined_values_travel_as_black_and_infinite_ones_as_the_ends():
    picture = np.array([[np.nan, np.inf, -np.inf, 0.5]], np.float32)
    sent, _ = to_batch_dtype(picture, IntensityRange(0.0, 1.0))
    np.testing.assert_array_equal(sent, [[0, 65535, 0, 32768]])


@given(seed=st.integers(0, 50), factor=st.floats(0.01, 100.0), offset=st.floats(-1000.0, 1000.0))
def test_gain_and_offset_of_a_detector_do_not_change_the_stretched_picture(seed, factor, offset):
    picture = specimen(40, 50, seed, np.float64)
    changed = picture * factor + offset
    one = stretch_to_uint8(picture, measure_range(image_of(picture), RECIPE)).astype(int)
    two = stretch_to_uint8(changed, measure_range(image_of(changed), RECIPE)).astype(int)
    np.testing.assert_allclose(one, two, atol=1)


def test_no_data_is_undefined_or_exactly_zero():
    mask = no_data_mask(np.array([[0.0, np.nan, np.inf, 1.0]]))
    np.testing.assert_array_equal(mask, [[True, True, True, False]])
    np.testing.assert_array_equal(no_data_mask(np.array([[0, 3]], np.uint8)), [[True, False]])


def test_tiles_evened_out_one_by_one_are_not_stretched_as_one_picture():
    with pytest.raises(ValueError, match="one by one"):
        stretch_to_uint8(np.zeros((4, 4), np.uint8), IntensityRange(0.0, 255.0, per_tile=True))


EXTREMES = [
    (1e30, np.float32),
    (np.finfo(np.float32).max, np.float32),
    (-np.finfo(np.float64).max, np.float64),
    (2**64 - 1, np.uint64),
    (-(2**63), np.int64),
]


@pytest.mark.parametrize(("value", "dtype"), EXTREMES)
def test_a_constant_image_of_any_size_of_number_has_a_range_and_one_grey(value, dtype):
    picture = np.full((40, 50), value, dtype)
    measured = measure_range(image_of(picture), RECIPE)
    assert measured.low < measured.high < np.inf
    assert len(np.unique(stretch_to_uint8(picture, measured))) == 1
    assert len(np.unique(to_batch_dtype(picture, measured)[0])) == 1


def test_values_further_apart_than_a_number_can_tell_are_black_and_white():
    most = np.finfo(np.float64).max
    picture = np.where(specimen(40, 50) > 110, most, -most)
    shown = stretch_to_uint8(picture, measure_range(image_of(picture), RECIPE))
    np.testing.assert_array_equal(shown, np.where(picture > 0, 255, 0))


def test_whole_numbers_that_look_alike_as_floats_are_one_sentence():
    picture = specimen(40, 50).astype(np.uint64) + np.uint64(2**64 - 300)
    with pytest.raises(ImageError, match="differences are too small to be told apart"):
        measure_range(image_of(picture), RECIPE)
