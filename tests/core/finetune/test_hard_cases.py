"""Fine-tuning when things go wrong, and on sets at the edges: killed, no room, odd classes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled_images import write_classes
from typer.testing import CliRunner

from napari_sem_classify.cli import app
from napari_sem_classify.core.common.errors import DatasetError, OutputError
from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.dataset_split import plan_split
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_checkpoint import checkpoint_path
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import make_preset
from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.core.model.file import save_model

pytestmark = pytest.mark.usefixtures("one_thread")
tiny = pytest.mark.usefixtures("tiny_by_default")
"""Of tests that come after the one with a process of its own, which has the network in the box."""


@pytest.fixture
def prepared(tmp_path):
    """Read a folder and split it: ``prepared(folder)``."""
    made = []

    def prepare(folder):
        data = make_training_set(read_listing(folder), largest_px=32, cache_folder=tmp_path)
        made.append(data)
        return data, plan_split(data.labels, data.class_names, data.pairs, test=False)

    yield prepare
    for data in made:
        data.discard()


def train(data, split, **settings):
    options = FineTuneOptions(make_preset(sizes=[32], epochs=1), device="cpu", batch_size=8)
    return fine_tune(data, split, replace(options, **settings))


# --- a process that is killed

COMMAND = """
import sys
import torch
from napari_sem_classify.core.finetune import finetune_learner
finetune_learner.CHECKPOINT_EVERY_S = 0.0
torch.set_num_threads(1)
from napari_sem_classify.cli import app
app(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_when_the_same_command_is_given_again(tmp_path):
    source = write_classes(tmp_path / "set", {"fine": 5, "coarse": 5}, shape=(48, 48))
    out = tmp_path / "model.safetensors"
    python = [sys.executable, "-c", COMMAND]
    command = [
        *("train", str(source), "--out", str(out)),
        *("--sizes", "32", "--epochs", "3", "--batch", "8", "--device", "cpu"),
    ]
    checkpoint = checkpoint_path(out)
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        first = subprocess.Popen([*python, *command], stderr=file, stdout=file)
        # Nobody tells a process that it will be killed: whatever it is doing then.
        while not checkpoint.is_file() and first.poll() is None:
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        first.wait()
    if first.returncode == 0:
        pytest.skip("the training was over before it could be killed")
    assert not out.exists()
    assert checkpoint.is_file()
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.stderr
    assert "all layers, epoch 1:" not in again.stderr  # it had been done
    assert "all layers, epoch 3:" in again.stderr
    assert load_model(out).card.class_names == ("coarse", "fine")
    assert not checkpoint.exists()


# --- a disk that is full


@contextmanager
def no_room_for(size):
    """The system refuses to let any file grow beyond `size` bytes."""
    resource = pytest.importorskip("resource", reason="needs a system that can limit files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@tiny
def test_a_disk_too_full_for_checkpoint_and_model_leaves_the_earlier_model(
    prepared, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "napari_sem_classify.core.finetune.finetune_learner.CHECKPOINT_EVERY_S", 0.0
    )
    source = write_classes(tmp_path / "set", {"fine": 4, "coarse": 4}, shape=(48, 48))
    data, split = prepared(source)
    folder = tmp_path / "models"
    folder.mkdir()
    out = folder / "model.safetensors"
    out.write_bytes(b"an earlier model")
    with no_room_for(100_000):
        result = train(data, split, checkpoint=folder / ".model.training.safetensors")
        assert any("could not be kept on the way" in note for note in result.notes)
        with pytest.raises(OutputError, match=r"model\.safetensors cannot be written"):
            save_model(out, result.classifier, confirmed=True)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    assert out.read_bytes() == b"an earlier model"
    saved = save_model(out, result.classifier, confirmed=True)
    assert load_model(saved).card.kind == "fine-tuned"


# --- odd sets


@tiny
def test_a_class_five_times_rarer_is_found(prepared, tmp_path):
    counts = {"fine": 50, "coarse": 10}
    data, split = prepared(write_classes(tmp_path / "set", counts, shape=(40, 40)))
    scores = train(data, split).classifier.card.scores
    assert scores["balanced_accuracy"] > 0.7


@tiny
def test_two_images_among_a_hundred_are_learned_and_their_score_told(prepared, tmp_path):
    counts = {"fine": 100, "coarse": 2}
    data, split = prepared(write_classes(tmp_path / "set", counts, shape=(40, 40)))
    result = train(data, split)
    scores = result.classifier.card.scores
    assert np.isfinite(result.held_out.probabilities).all()
    # Right most of the time says nothing here: the mean over classes stands beside it.
    assert scores["classes"]["coarse"]["images"] == 1
    assert scores["balanced_accuracy"] <= scores["accuracy"] or scores["balanced_accuracy"] == 1
    assert result.classifier.card.record["images_per_class"] == counts


@tiny
def test_three_hundred_classes_are_trained(prepared, tmp_path):
    counts = {f"class {number:03d}": 2 for number in range(300)}
    data, split = prepared(write_classes(tmp_path / "set", counts, shape=(32, 32)))
    result = train(data, split, batch_size=64)
    assert result.held_out.probabilities.shape[1] == 300
    assert np.allclose(result.held_out.probabilities.sum(axis=1), 1.0, atol=1e-4)
    path = save_model(tmp_path / "many", result.classifier)
    assert len(load_model(path).card.classes) == 300


@tiny
def test_a_class_with_one_image_and_damaged_files_still_give_a_model(prepared, tmp_path):
    source = write_classes(tmp_path / "set", {"fine": 4, "coarse": 4, "odd": 1}, shape=(48, 48))
    (source / "fine" / "torn.png").write_bytes((source / "fine" / "fine-0.png").read_bytes()[:60])
    (source / "coarse" / "text.jpg").write_text("no image", encoding="utf-8")
    data, split = prepared(source)
    result = train(data, split)
    assert sorted(Path(path).name for path in data.left_out) == ["text.jpg", "torn.png"]
    assert any("could not be read" in note for note in result.notes)
    assert any("learned but not scored: odd" in note for note in result.notes)
    assert result.classifier.card.class_names == ("coarse", "fine", "odd")


def test_an_empty_class_folder_is_named(tmp_path):
    source = write_classes(tmp_path / "set", {"fine": 2, "coarse": 2})
    (source / "nothing").mkdir()
    with pytest.raises(DatasetError, match="nothing holds no images"):
        read_listing(source)
