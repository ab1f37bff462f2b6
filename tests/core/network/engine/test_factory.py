"""An engine is found by its settings, made once, and its absence is said in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.model.engines import engine_for
from napari_sem_classify.core.network.engine import available_devices, factory, make_engine, trial
from napari_sem_classify.core.network.engine.devices import has_openvino
from napari_sem_classify.core.network.engine.torch_engine import TorchEngine
from napari_sem_classify.core.network.engine.trial import Setting, fastest

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_engines_before():
    factory.forget_engines()
    yield
    factory.forget_engines()


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("tpu", "'tpu' is no device"),
        ("cpu:7", "'cpu:7' is no device"),
        ("cuda:x", "'cuda:x' is no device"),
        ("cuda:99", "The device 'cuda:99' is not there"),
    ],
)
def test_a_device_that_is_not_there_is_named_with_those_that_are(device, sentence):
    with pytest.raises(DeviceError) as caught:
        make_engine(network_px=64, device=device)
    text = str(caught.value)
    assert text.startswith(sentence)
    assert "choose auto, " in text
    assert text.endswith("cpu.")
    assert "\n" not in text


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this is a Mac with an Apple GPU")
def test_no_apple_gpu_is_said():
    with pytest.raises(DeviceError, match="has no Apple GPU"):
        make_engine(network_px=64, device="mps")


@pytest.mark.parametrize("setting", [{"backend": "tensorrt"}, {"dtype": "int4"}])
def test_unknown_settings_are_refused_with_the_choices(setting):
    with pytest.raises(DeviceError, match="choose auto, "):
        make_engine(network_px=64, device="cpu", **setting)


def test_openvino_that_is_not_installed_is_said_with_its_remedy(monkeypatch):
    monkeypatch.setattr(factory, "has_openvino", lambda: False)
    with pytest.raises(DeviceError, match=r"pip install 'napari-sem-classify\[cpu\]'"):
        make_engine(network_px=64, device="cpu", backend="openvino")


def test_every_device_listed_can_be_found():
    from napari_sem_classify.core.network.engine.devices import find_device

    choices = available_devices()
    assert choices[-1].id == "cpu"
    assert choices[-1].backend == "torch"
    for choice in choices:
        assert str(find_device(choice.id)) in (choice.id, "mps")
        assert choice.title


def test_the_same_settings_give_the_same_engine_and_old_ones_are_let_go(monkeypatch, network):
    monkeypatch.setattr(factory, "load_backbone", lambda *_, **__: network)
    settings = {"device": "cpu", "backend": "torch", "dtype": "float32"}
    first = make_engine(network_px=64, **settings)
    assert make_engine(network_px=64, **settings) is first
    for px in range(70, 70 + factory.KEPT_ENGINES):
        make_engine(network_px=px, **settings)
    assert make_engine(network_px=64, **settings) is not first


def test_a_fine_tuned_trunk_is_used_instead_of_the_backbones_own():
    from napari_sem_classify.core.model.card import ClassInfo, ModelCard
    from napari_sem_classify.core.model.head import Head, TileClassifier
    from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, load_backbone

    weights = {name: value.numpy() for name, value in load_backbone().state_dict().items()}
    trunk = {
        name: value * 0 if name.startswith("layer4") else value for name, value in weights.items()
    }
    card = ModelCard(
        name="m",
        classes=(ClassInfo("a", "#000000"), ClassInfo("b", "#ffffff")),
        tile_px=64,
        network_px=32,
        pixel_size_nm=None,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256="",
        stages=(4,),
        kind="fine-tuned",
    )
    zeros = np.zeros(2048, np.float32)
    head = Head(zeros, zeros + 1, np.zeros((2, 2048), np.float32), np.zeros(2, np.float32))
    engine = engine_for(TileClassifier(card, head, trunk), device="cpu", backend="torch")
    tiles = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    assert engine.feature_size == 2048
    assert not engine.embed(tiles, IntensityRange(0, 255)).any()


SLOW, FAST = Setting("slow", "float32"), Setting("fast", "float32")
BROKEN = Setting("broken", "float32")


@pytest.fixture
def maker(network, monkeypatch):
    """Makes engines whose rate in a trial is known beforehand."""
    made = []
    took = {"slow": 1.0, "fast": 0.02}
    monkeypatch.setattr(trial, "seconds_a_tile", lambda engines: [took[e.backend] for e in engines])

    def make(setting):
        made.append(setting)
        if setting == BROKEN:
            raise RuntimeError("illegal instruction")
        engine = TorchEngine(network, network_px=32, device=CPU)
        engine.backend = setting.backend
        return engine

    make.made = made
    return make


def test_the_fastest_wins_the_trial_and_is_made_at_once_the_next_time(maker, own_cache):
    assert fastest([SLOW, FAST], maker, 32).backend == "fast"
    assert own_cache.is_file()
    maker.made.clear()
    assert fastest([SLOW, FAST], maker, 32).backend == "fast"
    assert maker.made == [FAST]


class Sleeper:
    """An engine whose tiles take a while, of which it works a share."""

    network_px, feature_size, backend = 8, 1, "sleeper"

    def __init__(self, seconds, works, dtype="float32"):
        self.seconds, self.works, self.dtype, self.tiles = seconds, works, dtype, 0

    def embed(self, batch, _intensity):
        self.tiles += len(batch)
        end = time.process_time() + self.seconds * self.works
        while time.process_time() < end:
            pass
        time.sleep(self.seconds * (1 - self.works))


def test_engines_that_are_timed_take_turns_and_the_faster_one_takes_less():
    slow, fast = trial.seconds_a_tile([Sleeper(0.03, 1.0), Sleeper(0.003, 1.0)])
    assert slow > 3 * fast


def test_on_a_busy_machine_the_work_counts_and_not_the_waiting(monkeypatch):
    monkeypatch.setattr(trial, "_cores", lambda: 4)
    waits, works = trial.seconds_a_tile([Sleeper(0.03, 0.1), Sleeper(0.02, 0.9)])
    assert waits < works


def test_an_engine_is_timed_on_as_many_tiles_as_it_takes_at_once():
    engine = Sleeper(0.0, 0.0)
    engine.tiles_at_once = 50
    trial.seconds_a_tile([engine])
    assert engine.tiles % 50 == 0


def test_how_much_faster_one_is_is_measured_once(own_cache, monkeypatch):
    small, usual = Sleeper(0.003, 1.0, "int8"), Sleeper(0.03, 1.0)
    gain = trial.times_as_fast(small, usual)
    assert gain > 3
    tiles = small.tiles
    assert trial.times_as_fast(small, usual) == pytest.approx(gain, rel=0.01)
    assert small.tiles == tiles
    assert trial.known_gain("sleeper", "float32", small, default=7.0) == 7.0


def test_a_damaged_memory_of_trials_is_no_obstacle(maker, own_cache):
    own_cache.write_text('{"x": 3')
    assert fastest([FAST], maker, 32).backend == "fast"


def test_another_arithmetic_is_tried_only_where_none_of_the_first_runs(maker, own_cache):
    other = Setting("fast", "bfloat16")
    assert fastest([SLOW, other], maker, 32).backend == "slow"
    maker.made.clear()
    assert fastest([BROKEN, other], maker, 32).backend == "fast"


def test_a_backend_that_fails_here_is_passed_over(maker, own_cache):
    assert fastest([BROKEN, FAST], maker, 32).backend == "fast"
    with pytest.raises(RuntimeError, match="illegal instruction"):
        fastest([BROKEN], maker, 32)


WITHOUT_NETWORK = """
import socket
asked = []
socket.getaddrinfo = lambda *address, **_: asked.append(address)
socket.socket.connect = lambda _, address: asked.append(address)
import numpy as np
from engine_reference import small_resnet
from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine
from napari_sem_classify.core.image.intensity import IntensityRange
engine = OpenVinoEngine(small_resnet(), network_px=32, dtype="float32")
engine.embed(np.zeros((3, 40, 40), np.uint8), IntensityRange(0, 255))
print("asked for", asked)
"""


@pytest.mark.skipif(not has_openvino(), reason="needs the extra 'cpu' (OpenVINO)")
def test_openvino_asks_nothing_of_the_network():
    tests = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
    )
    assert done.stdout.strip() == "asked for []", done.stderr
