"""`classify` says of each image whether the model holds there, as far as it was taught to tell."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from napari_sem_classify.core.sample.cross_section import generate_cross_section

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")
CLASSES = "1=substrate,2=coating,3=oxide"


@pytest.fixture(scope="module")
def specimens(tmp_path_factory):
    """Cross-sections of four specimens with their labels, and a fifth one."""
    folder = tmp_path_factory.mktemp("specimens")
    made = []
    for seed in range(5):
        sample = generate_cross_section((256, 384), seed=seed, info_bar=False)
        names = [folder / f"specimen{seed}_{what}.png" for what in ("image", "labels")]
        for name, pixels in zip(names, (sample.image, sample.truth), strict=True):
            Image.fromarray(pixels).save(name)
        made.append(names)
    return made


@pytest.fixture
def model(run, specimens, tmp_path):
    path = tmp_path / "taught.safetensors"
    pairs = [
        part for image, labels in specimens[:4] for part in ("--image", image, "--labels", labels)
    ]
    done = run(
        *("teach", *pairs, "--classes", CLASSES, "--tile", 32, "--network-px", 32, "--out", path),
        *("--context", "no", "--alignment", 0, "--smoothing", 0),
    )
    assert done.status == 0, done.err
    return path


def test_an_image_it_did_not_learn_from_is_judged_in_all_that_is_written(
    run, specimens, model, tmp_path
):
    out = tmp_path / "out"
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 384), np.uint8)).save(noise)
    new, known = specimens[4][0], specimens[0][0]
    done = run("classify", new, known, noise, "--model", model, "--out", out, "--report", "--json")
    assert done.status == 0, done.err
    found = {each["image"]: each for each in done.json["images"]}

    judged = found[str(new)]
    expected = judged["expected_accuracy"]
    assert judged["transfer"] in ("like", "unlike", "very unlike")
    assert 0 <= expected["low"] <= expected["estimate"] <= expected["high"] <= 1
    assert found[str(noise)]["transfer"] == "very unlike"
    assert found[str(known)]["transfer"] == "unknown"
    assert found[str(known)]["expected_accuracy"] is None
    assert "learned from this image" in found[str(known)]["transfer_sentence"]

    summary = json.loads((out / f"{new.stem}.summary.json").read_text("utf-8"))
    assert summary["transfer"] == judged["transfer"]
    assert summary["expected_accuracy"] == expected
    with (out / "batch.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [str(noise), str(new), str(known)]
    assert rows[1]["transfer"] == judged["transfer"]
    assert float(rows[1]["expected_accuracy"]) == pytest.approx(expected["estimate"], abs=1e-3)
    assert rows[2]["expected_accuracy"] == ""
    assert "like what it learned" in (out / "batch.html").read_text("utf-8")


def test_what_is_to_be_expected_is_said_with_the_fractions(run, specimens, model, tmp_path):
    done = run("classify", specimens[4][0], "--model", model, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert "ike what it learned: expect " in done.out


def test_a_model_of_one_specimen_tells_the_agreement_alone(run, specimens, tmp_path):
    path = tmp_path / "one.safetensors"
    image, labels = specimens[0]
    taught = run(
        *("teach", "--image", image, "--labels", labels, "--classes", CLASSES, "--tile", 32),
        *("--network-px", 32, "--out", path),
    )
    assert taught.status == 0, taught.err
    done = run("classify", specimens[4][0], "--model", path, "--out", tmp_path / "out", "--json")
    assert done.status == 0, done.err
    [judged] = done.json["images"]
    assert (judged["transfer"], judged["expected_accuracy"]) == ("unknown", None)
    assert "fewer than three specimens" in judged["transfer_sentence"]
    assert 0 < judged["transfer_agreement"] <= 1
