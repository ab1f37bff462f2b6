"""Finding the info bar in the picture: bars of every kind are found, specimens never cropped."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.info_bar import Panel, find_panel, row_shares

# Folder of the real images, what they end in, and rows of their bar.
REAL = [
    ("ncm_cathode", "*/*.jpg", 64),
    ("ncm_mosaic", "*", 0),
    ("nasa/images", "*", 0),
    ("ampis/powder", "*", 0),
    ("ampis/spheroidite/images", "*", 0),
    ("shale/Images", "*", 0),
]
PICTURES = {".png", ".jpg", ".tif", ".tiff", ".bmp"}


def found(picture):
    panel_found = find_panel(picture, picture.shape, "grey")
    return panel_found.top_rows, panel_found.bottom_rows


@pytest.mark.parametrize(("folder", "pattern", "bar_rows"), REAL)
def test_every_real_image_keeps_its_specimen_and_loses_its_bar(
    shared_data, folder, pattern, bar_rows
):
    files = [p for p in (shared_data / folder).glob(pattern) if p.suffix.lower() in PICTURES]
    assert files
    results = Counter()
    for path in files:
        image = open_image(path)
        results[image.area.top, image.shape[0] - image.area.bottom] += 1
    hits = results[0, bar_rows]
    print(f"{folder}: {hits} of {len(files)} right, found {dict(results)}")
    assert hits == len(files)


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize(("ground", "text"), [(0.0, 1.0), (1.0, 0.0), (0.5, 1.0)])
def test_black_white_and_grey_bars_at_either_end(top, dtype, ground, text):
    picture = with_bar(specimen(400, 512, dtype=dtype), panel(40, 512, ground, text), top=top)
    assert found(picture) == ((40, 0) if top else (0, 40))


@pytest.mark.parametrize("direction", ["down", "across"])
def test_gradient_bars(direction):
    bar = panel(40, 512, 0.0, 1.0)
    if direction == "down":
        ramp = np.linspace(0.1, 0.6, 40)[:, None] * np.ones((1, 512))
    else:
        ramp = np.linspace(0.1, 0.8, 512)[None, :] * np.ones((40, 1))
    bar = np.where(bar > 0.5, bar, ramp)
    assert found(with_bar(specimen(400, 512), bar)) == (0, 40)


def test_bars_at_both_ends():
    picture = with_bar(specimen(400, 512), panel(32, 512))
    picture = with_bar(picture, panel(24, 512, 1.0, 0.0), top=True)
    assert found(picture) == (24, 32)


def test_a_bar_above_one_odd_last_row_as_zeiss_writes_it():
    picture = np.vstack([with_bar(specimen(400, 512), panel(40, 512)), specimen(1, 512, seed=3)])
    assert found(picture) == (0, 41)


def test_a_bar_in_a_colour_image_is_found_in_its_luminance():
    picture = with_bar(specimen(400, 512), panel(40, 512))
    colour = np.stack([picture, picture // 2, picture // 3], axis=-1)
    assert find_panel(colour, picture.shape, "colour").bottom_rows == 40


def test_only_a_bounded_part_of_a_huge_image_is_read():
    class Counting:
        def __init__(self, picture):
            self.picture, self.shape, self.dtype = picture, picture.shape, picture.dtype
            self.ndim, self.read = 2, 0

        def __getitem__(self, key):
            block = self.picture[key]
            self.read += block.size
            return block

    without = specimen(4000, 12000)
    picture = with_bar(without, panel(100, 12000))
    counting = Counting(picture)
    assert find_panel(counting, picture.shape, "grey").bottom_rows == 100
    assert counting.read < 0.1 * picture.size
    plain = Counting(without)
    assert find_panel(plain, plain.shape, "grey").bottom_rows == 0
    assert plain.read <= 8 * 4096


def void_below_a_sloping_surface(slope):
    picture = specimen(400, 512)
    surface = 330 + slope * np.arange(512)
    picture[np.arange(400)[:, None] > surface[None, :]] = 0
    return picture


FLAT_SPECIMENS = {
    "constant": np.full((400, 512), 17, np.uint8),
    "all black": np.zeros((400, 512), np.uint8),
    "all NaN": np.full((400, 512), np.nan, np.float32),
    "void below a sloping surface": void_below_a_sloping_surface(0.05),
    "void below a level surface": void_below_a_sloping_surface(0.0),
    "resin with noise": with_bar(
        specimen(350, 512),
        0.4 + 0.01 * np.random.default_rng(1).normal(size=(50, 512)),
    ),
    "saturated to white at the bottom": np.clip(
        specimen(400, 512).astype(int) + np.linspace(0, 400, 400).astype(int)[:, None], 0, 255
    ).astype(np.uint8),
    "black border of a mosaic": np.pad(specimen(360, 450), ((0, 40), (0, 62))),
    "frame of zeros": np.pad(specimen(360, 452), 30),
    "cells of one grey level": np.kron(specimen(40, 51), np.ones((10, 10), np.uint8)),
    "binary mask": (specimen(400, 512) > 128).astype(np.uint8),
}


@pytest.mark.parametrize("name", FLAT_SPECIMENS)
def test_a_flat_specimen_is_not_cropped(name):
    assert found(FLAT_SPECIMENS[name]) == (0, 0)


def test_void_with_bright_specks_that_ends_in_a_ragged_line_is_not_cropped():
    random = np.random.default_rng(5)
    picture = specimen(400, 512)
    edge = 340 + np.cumsum(random.integers(-1, 2, 512))
    picture[np.arange(400)[:, None] > edge[None, :]] = 0
    picture[360:, :][random.random((40, 512)) > 0.97] = 220
    assert found(picture) == (0, 0)


def test_a_small_image_is_not_searched():
    assert found(with_bar(specimen(40, 40), panel(12, 40))) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(64, 260),
    cols=st.integers(64, 300),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
)
def test_a_specimen_alone_is_never_cropped(rows, cols, seed, dtype):
    assert found(specimen(rows, cols, seed, dtype)) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(240, 400),
    cols=st.integers(256, 600),
    height=st.integers(14, 60),
    seed=st.integers(0, 1000),
    top=st.booleans(),
    white=st.booleans(),
)
def test_a_bar_of_any_height_is_found_to_the_row(rows, cols, height, seed, top, white):
    bar = panel(height, cols, float(white), float(not white))
    picture = with_bar(specimen(rows, cols, seed), bar, top=top)
    assert found(picture) == ((height, 0) if top else (0, height))


def test_row_shares_count_the_most_frequent_level():
    rows = np.array([[1, 1, 1, 2], [1, 2, 3, 4], [5, 5, 6, 6]])
    np.testing.assert_allclose(row_shares(rows), [0.75, 0.25, 0.5])
    with_nan = np.array([[np.nan, np.nan, 1.0, 2.0]])
    np.testing.assert_allclose(row_shares(with_nan), [0.5])


def as_jpeg(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("ground", [0.0, 1.0])
def test_the_bar_of_a_resampled_figure_saved_as_jpeg_is_found(ground):
    picture = with_bar(specimen(400, 512), panel(40, 512, ground, 1.0 - ground))
    small = Image.fromarray(picture).resize((384, 330), Image.Resampling.BICUBIC)
    found = find_panel(as_jpeg(np.asarray(small)), (330, 384), "grey")
    assert abs(found.bottom_rows - 30) <= 3
    assert found.top_rows == 0


@pytest.mark.parametrize("ground", [0.0, 1.0])
def test_boxes_of_text_over_a_part_of_the_width_crop_nothing(ground):
    picture = specimen(400, 512)
    box = with_bar(picture[:0, :160], panel(40, 160, ground, 1.0 - ground))
    picture[-40:, :160], picture[-40:, -160:] = box, box
    assert find_panel(picture, picture.shape, "grey") == Panel()
