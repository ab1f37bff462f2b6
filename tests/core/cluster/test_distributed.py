"""A cluster of worker processes gives the map of a local run, also when a worker dies."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cluster_job
import numpy as np
import pytest
import tifffile
import zarr
from cli_files import files_in
from dask_cluster import Cluster
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.cluster import huge
from napari_sem_classify.core.cluster.distributed import classify_on_cluster
from napari_sem_classify.core.cluster.tile_store import TileStore, blocks_of
from napari_sem_classify.core.common.errors import Cancelled, DeviceError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.outlines.options import OutlineOptions
from napari_sem_classify.core.tiles.grid import TileGrid

distributed = pytest.importorskip("distributed", reason="needs the extra 'distributed'")

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[2]


@pytest.fixture
def start_cluster(tmp_path_factory):
    clusters = []

    def start(seconds_a_batch=0.0):
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), seconds_a_batch)
        clusters.append(cluster)
        cluster.wait_for(2)
        return cluster

    yield start
    for cluster in clusters:
        cluster.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One that is shared by tests that kill nothing; slow enough to be stopped at work."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), seconds_a_batch=0.02)
    try:
        cluster.wait_for(2)
        yield cluster
    finally:
        cluster.close()


def picture(rows=500, cols=420, seed=0):
    """Grey levels that change over the picture, with an empty corner."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    grey = 128 + 90 * np.sin(y / 37) * np.cos(x / 29) + random.normal(0, 9, (rows, cols))
    grey = np.clip(grey, 1, 254).astype(np.uint8)
    grey[:70, :90] = 0
    return grey


@pytest.fixture
def huge_image(tmp_path, monkeypatch):
    """A zarr that counts as huge: 30 × 25 overlapping tiles, cut into blocks of 7 × 7."""
    monkeypatch.setattr(huge, "BLOCK_TILES", 7)
    path = tmp_path / "wafer.zarr"
    array = zarr.create_array(str(path), shape=(500, 420), chunks=(128, 128), dtype="uint8")
    array[:] = picture()
    return path


@pytest.fixture
def classifier():
    return brightness_classifier(tile_px=16)


WISH = ClassifyOptions(tile_px=24, stride_px=17, cache=False)


def on_cluster(cluster, paths, classifier, out, *, resume=True, cache=False, job=None):
    return classify_on_cluster(
        paths,
        classifier,
        BatchTarget(out, resume=resume),
        replace(WISH, cache=cache),
        scheduler=cluster.address,
        job=job,
        load=cluster_job.load,
    )


def local_labels(paths, classifier, out):
    report = classify_many(paths, classifier, BatchTarget(out), WISH, engine=TinyEngine(16))
    assert not report.failed
    return {path.stem: tifffile.imread(out / f"{path.stem}.map.tif") for path in paths}


def test_a_worker_that_is_killed_costs_nothing(start_cluster, huge_image, classifier, tmp_path):
    expected = local_labels([huge_image], classifier, tmp_path / "local")["wafer"]
    cluster = start_cluster(seconds_a_batch=0.05)
    readings = []

    def kill_one(reading):
        readings.append(reading)
        if reading.done == 3:
            cluster.workers[0].kill()

    report = on_cluster(cluster, [huge_image], classifier, tmp_path / "out", job=Job(kill_one))
    assert cluster.workers[0].wait() != 0
    assert [each.problem for each in report.images] == [""]
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "wafer.map.tif"), expected)
    assert readings[-1].done == readings[-1].total == 5 * 4
    # A process loads the model once, however many blocks it does.
    loads = {path.name for path in cluster.loads.iterdir()}
    assert f"{cluster.workers[1].pid}-0" in loads
    assert loads <= {f"{worker.pid}-0" for worker in cluster.workers}


