"""Mosaics whose frames differ in exposure are brought to one range, lazily and alike everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_sem_classify.core.common.checked import Fields, Malformed
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.evened import evened_plane
from napari_sem_classify.core.image.frames import find_frames
from napari_sem_classify.core.image.intensity import (
    IntensityRange,
    IntensityRecipe,
    measure_range,
    recorded_recipe,
)
from napari_sem_classify.core.sem_io import image_from_array

ROWS, COLS = 128, 160
FRAMES = IntensityRecipe(over="frames")
LOCAL = IntensityRecipe(over="local")


def texture(rows, cols, seed=0):
    """Soft blobs, black to white."""
    soft = gaussian_filter(np.random.default_rng(seed).normal(size=(rows, cols)), 3)
    return (soft - soft.min()) / np.ptp(soft)


def mosaic(down=3, across=2, dtype=np.uint8):
    """The same texture in every frame, each with another exposure; and the exposures."""
    generator, white = np.random.default_rng(1), np.iinfo(dtype).max
    pixels = np.empty((down * ROWS, across * COLS), dtype)
    for row in range(down):
        for col in range(across):
            low, span = generator.uniform(0.02, 0.4), generator.uniform(0.2, 0.55)
            place = np.s_[row * ROWS : (row + 1) * ROWS, col * COLS : (col + 1) * COLS]
            pixels[place] = np.rint((low + span * texture(ROWS, COLS)) * white)
    return pixels


def shown(pixels, recipe, area=None):
    image = image_from_array(pixels, "mosaic")
    image = image.with_area(area or Area(0, *pixels.shape[-2:-1], 0, pixels.shape[-1]))
    return evened_plane(image, recipe)[0]


def whole(image):
    return image.read(Area(0, image.shape[0], 0, image.shape[1]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_frame_is_stretched_over_its_own_range(dtype):
    image = shown(mosaic(dtype=dtype), FRAMES)
    assert image.dtype == dtype
    even = whole(image).reshape(3, ROWS, 2, COLS).transpose(0, 2, 1, 3)
    steps = even.astype(float) / np.iinfo(dtype).max
    assert np.abs(steps - steps[0, 0]).max() < 0.05
    assert measure_range(image, FRAMES) == IntensityRange(1, np.iinfo(dtype).max)


def test_a_frame_of_a_mosaic_looks_as_it_does_alone():
    pixels = mosaic()
    alone = image_from_array(pixels[ROWS : 2 * ROWS, COLS:].copy(), "frame")
    low_high = measure_range(alone, IntensityRecipe())
    expected = np.clip((alone.data - low_high.low) / (low_high.high - low_high.low), 0, 1)
    found = shown(pixels, FRAMES).read(Area(ROWS, 2 * ROWS, COLS, 2 * COLS))
    np.testing.assert_allclose((found.astype(float) - 1) / 254, expected, atol=0.003)


def test_regions_are_read_as_the_whole_is():
    for recipe in (FRAMES, LOCAL):
        image = shown(mosaic(8, 8), recipe)
        everything = whole(image)
        for window in (Area(0, 70, 0, 70), Area(100, 513, 300, 900), Area(1023, 1024, 0, 1280)):
            part = everything[window.top : window.bottom, window.left : window.right]
            np.testing.assert_array_equal(image.read(window), part)


def test_what_holds_no_data_stays_so_and_a_dark_pixel_does_not_become_it():
    pixels = mosaic().astype(np.float32)
    pixels[:ROWS, :COLS] = np.nan
    pixels[0, -1] = pixels[pixels > 0].min() / 2
    for recipe in (FRAMES, LOCAL):
        even = whole(shown(pixels, recipe))
        assert not even[:ROWS, :COLS].any()
        assert even[0, -1] == 1
        assert even[ROWS:].all()


def test_brightness_that_changes_slowly_is_evened_out_locally():
    """Half as bright at one end, and no frames that could be found."""
    pixels = texture(1024, 1536)
    fading = np.linspace(1, 0.4, 1536)
    even = whole(shown(np.rint(20 + 200 * pixels * fading).astype(np.uint8), LOCAL))
    left, right = even[:, :256].std(), even[:, -256:].std()
    assert 0.8 < right / left < 1.2


def test_frames_are_found_by_jumps_along_whole_rows_and_columns():
    pixels = mosaic(4, 3)
    image = image_from_array(pixels, "mosaic")
    image = image.with_area(Area(0, pixels.shape[0], 0, pixels.shape[1]))
    assert find_frames(image) == (ROWS, COLS)
    bar = np.vstack([pixels, np.full((40, pixels.shape[1]), 255, np.uint8)])
    assert find_frames(image_from_array(bar, "bar").with_area(image.area)) == (ROWS, COLS)
    strip = image.with_area(Area(0, pixels.shape[0], 0, COLS))
    assert find_frames(strip) == (ROWS, COLS)


def test_an_ordinary_image_has_no_frames_and_is_seen_whole():
    pixels = np.rint(20 + 200 * texture(512, 640)).astype(np.uint8)
    pixels[256:] //= 2  # a layer on another
    pixels[:100, :60] = 3
    image = image_from_array(pixels[:-30], "layers")
    assert find_frames(image) is None
    low_high = measure_range(image, IntensityRecipe())
    expected = np.clip((image.data - low_high.low) / (low_high.high - low_high.low), 0, 1)
    even = whole(evened_plane(image, FRAMES)[0])
    np.testing.assert_allclose((even.astype(float) - 1) / 254, expected, atol=0.003)


def test_the_size_of_frames_can_be_given():
    pixels = mosaic(2, 2)
    given = whole(shown(pixels, replace(FRAMES, frame_px=(ROWS, COLS))))
    np.testing.assert_array_equal(given, whole(shown(pixels, FRAMES)))
    halves = whole(shown(pixels, replace(FRAMES, frame_px=(ROWS, 2 * COLS))))
    assert (halves != given).any()


def test_planes_of_a_stack_have_ranges_of_their_own():
    stack = np.stack([mosaic(), 255 - mosaic()])
    image = image_from_array(stack, "stack")
    image = image.with_area(Area(0, stack.shape[1], 0, stack.shape[2]))
    for number, pixels in enumerate(stack):
        plane, place = evened_plane(image, FRAMES, (number,))
        assert place == ()
        np.testing.assert_array_equal(whole(plane), whole(shown(pixels, FRAMES)))


def test_a_card_and_a_record_tell_it_and_older_ones_mean_the_whole_image():
    given = replace(FRAMES, frame_px=(ROWS, COLS))
    assert (
        IntensityRecipe.from_fields(Fields(given.to_dict() | {"frame_px": [ROWS, COLS]})) == given
    )
    assert set(IntensityRecipe().to_dict()) == {"low_percentile", "high_percentile", "per_tile"}
    assert recorded_recipe({"low": 1.0, "high": 2.0}) == IntensityRecipe()
    assert recorded_recipe({"over": "local", "frame_px": None}) == LOCAL
    for wrong in ({"over": "all"}, {"over": "frames", "frame_px": [0, 5]}, {"frame_px": [99]}):
        with pytest.raises(Malformed):
            recorded_recipe(wrong)
