"""Nothing leaves the computer that the user did not ask for, ours or a library's."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from labelled_images import write_classes
from network_watch import run_watched
from PIL import Image

JOBS = """
import sys
from napari_sem_classify.cli import app

def run(*arguments):
    app(arguments, standalone_mode=False)

small = ("--tile", "64", "--backend", "openvino", "--device", "cpu")
run("info", "a.png")
run("classify", "a.png", "b.png", "--model", "demo", "--out", "maps", *small)
run("teach", "--image", "a.png", "--labels", "labels.png", "--classes", "1=left,2=right",
    "--tile", "64", "--out", "taught.safetensors", "--device", "cpu")
run("train", "classes", "--sizes", "32", "--epochs", "1", "--device", "cpu",
    "--out", "tuned.safetensors")
run("models", "list")
run("datasets", "list")
"""

VIEWER = """
import napari
from qtpy.QtTest import QTest

viewer = napari.Viewer(show=True)
viewer.open("a.png", plugin="napari-sem-classify")
for dock in ("Classify", "Teach", "Fine-tune", "Batch", "Measure"):
    viewer.window.add_plugin_dock_widget("napari-sem-classify", dock)
QTest.qWait(3000)
viewer.close()
"""


def test_the_watch_sees_an_attempt(tmp_path):
    code = (
        "import socket, subprocess, sys\n"
        "try: socket.create_connection(('192.0.2.1', 9), timeout=.01)\n"
        "except OSError: pass\n"
        "child = 'import socket; socket.create_server((\\'127.0.0.1\\', 0)).close()'\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
    )
    attempts, _home = run_watched(tmp_path, "-c", code)
    assert {each.split()[1] for each in attempts} == {"192.0.2.1"}


def test_openvino_reports_nothing_and_leaves_nothing_in_the_home(tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    code = (
        "import napari_sem_classify.core.network.engine.openvino_engine, sys, time\n"
        "time.sleep(0.5)\n"
        "import openvino\n"
        "assert openvino.convert_model\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
    )
    attempts, home = run_watched(tmp_path, "-c", code)
    assert attempts == []
    assert not (home / "intel").exists()
    assert not (home / "Intel Corporation").exists()


@pytest.fixture
def small_inputs(tmp_path):
    noise = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(noise.integers(0, 255, (128, 192), dtype=np.uint8)).save(tmp_path / name)
    labels = np.repeat(np.uint8([[1, 1, 2]]), 128, axis=0).repeat(64, axis=1)
    Image.fromarray(labels).save(tmp_path / "labels.png")
    write_classes(tmp_path / "classes", {"fine": 5, "coarse": 5}, shape=(48, 48))
    return tmp_path


@pytest.mark.slow
def test_the_usual_jobs_reach_no_other_computer(small_inputs):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    attempts, home = run_watched(small_inputs, "-c", JOBS)
    assert attempts == []
    for made in ("maps/b.map.tif", "taught.safetensors", "tuned.safetensors"):
        assert (small_inputs / made).is_file()
    assert not (home / "intel").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a viewer here needs pytest-xvfb's display")
def test_the_viewer_with_the_docks_reaches_no_other_computer(small_inputs):
    pytest.importorskip("pytest_xvfb", reason="a viewer without a display needs pytest-xvfb")
    attempts, home = run_watched(small_inputs, "-c", VIEWER)
    assert attempts == []
    assert not (home / "intel").exists()
