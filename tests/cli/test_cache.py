"""A second model on the same image: the network does not look at the tiles again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from tiny_engine import TinyEngine, brightness_classifier


@pytest.fixture
def engine(monkeypatch):
    engine = TinyEngine()
    monkeypatch.setattr(
        "napari_sem_classify.core.model.engines.engine_for", lambda *_a, **_k: engine
    )
    return engine


@pytest.fixture
def image(write_tiff):
    grey = np.linspace(1, 255, 64 * 96).reshape(64, 96).astype(np.uint8)
    return write_tiff("ramp.tif", grey)


@pytest.fixture
def models(monkeypatch):
    """Two models on one network that draw the line between dark and bright elsewhere."""
    known = {
        "half": brightness_classifier(name="half", threshold=0.5),
        "fifth": brightness_classifier(name="fifth", threshold=0.8),
    }
    monkeypatch.setattr("napari_sem_classify.core.model.catalogue.load_model", known.__getitem__)
    return list(known)


def record_in(folder):
    return json.loads((folder / "ramp.summary.json").read_text(encoding="utf-8"))["record"]


def test_a_second_model_on_the_same_image_runs_no_network(run, engine, image, models, tmp_path):
    outs = [tmp_path / "first", tmp_path / "second"]
    first = run("classify", image, "--model", models[0], "--out", outs[0])
    assert first.status == 0, first.err
    calls = engine.calls
    assert calls > 0
    second = run("classify", image, "--model", models[1], "--out", outs[1])
    assert second.status == 0, second.err
    assert engine.calls == calls
    assert [record_in(out)["features_from_cache"] for out in outs] == [False, True]
    assert "known from an earlier run" not in first.out
    assert "known from an earlier run" in second.out
    bright = [(tifffile.imread(out / "ramp.map.tif") == 2).mean() for out in outs]
    assert bright[0] > bright[1] > 0


def test_the_report_says_whether_tiles_were_known(run, engine, image, models, tmp_path):
    found = [
        run("classify", image, "--model", model, "--out", tmp_path / model, "--json").json
        for model in models
    ]
    planes = [each["images"][0]["planes"][0] for each in found]
    assert [plane["features_from_cache"] for plane in planes] == [False, True]


def test_no_cache_looks_again_and_keeps_nothing(run, engine, image, models, tmp_path, own_cache):
    for number, model in enumerate(models, start=1):
        before = engine.calls
        done = run(
            "classify", image, "--model", model, "--out", tmp_path / str(number), "--no-cache"
        )
        assert done.status == 0, done.err
        assert engine.calls > before
        assert record_in(tmp_path / str(number))["features_from_cache"] is False
    assert list(own_cache.iterdir()) == []
