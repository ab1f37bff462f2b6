"""The ways of training side by side, on one split."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from labelled_images import grains, write_classes
from PIL import Image

from napari_sem_classify.core.common.errors import Cancelled, ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.dataset_split import plan_split
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.finetune.compare import CompareOptions, compare
from napari_sem_classify.core.finetune.compare_report import comparison, write_comparison
from napari_sem_classify.core.finetune.comparison import belonging_together, splits_of
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
def splits(data):
    return splits_of(data, plan_split(data.labels, data.class_names, data.pairs), "both", 0)


PRESETS = tuple(make_preset(name, sizes=[32], epochs=1) for name in ("article", "sem"))


def ways(data, splits, seeds=(0,), **settings):
    options = CompareOptions(PRESETS, seeds, 32, download=False, device="cpu", batch_size=4)
    return compare(data, splits, options, **settings)


def test_every_way_is_scored_on_the_same_images_of_each_split(data, splits, tmp_path):
    rows = ways(data, splits, seeds=(0, 1))
    assert [row.seed for row in rows] == [None] * 6 + [0, 0, 1, 1] * 2
    assert [row.split for row in rows] == ["groups", "random"] * 7
    assert all(row.evaluation is None and FILENAME in row.problem for row in rows[:2])
    for name, split in splits.items():
        mine = [row for row in rows[2:] if row.split == name]
        for row in mine:
            assert row.evaluation.truth.tolist() == data.labels[split.scored].tolist()
            assert row.evaluation.groups.tolist() == mine[0].evaluation.groups.tolist()
    value = comparison(data, splits, rows, "CPU")
    out = tmp_path / "out"
    write_comparison(value, out)
    value = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert value["rows"][0]["problem"] == rows[0].problem
    assert "accuracy" not in value["rows"][0]
    assert [row["images"] for row in value["splits"]["random"]["classes"]] == [5, 5]
    with (out / "comparison.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 14
    assert table[0]["accuracy"] == ""
    for key in ("accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_f1"):
        low, at, high = (float(table[-1][f"{key}{end}"]) for end in ("_low", "", "_high"))
        assert 0 <= low <= at <= high <= 1
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert page.count("preset sem") == 4
    assert "0.945" in page  # the article's own figure stands beside


def test_a_random_split_tells_how_much_of_it_was_seen_before(tmp_path):
    """Every image twice, shifted by a little: groups keep the two together."""
    source = tmp_path / "set"
    for number, name in enumerate(("fine", "coarse")):
        (source / name).mkdir(parents=True)
        for index in range(8):
            picture = grains(60, 60, 2 + 3 * number, 100 * number + index)
            for shift in (0, 4):
                part = picture[shift : shift + 48, shift : shift + 48]
                Image.fromarray(part).save(source / name / f"{name}-{index}-{shift}.png")
    data = make_training_set(read_listing(source), largest_px=32, cache_folder=tmp_path)
    assert len(data.pairs) >= 14
    kept = plan_split(data.labels, data.class_names, data.pairs)
    splits = splits_of(data, kept, "both", 0)
    assert kept.leaks(data.pairs) == 0
    assert splits["random"].leaks(data.pairs) > 0
    assert splits["random"].random_leak > 0.2
    assert sorted(len(each.scored) for each in splits.values()) == pytest.approx([6, 6], abs=2)
    assert len(np.unique(belonging_together(data))) <= 18
    assert list(splits_of(data, kept, "groups", 0)) == ["groups"]
    data.discard()


def test_a_comparison_can_be_cancelled(data, splits):
    cancel = Job()
    with pytest.raises(Cancelled):
        ways(data, splits, job=cancel, on_row=lambda _row: cancel.cancel())


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
