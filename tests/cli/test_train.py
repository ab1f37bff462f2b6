"""``train`` and ``evaluate`` as a user calls them: a real training of a few steps."""

from __future__ import annotations

import time

import pytest
from cli_files import files_in
from labelled_images import write_classes
from tiny_backbone import TINY, known_backbone

NOT_FETCHED = "resnet50-imagenet-torchvision-v2"
SMALL = ("--sizes", "32", "--epochs", "1", "--batch", "4", "--device", "cpu")


pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


@pytest.fixture
def source(tmp_path):
    return write_classes(tmp_path / "set", {"fine": 5, "coarse": 5}, shape=(48, 48))


def test_a_model_is_trained_scored_and_classifies(run, source, tmp_path):
    out = tmp_path / "model.safetensors"
    trained = run("train", source, "--out", out, *SMALL, "--crop-rows", "0:40", "--json")
    assert trained.status == 0
    told = trained.json
    assert told["images"] == {"coarse": 5, "fine": 5}
    assert told["network_px"] == 32
    assert told["split"]["images"]["train"] > 0
    assert 0 <= told["scores"]["macro_f1"] <= 1
    assert not list(tmp_path.glob(".*training*"))

    folder = tmp_path / "evaluation"
    scored = run("evaluate", source, "--model", out, "--out", folder, "--device", "cpu", "--json")
    assert scored.status == 0
    assert scored.json["images"] == 10
    assert files_in(folder) == [
        "evaluation.cases.csv",
        "evaluation.classes.csv",
        "evaluation.confusion.csv",
        "evaluation.html",
        "evaluation.json",
    ]
    image = source / "fine" / "fine-0.png"
    classified = run(
        "classify", image, "--model", out, "--out", tmp_path / "maps", "--device", "cpu", "--json"
    )
    assert classified.status == 0
    assert (tmp_path / "maps" / "fine-0.tiles.csv").is_file()


def test_the_text_names_score_split_and_file(run, source, tmp_path):
    out = tmp_path / "tiles.safetensors"
    told = run("train", source, "--out", out, *SMALL, "--tile", "24")
    assert told.status == 0
    assert "32 px, all layers, epoch 1" in told.err
    assert "A random split would have shown the model" in told.out
    assert f"Written: {out}" in told.out
    scored = run("evaluate", source, "--model", out, "--device", "cpu")
    assert scored.status == 0
    assert "macro-F1" in scored.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "best"], "There is no preset 'best'"),
        (["--time", "week"], "There is no time 'week'"),
        (["--augment", "fog=1"], "There is no augmentation 'fog'"),
        (["--augment", "gamma=9"], "gamma has to be 0 to 2"),
        (["--sizes", "4"], "32 to 1024 px"),
        (["--crop-rows", "all"], "does not name rows"),
        (["--tile", "2"], "too small"),
        (["--device", "cuda:9"], "is not there"),
        (["--network", "resnet51"], "There is no network called 'resnet51'"),
        (["--network", NOT_FETCHED], f"models fetch {NOT_FETCHED}"),
    ],
)
def test_a_wish_that_cannot_be_is_one_sentence_and_writes_nothing(
    run, source, tmp_path, arguments, told
):
    before = files_in(tmp_path)
    ran = run("train", source, "--out", tmp_path / "m.safetensors", *arguments)
    assert ran.status == 1
    assert told in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert files_in(tmp_path) == before


def test_a_minute_is_planned_told_held_and_recorded(run, source, tmp_path):
    out = tmp_path / "model.safetensors"
    begun = time.perf_counter()
    told = run("train", source, "--out", out, "--time", "minute", "--augment", "defocus_px=0.5")
    assert time.perf_counter() - begun < 60
    assert told.status == 0, told.err
    assert told.err.splitlines()[0].startswith("About ")
    assert told.err.splitlines()[0].endswith(" images.")
    card = run("models", "info", out, "--json").json
    settings = card["record"]["settings"]
    assert settings["time"] == "minute"
    assert settings["preset"]["augmentation"]["defocus_px"] == 0.5


