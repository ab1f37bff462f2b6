"""``teach --from`` teaches a model further on other images and writes a new file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_sem_classify.core.sample.cross_section import generate_cross_section

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")
CLASSES = "1=substrate,2=coating,3=oxide"


@pytest.fixture
def first(run, small_image, small_labels, tmp_path):
    path = tmp_path / "first.safetensors"
    done = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 64, "--network-px", 64, "--context", "no", "--out", path),
    )
    assert done.status == 0, done.err
    return path


@pytest.fixture
def other(tmp_path):
    """Another specimen, much darker in its bright half; and ten labelled tiles of it."""
    sample = generate_cross_section((384, 640), seed=11, info_bar=False)
    picture = 255.0 * (sample.image / 255.0) ** 2.5
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "other.png")
    labels = np.zeros_like(sample.truth)
    labels[:, :192] = sample.truth[:, :192]
    Image.fromarray(labels).save(tmp_path / "other-labels.png")
    return "--image", tmp_path / "other.png", "--labels", tmp_path / "other-labels.png"


def test_a_model_learns_from_another_specimen_and_stays_as_it_was(run, first, other, tmp_path):
    before = first.read_bytes()
    command = ("teach", "--from", first, *other, "--classes", CLASSES)
    out = tmp_path / "second.safetensors"
    done = run(*command, "--out", out, "--json")
    assert done.status == 0, done.err
    told = done.json["further"]
    assert sum(told["tiles"].values()) > 5
    assert 0 <= told["right_before"] <= 1
    assert first.read_bytes() == before
    record = run("models", "info", out, "--json").json["record"]
    assert record["taught_further"]["from"] == "first"
    assert [each["name"] for each in record["images"]] == ["coating", "other"]
    assert abs(out.stat().st_size - first.stat().st_size) < 20_000
    mapped = run("classify", tmp_path / "other.png", "--model", out, "--out", tmp_path / "o")
    assert mapped.status == 0, mapped.err
    again = run("teach", "--from", out, *other, "--classes", CLASSES, "--out", tmp_path / "3")
    assert again.status == 0, again.err


def test_what_cannot_be_is_told_in_one_sentence(run, first, other, tmp_path):
    out = tmp_path / "second.safetensors"
    refused = run("teach", "--from", first, *other, "--classes", "1=rust,2=coating", "--out", out)
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert 'has no class "rust"' in refused.err
    assert "substrate, coating, oxide" in refused.err
    empty = run("teach", "--from", first, *other, "--classes", "8=oxide,9=coating", "--out", out)
    assert (empty.status, empty.err.count("\n")) == (1, 1)
    both = run("teach", "--from", first, "--tile", 64, *other, "--classes", CLASSES, "--out", out)
    assert both.status == 2
    assert not out.exists()