def test_a_scheduler_that_dies_is_told_and_what_is_finished_stays(
    start_cluster, cluster, huge_image, classifier, tmp_path
):
    dying = start_cluster(seconds_a_batch=0.05)
    out = tmp_path / "out"

    def kill_it(reading):
        if reading.done == 3:
            dying.scheduler.kill()

    with pytest.raises(DeviceError, match="connection to the Dask cluster was lost"):
        on_cluster(dying, [huge_image], classifier, out, job=Job(kill_it))
    readings = []
    on_cluster(cluster, [huge_image], classifier, out, job=Job(readings.append))
    assert readings[-1].total <= 17


def test_a_huge_image_leaves_its_tiles_in_one_zarr(cluster, huge_image, classifier, tmp_path):
    out = tmp_path / "out"
    (outcome,) = on_cluster(cluster, [huge_image], classifier, out).done
    tiles = zarr.open_array(str(out / "wafer.probabilities.zarr"), mode="r")
    grid = TileGrid(Area(0, 500, 0, 420), 24, 17)
    assert tiles.shape == (*grid.tile_shape, 2)
    values = tiles[:]
    assert np.isnan(values[0, 0]).all()  # the empty corner
    assert np.nansum(values, axis=-1) == pytest.approx(np.where(np.isnan(values[..., 0]), 0, 1))
    assert tiles.attrs["classes"] == ["dark", "bright"]
    assert sorted(path.name for path in outcome.files) == [
        "wafer.map.tif",
        "wafer.overlay.png",
        "wafer.probabilities.zarr",
        "wafer.summary.json",
        "wafer.tiles.csv",
    ]
    assert [name for name in files_in(out) if name.startswith(".")] == []
    record = json.loads((out / "wafer.summary.json").read_text())["record"]
    assert record["engine"] == {"backend": "torch", "device": "CPU", "dtype": "float32"}


def test_a_huge_image_gets_the_outlines_of_the_whole(cluster, huge_image, classifier, tmp_path):
    wish = replace(WISH, outlines=OutlineOptions())
    out, whole = tmp_path / "out", tmp_path / "whole"
    report = classify_on_cluster(
        [huge_image],
        classifier,
        BatchTarget(out),
        wish,
        scheduler=cluster.address,
        load=cluster_job.load,
    )
    assert not report.failed
    classify_many([huge_image], classifier, BatchTarget(whole), wish, engine=TinyEngine(16))
    name = "wafer.outlines.tif"
    assert np.array_equal(tifffile.imread(out / name), tifffile.imread(whole / name))


def test_many_images_are_shared_out_and_a_bad_one_stops_none(cluster, classifier, tmp_path):
    paths = []
    for number in range(4):
        path = tmp_path / f"image{number}.tif"
        tifffile.imwrite(path, picture(120, 150, seed=number))
        paths.append(path)
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\x00 nothing more")
    expected = local_labels(paths, classifier, tmp_path / "local")
    out = tmp_path / "out"
    report = on_cluster(cluster, [paths[0], bad, *paths[1:]], classifier, out)
    assert [each.path for each in report.images] == [paths[0], bad, *paths[1:]]
    assert [each.path for each in report.failed] == [bad]
    for path in paths:
        assert np.array_equal(tifffile.imread(out / f"{path.stem}.map.tif"), expected[path.stem])
    again = on_cluster(cluster, paths, classifier, out)
    assert all(each.resumed for each in again.images)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets Linux's cache folder")
def test_workers_know_tiles_that_they_looked_at_before(cluster, classifier, tmp_path):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, picture(seed=7))
    before = set(cluster.cache.rglob("*.tiles"))
    runs = [
        on_cluster(cluster, [path], classifier, tmp_path / "out", resume=False, cache=cache)
        for cache in (False, True, True)
    ]
    known = [run.done[0].planes[0]["features_from_cache"] for run in runs]
    assert known == [False, False, True]
    assert len(set(cluster.cache.rglob("*.tiles")) - before) == 1


