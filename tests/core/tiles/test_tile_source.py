"""Every wanted tile comes once and right, the image is read once, and the reading thread ends."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange, no_data_mask, to_batch_dtype
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.tiles import sweep
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_source import read_tiles, travel_range

RANGE = IntensityRange(10, 190)


class CountingArray:
    """Pixels that know how many of them were asked for, and how often each chunk was decoded."""

    def __init__(self, pixels, chunks=None, fails_at=None, slow_s=0.0):
        self.pixels, self.chunks, self.fails_at, self.slow_s = pixels, chunks, fails_at, slow_s
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim
        self.read_px = 0
        self.decoded = {}
        self.largest_px = 0

    def __getitem__(self, key):
        time.sleep(self.slow_s)
        rows, cols = key[-2:]
        if self.fails_at is not None and rows.stop > self.fails_at:
            raise OSError("unexpected end of data")
        if self.chunks:
            chunk_y, chunk_x = self.chunks
            for y in range(rows.start // chunk_y, -(-rows.stop // chunk_y)):
                for x in range(cols.start // chunk_x, -(-cols.stop // chunk_x)):
                    self.decoded[y, x] = self.decoded.get((y, x), 0) + 1
        found = self.pixels[key]
        self.read_px += found.size
        self.largest_px = max(self.largest_px, found.size)
        return found


def image_of(pixels, area=None, chunks=None, **counting):
    area = area or Area(0, pixels.shape[-2], 0, pixels.shape[-1])
    array = CountingArray(pixels, chunks, **counting)
    return SemImage("test", array, Specimen(area), chunks=chunks)


def grey(rows, cols, seed=0):
    return np.random.default_rng(seed).integers(1, 200, (rows, cols)).astype(np.uint8)


def prefetch_threads():
    return [t for t in threading.enumerate() if t.name.startswith("sem-classify")]


@st.composite
def cases(draw):
    rows, cols = draw(st.integers(1, 150)), draw(st.integers(1, 150))
    pixels = grey(rows, cols, draw(st.integers(0, 9)))
    pixels = pixels.astype(draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.float32])))
    if draw(st.booleans()):
        pixels[: rows // 2, : cols // 2] = 0
    if pixels.dtype == np.float32 and draw(st.booleans()):
        pixels[rows // 2 :, cols // 2 :] = np.nan
    top, left = draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1))
    area = Area(top, draw(st.integers(top + 1, rows)), left, draw(st.integers(left + 1, cols)))
    tile = draw(st.integers(8, 60))
    grid = TileGrid(area, tile, draw(st.integers(max(1, tile // 4), tile)))
    chunk = st.integers(1, 90)
    chunks = draw(st.none() | st.tuples(chunk, chunk))
    seed = draw(st.none() | st.integers(0, 9))
    keep = None
    if seed is not None:
        keep = np.random.default_rng(seed).random(grid.tile_shape) < 0.5
    limits = draw(st.tuples(st.integers(1, 30_000), st.integers(1, 10_000)))
    return image_of(pixels, area, chunks), grid, keep, draw(st.integers(1, 40)), limits


@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_wanted_tile_comes_once_with_its_own_pixels(case):
    image, grid, keep, batch_size, (region_bytes, carry_bytes) = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "REGION_BYTES", region_bytes)
        patch.setattr(sweep, "CARRY_BYTES", carry_bytes)
        patch.setattr(sweep, "STRIP_TILES", 1)
        patch.setattr(sweep, "STRIP_CHUNKS", 1)
        batches = list(read_tiles(image, grid, RANGE, batch_size, keep=keep))
    got, empty = {}, []
    for batch in batches:
        assert len(batch.index) == len(batch.pixels) <= batch_size
        for number, pixels in zip(batch.index.tolist(), batch.pixels, strict=True):
            assert number not in got
            got[number] = pixels
        empty += batch.empty.tolist()
    assert all(len(batch.index) == batch_size for batch in batches[:-1])
    expected, expected_empty = {}, []
    for number, window in enumerate(grid.windows()):
        if keep is not None and not keep.flat[number]:
            continue
        pixels = image.data.pixels[window.top : window.bottom, window.left : window.right]
        if no_data_mask(pixels).all():
            expected_empty.append(number)
            continue
        pixels, _ = to_batch_dtype(pixels, RANGE)
        lacking = [(0, grid.tile - length) for length in pixels.shape]
        expected[number] = np.pad(pixels, lacking, mode="reflect")
    assert sorted(empty) == expected_empty
    assert got.keys() == expected.keys()
    for number, pixels in expected.items():
        assert np.array_equal(got[number], pixels)


@pytest.mark.parametrize("chunks", [None, (256, 256), (100, 300), (16, 1000), (1000, 16)])
def test_without_overlap_each_pixel_is_read_once(chunks):
    image = image_of(grey(1000, 1000), chunks=chunks)
    for _ in read_tiles(image, TileGrid(image.area, 64, 64), RANGE, 32):
        pass
    assert image.data.read_px / 1_000_000 <= 1.1
    assert all(count == 1 for count in image.data.decoded.values())


@pytest.mark.parametrize("stride", [8, 32, 64])
@pytest.mark.parametrize("chunks", [(128, 128), (100, 130)])
def test_in_strips_hardly_anything_is_read_twice(monkeypatch, chunks, stride):
    monkeypatch.setattr(sweep, "CARRY_BYTES", 64 * 640)
    monkeypatch.setattr(sweep, "REGION_BYTES", 128 * 256)
    image = image_of(grey(300, 4000), chunks=chunks)
    grid = TileGrid(image.area, 64, stride)
    assert len(list(sweep.Sweep(image, grid, RANGE, None, ())._strips())) > 1
    total = sum(len(batch.index) for batch in read_tiles(image, grid, RANGE, 32))
    assert total == grid.n_tiles
    assert image.data.read_px / (300 * 4000) <= 1.1
    assert sum(image.data.decoded.values()) <= 1.1 * len(image.data.decoded)
    assert max(image.data.decoded.values()) <= 2


def test_a_large_image_is_read_in_pieces(monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 100_000)
    image = image_of(grey(2000, 1500))
    for _ in read_tiles(image, TileGrid(image.area, 64, 32), RANGE, 32):
        pass
    assert image.data.largest_px <= 100_000


def test_where_all_tiles_are_left_out_nothing_is_read(monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 64 * 64)
    image = image_of(grey(640, 640), chunks=(64, 64))
    grid = TileGrid(image.area, 64, 64)
    keep = np.zeros(grid.tile_shape, bool)
    keep[3, 4] = True
    (batch,) = read_tiles(image, grid, RANGE, 32, keep=keep)
    assert batch.index.tolist() == [34]
    assert image.data.read_px == 64 * 64


def test_the_range_that_travels_fits_the_pixels_that_travel():
    for dtype, expected in ((np.uint8, RANGE), (np.int32, IntensityRange(0, 65535))):
        image = image_of(grey(64, 64).astype(dtype))
        assert travel_range(image, RANGE) == expected
    colour = SemImage(
        "rgb", np.ones((64, 64, 3), np.float32), Specimen(Area(0, 64, 0, 64)), colour="colour"
    )
    (batch,) = read_tiles(colour, TileGrid(colour.area, 64, 64), IntensityRange(0, 2), 4)
    assert batch.pixels.dtype == np.uint16
    assert abs(int(batch.pixels[0, 0, 0]) - 32768) <= 1


def test_a_plane_of_a_stack_is_read_alone():
    stack = np.stack([grey(64, 64, 1), grey(64, 64, 2)])
    image = SemImage("stack", stack, Specimen(Area(0, 64, 0, 64)))
    (batch,) = read_tiles(image, TileGrid(image.area, 64, 64), RANGE, 4, plane=(1,))
    assert np.array_equal(batch.pixels[0], stack[1])


def test_a_grid_outside_the_image_is_refused():
    image = image_of(grey(100, 100))
    with pytest.raises(ImageError, match="leaves the image"):
        next(read_tiles(image, TileGrid(Area(0, 200, 0, 100), 64, 64), RANGE, 4))


def test_a_file_that_breaks_off_is_told_to_the_caller_after_the_good_tiles(monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 64 * 640)
    image = image_of(grey(640, 640), fails_at=300)
    grid = TileGrid(image.area, 64, 64)
    seen = []
    with pytest.raises(ImageError, match="cannot be read in rows"):
        for batch in read_tiles(image, grid, RANGE, 5):
            seen += batch.index.tolist()
    assert seen == list(range(40))
    assert not prefetch_threads()


def test_closing_early_ends_the_thread(monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 64 * 640)
    image = image_of(grey(6400, 640), slow_s=0.005)
    batches = read_tiles(image, TileGrid(image.area, 64, 64), RANGE, 5)
    next(batches)
    assert prefetch_threads()
    batches.close()
    assert not prefetch_threads()
    assert image.data.read_px < 6400 * 640 / 2


def test_a_slow_caller_holds_the_reading_back(monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 64 * 640)
    image = image_of(grey(6400, 640))
    batches = read_tiles(image, TileGrid(image.area, 64, 64), RANGE, 10)
    next(batches)
    time.sleep(0.3)
    assert image.data.read_px <= 8 * 64 * 640
    batches.close()


def test_a_generator_that_was_never_used_starts_no_thread():
    image = image_of(grey(64, 64))
    read_tiles(image, TileGrid(image.area, 64, 64), RANGE, 4)
    assert not prefetch_threads()


def test_the_next_region_of_a_file_is_read_while_the_one_before_is_cut(monkeypatch):
    monkeypatch.setattr(sweep, "REGION_BYTES", 64 * 64)
    pixels = np.full((256, 64), 9, np.uint8)

    class Stored:
        shape, dtype, ndim = pixels.shape, pixels.dtype, 2

        def __init__(self):
            self.reads, self.two = 0, threading.Event()

        def __getitem__(self, key):
            self.reads += 1
            if self.reads == 2:
                self.two.set()
            return pixels[key]

    stored = Stored()
    image = SemImage("stored", stored, Specimen(Area(0, 256, 0, 64)), chunks=(64, 64))
    regions = sweep.Sweep(image, TileGrid(image.area, 64, 64), RANGE, None, ()).regions(bool)
    first = next(regions)
    assert stored.two.wait(10)
    found = [first, *regions]
    assert stored.reads == len(found) == 4
    assert all((each.pixels == 9).all() for each in found)
