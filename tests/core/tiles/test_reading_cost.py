"""What is read of a chunked zarr while an image is classified, counted at the store itself."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import zarr
from tiny_engine import TinyEngine, brightness_classifier
from zarr.storage import MemoryStore

from napari_sem_classify.core.classify.driver import classify_image
from napari_sem_classify.core.export import overlay
from napari_sem_classify.core.export.outputs import write_outputs
from napari_sem_classify.core.image import intensity as intensity_module
from napari_sem_classify.core.image import sem_image as image_module
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.tiles import sweep
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_source import read_tiles

SIDE, BAR = 2048, 80
RANGE = IntensityRange(10, 190)


class CountingStore(MemoryStore):
    """Counts how often each chunk is fetched, hence decoded, and its bytes in memory."""

    def __init__(self):
        super().__init__()
        self.fetched = Counter()

    async def get(self, key, prototype, byte_range=None):
        if "c/" in key:
            self.fetched[key] += 1
        return await super().get(key, prototype, byte_range)


@pytest.fixture(params=[64, 128], ids=lambda side: f"chunks of {side} px", scope="module")
def written(request):
    """A specimen of 1968 rows above a bar of 80, compressed, in small chunks."""
    store = CountingStore()
    side = request.param
    array = zarr.create_array(
        store, shape=(SIDE, SIDE), chunks=(side, side), dtype=np.uint8, zarr_format=3
    )
    array[:] = np.random.default_rng(0).integers(1, 200, (SIDE, SIDE)).astype(np.uint8)
    return array, store


@pytest.fixture
def stored(written):
    """The image, read by nobody yet."""
    array, store = written
    area = Area(0, SIDE - BAR, 0, SIDE)
    image = image_from_array(array, "chunked", specimen=Specimen(area, "user", ""))
    assert image.chunks == array.chunks
    store.fetched.clear()
    return image, store


def decoded_share(image: SemImage, store: CountingStore) -> float:
    """Pixels decoded per pixel of the specimen area."""
    rows, cols = image.chunks
    return sum(store.fetched.values()) * rows * cols / (image.area.height * image.area.width)


@pytest.mark.parametrize("tile", [64, 100, 224])
def test_without_overlap_hardly_more_is_read_than_the_specimen(stored, tile):
    image, store = stored
    batches = read_tiles(image, TileGrid(image.area, tile, tile), RANGE, 64)
    assert sum(len(batch.index) for batch in batches) > 0
    assert decoded_share(image, store) <= 1.1
    assert max(store.fetched.values()) == 1


@pytest.mark.parametrize(("tile", "stride"), [(64, 32), (100, 30), (224, 56)])
def test_with_overlap_no_chunk_is_decoded_more_than_twice(stored, monkeypatch, tile, stride):
    # Little memory to carry pixels from one row of tiles to the next: strips have to be made.
    monkeypatch.setattr(sweep, "CARRY_BYTES", tile * 512)
    monkeypatch.setattr(sweep, "REGION_BYTES", tile * 512)
    image, store = stored
    grid = TileGrid(image.area, tile, stride)
    assert sum(len(batch.index) for batch in read_tiles(image, grid, RANGE, 64)) == grid.n_tiles
    assert max(store.fetched.values()) <= 2


def run(image, stride):
    grid = TileGrid(image.area, 64, stride)
    classifier = brightness_classifier(tile_px=64)
    return classify_image(image, classifier, grid, engine=TinyEngine(batch_size=256))


@pytest.mark.parametrize("stride", [64, 32])
def test_a_whole_run_with_its_intensity_range_reads_each_chunk_once(stored, stride):
    image, store = stored
    run(image, stride)
    assert decoded_share(image, store) <= 1.1
    assert max(store.fetched.values()) == 1


def test_a_plane_too_large_to_hold_gives_the_same_map(stored, monkeypatch):
    image, store = stored
    held = run(image, 32)
    store.fetched.clear()
    monkeypatch.setattr(image_module, "HELD_BYTES", 0)
    by_region = run(image, 32)
    assert max(store.fetched.values()) <= 2
    np.testing.assert_array_equal(held.probabilities, by_region.probabilities)


@pytest.mark.parametrize(("area", "longest"), [(None, 300), (Area(37, 1901, 11, 1999), 97)])
def test_the_picture_of_a_huge_image_reads_each_chunk_once(stored, monkeypatch, area, longest):
    # Regions of a few chunks, and blocks of pixels that no chunk's border falls on.
    monkeypatch.setattr(overlay, "BAND_PX", 256 * 256)
    image, store = stored
    area = area or image.area
    intensity = intensity_module.measure_range(image, intensity_module.IntensityRecipe())
    store.fetched.clear()
    monkeypatch.setattr(overlay, "measure_range", lambda *_: intensity)
    grey, step = overlay.overview(image, area, longest=longest)
    assert max(store.fetched.values()) == 1
    pixels = intensity_module.stretch_to_uint8(image.read(area), intensity)
    for row, col in [(0, 0), (grey.shape[0] // 2, 3), (grey.shape[0] - 1, grey.shape[1] - 1)]:
        block = pixels[row * step : (row + 1) * step, col * step : (col + 1) * step]
        assert grey[row, col] == np.rint(block.mean())


def test_a_huge_image_with_its_files_reads_no_chunk_more_than_twice(stored, monkeypatch, tmp_path):
    # As with an image too large to hold: a few small samples tell its range of intensities.
    monkeypatch.setattr(image_module, "HELD_BYTES", 0)
    monkeypatch.setattr(intensity_module, "SAMPLE_BLOCKS", 9)
    monkeypatch.setattr(intensity_module, "SAMPLE_BLOCK_PX", 16)
    monkeypatch.setattr(overlay, "BAND_PX", 256 * 256)
    image, store = stored
    class_map = run(image, 64)
    files = write_outputs(class_map, image, tmp_path, "huge")
    assert all(file.is_file() for file in files)
    assert decoded_share(image, store) <= 2.3
    twice = sum(count > 2 for count in store.fetched.values())
    assert twice <= 2 * 9 * 4  # where a sample lies
