"""The network is compiled beside the work, and a failure of it changes nothing."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_reference import relative_error
from torch._dynamo.utils import counters
from torch.profiler import ProfilerActivity, profile

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.engine import compiled as module
from napari_sem_classify.core.network.engine.compiled import COMPILE_VARIABLE, compiles_on
from napari_sem_classify.core.network.engine.torch_engine import TorchEngine

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
INTENSITY = IntensityRange(20.0, 235.0)
needs_compiler = pytest.mark.skipif(
    sys.platform == "win32" or not (shutil.which("g++") or shutil.which("clang++")),
    reason="needs a C++ compiler (g++ or clang++)",
)


@pytest.fixture(autouse=True)
def own_compile_cache(tmp_path, monkeypatch):
    """Compile anew in each test, in a folder of its own."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))


@pytest.fixture
def always_better(monkeypatch):
    """A network this small may not gain: let any time be the better one."""
    times = iter(range(1000, 0, -1))
    monkeypatch.setattr(module, "_seconds", lambda *_: float(next(times)))


def engine_of(network, dtype="float32"):
    engine = TorchEngine(network, network_px=64, device=CPU, dtype=dtype, compiles=True)
    engine.batch_size, engine.compiled.after_s = 8, 0.0
    return engine


def operators(engine, tiles):
    """What torch runs on the way from tiles to features, by its own names."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        engine.embed(tiles, INTENSITY)
    return {event.key for event in seen.key_averages()}


STEP_BY_STEP = {"aten::relu_", "aten::clamp_min_", "aten::add_"}
"""Activations and sums where they are operators of their own: in the network as it is."""


@needs_compiler
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-4), ("bfloat16", 2e-2)])
def test_the_compiled_network_takes_over_and_gives_the_same_features(
    network, noise_tiles, always_better, dtype, limit
):
    engine = engine_of(network, dtype)
    plain = TorchEngine(network, network_px=64, device=CPU, dtype=dtype)
    expected = plain.embed(noise_tiles[:8], INTENSITY)
    assert operators(plain, noise_tiles[:8]) >= STEP_BY_STEP
    for _ in range(2):  # the second batch of a size starts the compilation
        before = engine.embed(noise_tiles[:8], INTENSITY)
        assert relative_error(before, expected) <= limit
        assert not engine.compiled.in_use
    engine.compiled.settle()
    assert engine.compiled.in_use, engine.compiled.state
    counters.clear()
    compiled = engine.embed(noise_tiles[:8], INTENSITY)
    assert relative_error(compiled, expected) <= limit
    assert not operators(engine, noise_tiles[:8]) & STEP_BY_STEP
    # A last batch of another size costs no compilation.
    last = engine.embed(noise_tiles[:3], INTENSITY)
    assert relative_error(last, expected[:3]) <= limit
    engine.compiled.settle()
    # What is compiled is used whatever the state of the thread that calls: no guard asks for it.
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(usual + 1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not operators(engine, noise_tiles[:8]) & STEP_BY_STEP
    finally:
        torch.set_num_threads(usual)
    assert not counters["stats"]


def test_without_a_compiler_the_network_goes_on_as_it_is(network, noise_tiles, monkeypatch, caplog):
    def no_compiler(*_):
        raise RuntimeError("no C++ compiler here\nand a long explanation")

    monkeypatch.setattr(module, "compile_network", no_compiler)
    engine = engine_of(network)
    with caplog.at_level(logging.INFO, logger=module.__name__):
        features = [engine.embed(noise_tiles[:8], INTENSITY) for _ in range(3)]
        engine.compiled.settle()
    features.append(engine.embed(noise_tiles[:8], INTENSITY))
    assert not engine.compiled.in_use
    for each in features[1:]:
        np.testing.assert_array_equal(each, features[0])
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["the network is not compiled (RuntimeError: no C++ compiler here)"]


def test_a_short_run_is_not_disturbed(network, noise_tiles, monkeypatch, always_better):
    made = []
    monkeypatch.setattr(module, "compile_network", lambda net, _: made.append(1) or net)
    engine = engine_of(network)
    engine.compiled.after_s = 1000.0
    for _ in range(3):
        engine.embed(noise_tiles[:8], INTENSITY)
    assert not made
    assert engine.compiled.state == "not compiled yet"
    engine.compiled.after_s = engine.compiled._worked  # as much work was done
    engine.embed(noise_tiles[:8], INTENSITY)
    engine.compiled.settle()
    assert engine.compiled.in_use


def test_a_compiled_network_that_gives_other_features_is_not_used(
    network, noise_tiles, monkeypatch, always_better
):
    monkeypatch.setattr(module, "compile_network", lambda net, _: lambda batch: net(batch) * 1.1)
    engine = engine_of(network)
    expected = engine.embed(noise_tiles[:8], INTENSITY)
    engine.embed(noise_tiles[:8], INTENSITY)
    engine.compiled.settle()
    np.testing.assert_array_equal(engine.embed(noise_tiles[:8], INTENSITY), expected)


def test_a_compiled_network_that_fails_later_is_given_up(
    network, noise_tiles, monkeypatch, always_better
):
    broken = False

    def compile_(net, _):
        def call(batch):
            if broken:
                raise RuntimeError("kernel image is gone")
            return net(batch)

        return call

    monkeypatch.setattr(module, "compile_network", compile_)
    engine = engine_of(network)
    expected = engine.embed(noise_tiles[:8], INTENSITY)
    engine.embed(noise_tiles[:8], INTENSITY)
    engine.compiled.settle()
    assert engine.compiled.in_use
    broken = True
    np.testing.assert_array_equal(engine.embed(noise_tiles[:8], INTENSITY), expected)
    assert not engine.compiled.in_use


def test_only_nvidia_gpus_compile_unless_the_user_says_so(monkeypatch):
    places = [torch.device(name) for name in ("cpu", "mps", "cuda")]
    monkeypatch.delenv(COMPILE_VARIABLE, raising=False)
    assert [compiles_on(place) for place in places] == [False, False, True]
    monkeypatch.setenv(COMPILE_VARIABLE, "0")
    assert not any(compiles_on(place) for place in places)
    monkeypatch.setenv(COMPILE_VARIABLE, "1")
    assert all(compiles_on(place) for place in places)


@needs_compiler
def test_a_program_that_ends_while_it_compiles_ends_well():
    code = """
import numpy as np, torch
from engine_reference import small_resnet
from napari_sem_classify.core.network.engine.torch_engine import TorchEngine
from napari_sem_classify.core.image.intensity import IntensityRange
engine = TorchEngine(small_resnet(), network_px=64, device=torch.device("cpu"), compiles=True)
tiles = np.random.default_rng(0).integers(0, 255, (8, 64, 64), dtype=np.uint8)
engine.compiled.after_s = 0.0
for _ in range(2):
    engine.embed(tiles, IntensityRange(0.0, 255.0))
assert engine.compiled._thread.is_alive()
"""
    here = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": here}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
