"""The benchmark tells rates and ratios of one run, and stops when asked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sem_classify.core.benchmark.speed import (
    BenchmarkOptions,
    machine,
    peak_memory_mb,
    run_benchmark,
)
from napari_sem_classify.core.benchmark.training import run_training_benchmark
from napari_sem_classify.core.common.errors import Cancelled, DeviceError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.sem_io.array_image import image_from_array


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(1, 256, (96, 160), dtype=np.uint8)
    return image_from_array(pixels, "noise")


def test_rates_and_ratios_belong_together(image):
    seen = []
    result = run_benchmark(
        image,
        BenchmarkOptions(
            tile_px=32,
            network_px=32,
            device="cpu",
            backend="torch",
            repeats=1,
            seconds=0.01,
        ),
        job=Job(seen.append),
    )
    for key in ("end_to_end_tiles_per_s", "bare_tiles_per_s", "plain_loop_tiles_per_s"):
        assert result[key] > 0
    assert result["limit_tiles_per_s"] == result["bare_tiles_per_s"]  # nothing is faster on a CPU
    assert "as it is" in result["limit"]
    ratio = result["end_to_end_tiles_per_s"] / result["bare_tiles_per_s"]
    assert result["end_to_end_to_bare"] == pytest.approx(ratio, abs=0.002)
    assert result["backend"] == "torch"
    assert result["device"].startswith("CPU")
    assert result["tiles"] == 15
    assert seen[-1].fraction == 1.0
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_processors_work_outside_the_network_is_told(image, tiny_by_default):
    options = BenchmarkOptions(32, 32, "cpu", "torch", repeats=1, seconds=0.01, plain_loop=False)
    result = run_benchmark(image, options)
    network, outside = (result[f"{name}_cpu_ms_per_tile"] for name in ("network", "outside"))
    assert network > 0
    assert outside > 0
    assert result["outside_to_network"] == pytest.approx(outside / network, rel=0.05)


def test_a_training_is_told_beside_its_bare_step(tiny_by_default, one_thread):
    result = run_training_benchmark(32, "cpu", seconds=0.05)
    assert result["tiles"] > 0
    ratio = result["training_tiles_per_s"] / result["bare_tiles_per_s"]
    assert result["training_to_bare"] == pytest.approx(ratio, rel=0.05)
    assert result["bare_compiled"] is False
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_training_that_is_timed_can_be_cancelled(tiny_by_default, one_thread):
    cancel = Job()
    cancel.cancel()
    with pytest.raises(Cancelled):
        run_training_benchmark(32, "cpu", seconds=0.05, job=cancel)


def test_dense_maps_are_timed_against_single_tiles_in_the_arithmetic_asked_for(
    image, tiny_by_default
):
    result = run_benchmark(
        image,
        BenchmarkOptions(
            tile_px=32,
            network_px=64,
            device="cpu",
            backend="torch",
            dtype="float32",
            dense=True,
            repeats=1,
            seconds=0.01,
            plain_loop=False,
        ),
    )
    assert result["dtype"] == "float32"
    assert result["dense_tiles"] == 5 * 9  # a tile of 32 px every 16 px
    dense, single = (result["runs"][kind] for kind in ("dense_s", "tile_by_tile_s"))
    assert result["dense_to_tiles"] == pytest.approx(dense[0] / single[0], rel=0.02)
    assert result["plain_loop_tiles_per_s"] is None


def test_peak_memory_grows_with_what_is_held():
    before = peak_memory_mb()
    held = np.ones(200_000_000, dtype=np.uint8)
    if before is None:
        pytest.skip("this system does not tell the peak memory")
    assert peak_memory_mb() >= before
    assert peak_memory_mb() * 1e6 >= held.nbytes


def test_the_machine_is_described():
    described = machine()
    assert described["processor"]
    assert described["versions"]["torch"]


def test_a_benchmark_can_be_cancelled(image, tiny_by_default):
    cancel = Job()
    cancel.cancel()
    with pytest.raises(Cancelled):
        run_benchmark(image, BenchmarkOptions(32, 32, "cpu", "torch"), job=cancel)


def test_a_device_that_is_not_there_is_said(image):
    with pytest.raises(DeviceError, match="'cuda:99' is not there"):
        run_benchmark(image, BenchmarkOptions(32, 32, "cuda:99"))