def test_a_stopped_run_goes_on_with_the_blocks_that_are_lacking(
    cluster, huge_image, classifier, tmp_path
):
    expected = local_labels([huge_image], classifier, tmp_path / "local")["wafer"]
    out = tmp_path / "out"
    cancel = Job()
    with pytest.raises(Cancelled):
        on_cluster(
            cluster,
            [huge_image],
            classifier,
            out,
            job=cancel.telling(lambda at: at.done >= 5 and cancel.cancel()),
        )
    assert not (out / "wafer.map.tif").exists()
    readings = []
    on_cluster(cluster, [huge_image], classifier, out, job=Job(readings.append))
    assert readings[-1].total <= 15
    assert np.array_equal(tifffile.imread(out / "wafer.map.tif"), expected)


def test_a_model_file_goes_to_the_workers_and_does_not_stay(cluster, tmp_path):
    from typer.testing import CliRunner

    from napari_sem_classify.cli import app

    path = tmp_path / "image.tif"
    tifffile.imwrite(path, picture(128, 128))
    out = tmp_path / "out"
    command = ["classify", str(path), "--model", "demo", "--tile", "64", "--out", str(out)]
    done = CliRunner().invoke(
        app, [*command, "--scheduler", cluster.address, "--device", "cpu", "--backend", "torch"]
    )
    assert done.exit_code == 0, done.stderr
    assert "Dask cluster" in done.stdout
    assert (out / "image.map.tif").is_file()
    assert not list(out.glob("**/model.safetensors"))


def test_an_address_where_nobody_answers_is_told_in_a_sentence(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sem_classify.core.cluster.connect.CONNECT_S", 2.0)
    with pytest.raises(DeviceError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        classify_on_cluster(
            [],
            classifier,
            BatchTarget(tmp_path),
            ClassifyOptions(cache=False),
            scheduler="tcp://127.0.0.1:9",
            load=load_none,
        )


def test_without_the_extra_the_sentence_names_it(classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DeviceError, match=r"napari-sem-classify\[distributed\]"):
        classify_on_cluster(
            [],
            classifier,
            BatchTarget(tmp_path),
            ClassifyOptions(cache=False),
            scheduler="tcp://127.0.0.1:9",
            load=load_none,
        )


def load_none():
    raise AssertionError("nothing is to be loaded")


@pytest.mark.parametrize(
    ("area", "tile", "stride"),
    [
        (Area(3, 503, 5, 425), 24, 17),
        (Area(0, 100, 0, 100), 10, 10),
        (Area(0, 20, 0, 300), 32, 32),
        (Area(7, 40, 0, 33), 33, 5),
    ],
)
def test_blocks_hold_each_tile_once_where_the_whole_grid_has_it(area, tile, stride):
    grid = TileGrid(area, tile, stride)
    seen = []
    for block in blocks_of(grid, 4):
        part = block.grid(grid)
        assert part.tile_shape == (block.bottom - block.top, block.right - block.left)
        seen += [tuple(window.as_list()) for window in part.windows()]
    assert sorted(seen) == sorted(tuple(window.as_list()) for window in grid.windows())


def test_blocks_of_another_run_are_not_taken_over(tmp_path):
    grid = TileGrid(Area(0, 64, 0, 64), 8, 8)
    first, *others = blocks_of(grid, 4)
    path, name = tmp_path, "tiles"
    store = TileStore(path, name, (8, 8, 2), 4, {"model": "a"})
    store.write(first, np.full((4, 4, 2), 0.5, np.float32))
    again = TileStore(path, name, (8, 8, 2), 4, {"model": "a"})
    assert again.has(first)
    assert not any(again.has(block) for block in others)
    assert not TileStore(path, name, (8, 8, 2), 4, {"model": "a"}, resume=False).has(first)
    store.write(first, np.full((4, 4, 2), np.nan, np.float32))
    assert TileStore(path, name, (8, 8, 2), 4, {"model": "a"}).has(first)  # left out is done, too
    assert not TileStore(path, name, (8, 8, 2), 4, {"model": "b"}).has(first)