def test_more_images_than_there_is_time_for_are_not_read(run, tmp_path, monkeypatch):
    from dataclasses import replace

    from napari_sem_classify.core.finetune import finetune_pace

    few = replace(finetune_pace.PACES["minute"], most_images=8)
    monkeypatch.setitem(finetune_pace.PACES, "minute", few)
    source = write_classes(tmp_path / "set", {"fine": 12, "coarse": 4}, shape=(48, 48))
    out = tmp_path / "model.safetensors"
    told = run("train", source, "--out", out, "--time", "minute", "--json")
    assert told.status == 0, told.err
    assert told.json["images"] == {"coarse": 2, "fine": 6}
    assert "8 of 16 images, drawn at random, are read" in " ".join(told.json["notes"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--time", "minute", "--sizes", "64"], "leave out --sizes"),
        (["--time", "coffee", "--preset", "article"], "leave out --preset"),
        (["--time", "overnight", "--find-rate"], "leave out --find-rate"),
        (["--augment", "gamma"], "no NAME=VALUE with a number"),
        (["--augment", "gamma=much"], "no NAME=VALUE with a number"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(run, source, tmp_path, arguments, told):
    ran = run("train", source, "--out", tmp_path / "m.safetensors", *arguments)
    assert ran.status == 2
    assert told in " ".join(ran.err.replace("│", " ").split())


def test_a_model_is_trained_on_the_network_that_was_chosen(run, source, tmp_path):
    out = tmp_path / "model.safetensors"
    with known_backbone(tmp_path) as info:
        trained = run("train", source, "--out", out, "--network", TINY, *SMALL)
        assert trained.status == 0, trained.err
        assert run("models", "info", out, "--json").json["backbone_id"] == info.id
        scored = run("evaluate", source, "--model", out, "--device", "cpu", "--json")
        assert scored.status == 0, scored.err
        listed = run("models", "list", "--json").json
        assert [each["title"] for each in listed if each["name"] == TINY] == [info.title]
    refused = run("evaluate", source, "--model", out, "--device", "cpu")
    assert refused.status == 1
    assert "made for the network 'tiny'" in refused.err


def test_a_comparison_on_a_network_that_is_not_here_is_refused_at_once(run, source, tmp_path):
    for name, told in (("resnet51", "no network called"), (NOT_FETCHED, "models fetch")):
        ran = run("compare", source, "--out", tmp_path / "out", "--network", name, *SMALL)
        assert ran.status == 1
        assert told in ran.err
        assert len(ran.err.strip().splitlines()) == 1


def test_one_class_is_refused_and_an_earlier_model_stays(run, tmp_path):
    source = write_classes(tmp_path / "set", {"only": 3})
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"an earlier model")
    ran = run("train", source, "--out", out, *SMALL)
    assert ran.status == 1
    assert "one class only" in ran.err
    assert out.read_bytes() == b"an earlier model"


def test_sizes_that_are_no_numbers_are_wrong_usage(run, source, tmp_path):
    ran = run("train", source, "--out", tmp_path / "m.safetensors", "--sizes", "big")
    assert ran.status == 2


def test_ways_to_train_are_compared_in_one_table(run, source, tmp_path, monkeypatch):
    nowhere = "napari_sem_classify.core.finetune.inception.user_weights_folder"
    monkeypatch.setattr(nowhere, lambda: tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    ran = run("compare", source, "--out", tmp_path / "out", "--no-download", *SMALL)
    assert ran.status == 0, ran.err
    assert "The weights of Inception-v3 are not here" in ran.err
    assert ran.err.startswith("The trainings take about ")
    assert "--split groups takes half as long" in ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("Split groups, by ")
    assert lines[1].startswith("Split random, image by image, at random: ")
    rows = [line for line in lines if line.startswith("ResNet50")]
    for name in ("groups", "random"):
        (sem,) = (row for row in rows if "preset sem, 32 px, 1 epoch" in row and name in row)
        assert all(0 <= float(score) <= 1 for score in sem.split()[-7:-1])
        # The frozen network sees the tiles at the same size.
        assert any(
            "ResNet50, frozen, no augmentation, 32 px  " in row and name in row for row in rows
        )
    assert len({len(row) for row in rows}) == 1
    assert (tmp_path / "out" / "comparison.html").is_file()


@pytest.mark.slow
def test_tiles_written_to_files_teach_what_their_image_shows(run, shared, tmp_path):
    import csv
    import shutil

    import numpy as np
    from PIL import Image

    image, labels = (shared / "cases" / "files" / name for name in ("bse.tif", "bse_labels.png"))
    if not image.is_file():
        pytest.skip("the cases are not there")
    truth = np.asarray(Image.open(labels))

    def true_class(row):
        y, x, height, width = (int(row[name]) for name in ("y", "x", "height", "width"))
        return f"label {np.bincount(truth[y : y + height, x : x + width].ravel()).argmax()}"

    assert run("tile", image, "--tile", 64, "--out", tmp_path / "tiles").status == 0
    with (tmp_path / "tiles" / "bse.tile_files.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            folder = tmp_path / "sorted" / true_class(row)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "tiles" / row["file"], folder)
    model = tmp_path / "bse.safetensors"
    assert run("train", tmp_path / "sorted", "--out", model, *SMALL, "--sizes", "64").status == 0
    assert (
        run("classify", image, "--model", model, "--out", tmp_path, "--device", "cpu").status == 0
    )
    with (tmp_path / "bse.tiles.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == 100
    assert [row["class"] for row in cells] == [true_class(row) for row in cells]
