"""Features are kept whole or not at all, found again only for the same question, and bounded."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_engine import FEATURES, TinyEngine, brightness_classifier

from napari_sem_classify.core.classify.driver import classify_image, classify_tiles
from napari_sem_classify.core.common.errors import Cancelled
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.common.temporaries import temporary_name
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.image_key import image_key
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.model.engines import network_of
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache, features_key
from napari_sem_classify.core.network.features import KnownFeatures, embed_image
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

CLASSIFIER = brightness_classifier()
RECIPE = CLASSIFIER.card.intensity


def image_of(seed=0, side=160):
    pixels = np.random.default_rng(seed).integers(1, 255, (side, side)).astype(np.uint8)
    return SemImage("test", pixels, Specimen(Area(0, side, 0, side)))


GRID = TileGrid(Area(0, 160, 0, 160), 16, 16)


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


def fill(cache, image=None, **more):
    engine = more.pop("engine", None) or TinyEngine()
    image = image or image_of()
    tiles = PlaneTiles(image, GRID, more.pop("keep", None))
    result = classify_tiles(tiles, CLASSIFIER, engine, cache=cache, **more)
    return result, engine.calls


def test_another_head_on_the_same_image_needs_no_network(cache):
    fill(cache)
    other = brightness_classifier(name="other", threshold=0.3)
    engine = TinyEngine()
    again = classify_tiles(PlaneTiles(image_of(), GRID), other, engine, cache=cache)
    assert engine.calls == 0
    assert again.record["features_from_cache"] is True
    fresh = classify_image(image_of(), other, GRID, engine=engine)
    np.testing.assert_allclose(again.probabilities, fresh.probabilities, atol=0.05)
    assert np.array_equal(again.labels(), fresh.labels())


def test_tiles_evened_out_one_by_one_are_kept_apart(cache):
    fill(cache)
    engine = TinyEngine()
    evened = replace(RECIPE, per_tile=True)
    known = KnownFeatures(cache, network_of(CLASSIFIER))
    tiles = PlaneTiles(image_of(), GRID)
    first = embed_image(tiles, engine, evened, known=known)
    assert engine.calls > 0
    plain = embed_image(tiles, TinyEngine(), RECIPE, known=known)
    assert not np.allclose(first, plain, atol=0.01)


def test_teaching_takes_what_classifying_has_kept(cache):
    fill(cache)
    engine = TinyEngine()
    network = network_of(CLASSIFIER)
    kept = embed_image(
        PlaneTiles(image_of(), GRID), engine, RECIPE, known=KnownFeatures(cache, network)
    )
    assert engine.calls == 0
    np.testing.assert_allclose(
        kept, embed_image(PlaneTiles(image_of(), GRID), engine, RECIPE), rtol=2e-3
    )


def test_a_part_of_the_tiles_is_taken_from_the_whole_but_not_the_whole_from_a_part(cache):
    part = np.zeros(GRID.tile_shape, bool)
    part[2:4] = True
    assert fill(cache, keep=part)[1] > 0
    assert fill(cache)[1] > 0
    result, calls = fill(cache, keep=part)
    assert calls == 0
    assert np.array_equal(~result.left_out, part)


def test_empty_tiles_stay_left_out(cache):
    image = image_of()
    image.data[:16, :32] = 0
    first, _ = fill(cache, image)
    again, calls = fill(cache, image)
    assert calls == 0
    assert np.array_equal(again.left_out, first.left_out)
    assert again.left_out.sum() == 2


def test_a_changed_pixel_is_another_image(cache):
    fill(cache)
    image = image_of()
    image.data[77, 33] ^= 1
    assert fill(cache, image)[1] > 0


def test_each_part_of_the_question_counts():
    image, engine, network = image_of(), TinyEngine(), network_of(CLASSIFIER)
    intensity = IntensityRange(0, 255)
    stack = replace(image, data=np.stack([image.data] * 2))
    sixteen = TinyEngine()
    sixteen.dtype = "bfloat16"
    card = CLASSIFIER.card
    tuned = replace(CLASSIFIER, trunk={"conv1.weight": np.ones(3, np.float32)})
    keys = [
        features_key(PlaneTiles(image, GRID), intensity, network, engine),
        features_key(PlaneTiles(stack, GRID, plane=(0,)), intensity, network, engine),
        features_key(PlaneTiles(stack, GRID, plane=(1,)), intensity, network, engine),
        features_key(PlaneTiles(image, TileGrid(GRID.area, 16, 8)), intensity, network, engine),
        features_key(
            PlaneTiles(image, TileGrid(Area(0, 160, 0, 159), 16, 16)), intensity, network, engine
        ),
        features_key(PlaneTiles(image, GRID), IntensityRange(0, 254), network, engine),
        features_key(PlaneTiles(image, GRID), intensity, network, sixteen),
        features_key(PlaneTiles(image, GRID), intensity, network_of(tuned), engine),
    ]
    changes = [{"network_px": 64}, {"stages": (4,)}, {"backbone_sha256": "1" * 64}]
    for change in [*changes, {"backbone_id": "another"}]:
        other = network_of(replace(CLASSIFIER, card=replace(card, **change)))
        keys.append(features_key(PlaneTiles(image, GRID), intensity, other, engine))
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert keys[0] == features_key(PlaneTiles(image_of(), GRID), intensity, network, TinyEngine())


class FileArray:
    """Pixels of a .npy file, read when asked for."""

    def __init__(self, path):
        self.pixels = np.load(path, mmap_mode="r")
        self.shape, self.dtype, self.ndim = self.pixels.shape, self.pixels.dtype, 2

    def __getitem__(self, key):
        return self.pixels[key]


def test_a_file_is_known_by_its_size_time_and_pixels(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, image_of().data)
    time_of_change = path.stat().st_mtime_ns

    def key():
        image = SemImage("a", FileArray(path), Specimen(GRID.area), path=path)
        return image_key(image)

    first = key()
    assert key() == first
    os.utime(path, ns=(0, 0))
    assert key() != first
    np.save(path, image_of(seed=1).data)
    os.utime(path, ns=(time_of_change, time_of_change))
    assert key() != first


def test_a_zarr_folder_is_known_by_all_its_files(tmp_path):
    folder = tmp_path / "a.zarr"
    (folder / "c" / "0").mkdir(parents=True)
    chunk = folder / "c" / "0" / "0"
    chunk.write_bytes(b"one")
    np.save(tmp_path / "a.npy", image_of().data)
    image = SemImage("a", FileArray(tmp_path / "a.npy"), Specimen(GRID.area), path=folder)
    first = image_key(image)
    assert image_key(image) == first
    chunk.write_bytes(b"another")
    assert image_key(image) != first


def test_an_array_without_a_file_that_is_not_in_memory_is_not_kept(tmp_path, cache):
    np.save(tmp_path / "a.npy", image_of().data)
    image = SemImage("a", FileArray(tmp_path / "a.npy"), Specimen(GRID.area))
    assert image_key(image) is None
    assert fill(cache, image)[1] > 0
    assert cache.size() == 0


def cancelled(cache, **more):
    """A run that is cancelled after its first batch."""
    cancel = Job()

    def stop(reading):
        if reading.done:
            cancel.cancel()

    with pytest.raises(Cancelled):
        fill(cache, engine=TinyEngine(batch_size=10), job=cancel.telling(stop), **more)


def test_a_cancelled_run_is_gone_on_with_and_gives_the_same_map(cache, tmp_path):
    whole, calls = fill(EmbeddingCache(tmp_path / "other"), engine=TinyEngine(batch_size=10))
    cancelled(cache)
    assert len(list(cache.folder.iterdir())) == 1
    went_on, more = fill(cache, engine=TinyEngine(batch_size=10))
    assert 0 < more < calls
    assert went_on.record["map_sha256"] == whole.record["map_sha256"]
    assert fill(cache)[1] == 0


def test_an_area_and_then_the_whole_image_takes_no_tile_twice(cache):
    part = np.zeros(GRID.tile_shape, bool)
    part[:5] = True
    image = image_of()
    engine = TinyEngine(batch_size=10)
    fill(cache, image, keep=part, engine=engine)
    fill(cache, image, engine=engine)
    assert engine.calls == GRID.n_tiles // 10


@pytest.mark.parametrize("damage", ["short", "long", "header", "nothing"])
def test_a_damaged_entry_is_done_again(cache, damage):
    fill(cache)
    (path,) = cache.folder.iterdir()
    content = path.read_bytes()
    changed = {
        "short": content[:-9],
        "long": content + b"1",
        "header": b"x" * 40 + content[40:],
        "nothing": b"",
    }[damage]
    path.write_bytes(changed)
    assert fill(cache)[1] > 0
    assert path.read_bytes() == content


def test_what_a_killed_process_left_is_not_read_and_is_removed(cache):
    fill(cache)
    (entry,) = cache.folder.iterdir()
    young = temporary_name(".tiles")
    dead = young.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")
    for name in (young, dead):
        (cache.folder / name).write_bytes(entry.read_bytes()[:100])
    cache.evict()
    assert sorted(p.name for p in cache.folder.iterdir()) == sorted([young, entry.name])
    assert cache.size() == entry.stat().st_size


def test_the_least_recently_used_images_go_first(tmp_path):
    one = EmbeddingCache(tmp_path / "one")
    fill(one)
    room_for_two = int(one.size() * 2.5)
    cache = EmbeddingCache(tmp_path / "cache", max_bytes=room_for_two)
    now = time.time()
    for seed, age in ((1, 300), (2, 200)):
        before = set(cache.folder.glob("*")) if cache.folder.exists() else set()
        fill(cache, image_of(seed))
        (entry,) = set(cache.folder.glob("*")) - before
        os.utime(entry, (now - age, now - age))
    assert fill(cache, image_of(1))[1] == 0  # used: now the younger one
    fill(cache, image_of(3))
    assert cache.size() <= room_for_two
    assert fill(cache, image_of(1))[1] == 0
    assert fill(cache, image_of(3))[1] == 0
    assert fill(cache, image_of(2))[1] > 0


def test_an_image_too_large_for_the_cache_is_classified_without_it(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache", max_bytes=2 * 100 * FEATURES * 2 - 1)
    result, _ = fill(cache)
    assert not result.left_out.any()
    assert cache.size() == 0


def test_a_folder_that_cannot_be_written_only_costs_the_time(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    result, calls = fill(EmbeddingCache(tmp_path / "cache"))
    assert calls > 0
    assert not result.left_out.any()


def test_features_beyond_half_precision_are_not_kept(cache):
    class Loud(TinyEngine):
        def embed(self, batch, intensity):
            return super().embed(batch, intensity) * 1e6

    fill(cache, engine=Loud())
    assert cache.size() == 0


def test_two_that_fill_the_same_entry_leave_one_whole_entry(cache):
    errors = []

    def work():
        try:
            fill(cache)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(cache.folder.iterdir())) == 1
    assert fill(cache)[1] == 0


def test_an_entry_replaced_while_it_is_read_is_read_to_its_end(cache):
    fill(cache)
    (path,) = cache.folder.iterdir()
    with cache.find(path.stem) as entry:
        part = np.zeros(GRID.tile_shape, bool)
        part[0] = True
        other = path.with_name("other")
        other.write_bytes(Path(path).read_bytes()[:40])
        try:
            other.replace(path)
        except PermissionError:
            pytest.skip("this system does not replace open files")
        total = sum(len(features) for _, features in entry.blocks())
    assert total == 100
