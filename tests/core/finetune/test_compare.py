"""The ways of training side by side, on one split."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from labelled_images import write_classes

from napari_sem_classify.core.common.errors import Cancelled, ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.dataset_split import plan_split
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.finetune.compare import CompareOptions, compare
from napari_sem_classify.core.finetune.compare_report import write_comparison
from napari_sem_classify.core.finetune.finetune_presets import make_preset
from napari_sem_classify.core.finetune.inception import FILENAME, load_inception

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


@pytest.fixture(autouse=True)
def no_weights_at_hand(tmp_path, monkeypatch):
    """Weights that the user of this computer may have do not change the tests."""
    monkeypatch.setattr(
        "napari_sem_classify.core.finetune.inception.user_weights_folder",
        lambda: tmp_path / "weights",
    )
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))


@pytest.fixture
def data(tmp_path):
    source = write_classes(tmp_path / "set", {"fine": 5, "coarse": 5}, shape=(48, 48))
    made = make_training_set(read_listing(source), largest_px=32, cache_folder=tmp_path)
    yield made
    made.discard()


@pytest.fixture
def split(data):
    return plan_split(data.labels, data.class_names, data.pairs)


PRESETS = tuple(make_preset(name, sizes=[32], epochs=1) for name in ("article", "sem"))


def ways(data, split, seeds=(0,), **settings):
    options = CompareOptions(PRESETS, seeds, 32, download=False, device="cpu", batch_size=4)
    return compare(data, split, options, **settings)


def test_every_way_is_scored_on_the_same_images(data, split, tmp_path):
    rows = ways(data, split, seeds=(0, 1))
    assert [row.seed for row in rows] == [None, None, None, 0, 1, 0, 1]
    assert rows[0].evaluation is None
    assert FILENAME in rows[0].problem
    for row in rows[1:]:
        assert row.evaluation.groups.tolist() == rows[1].evaluation.groups.tolist()
    out = tmp_path / "out"
    out.mkdir()
    write_comparison(data, split, rows, "CPU", out)
    value = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert value["rows"][0]["problem"] == rows[0].problem
    assert "accuracy" not in value["rows"][0]
    assert [row["images"] for row in value["classes"]] == [5, 5]
    with (out / "comparison.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 7
    assert table[0]["accuracy"] == ""
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert page.count("preset sem") == 2
    assert "0.945" in page  # the article's own figure stands beside


def test_a_comparison_can_be_cancelled(data, split):
    cancel = Job()
    with pytest.raises(Cancelled):
        ways(data, split, job=cancel, on_row=lambda _row: cancel.cancel())


def test_inceptions_weights_come_from_a_file_and_are_checked(tmp_path):
    import torch
    from safetensors.torch import save_file

    from napari_sem_classify.core.network.torchvision_compat import import_torchvision

    import_torchvision()
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, init_weights=False, transform_input=False)
    path = tmp_path / "inception.safetensors"
    save_file(network.state_dict(), path)
    network.fc = torch.nn.Identity()
    pictures = torch.rand(1, 3, 299, 299)
    with torch.inference_mode():
        expected = network.eval()(pictures)
        found = load_inception(path, download=False)(pictures)
    assert found.shape == (1, 2048)
    assert np.allclose(found, expected, atol=1e-5)
    save_file({"conv.weight": torch.ones(2)}, path)
    with pytest.raises(ModelError, match="does not hold the weights"):
        load_inception(path, download=False)
