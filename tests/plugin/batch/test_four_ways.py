"""Command line, Classify form, Batch form and cluster make the same files of an image."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from tiny_backbone import SIZES, TINY, known_backbone
from typer.testing import CliRunner

from napari_sem_classify.cli import app
from napari_sem_classify.core.maps.map_file import read_map, write_map
from napari_sem_classify.core.model.card import ClassInfo, ModelCard
from napari_sem_classify.core.model.file import save_model
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.network.backbone import backbone_sha256

from ..conftest import half_dark, until

distributed = pytest.importorskip("distributed", reason="needs the extra 'distributed'")

TIMES = ("date", "seconds")
ON_CPU = ("--device", "cpu", "--backend", "torch")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "field.tif"
    pixels = half_dark(150, 210)
    pixels[:32, :40] = 0  # a tile without data
    tifffile.imwrite(path, pixels, resolution=(1e6, 1e6), resolutionunit="CENTIMETER")
    return path


@pytest.fixture
def model(tmp_path):
    """A file of a model on a real network, small."""
    with known_backbone(tmp_path):
        size = sum(SIZES[1:])
        card = ModelCard(
            name="two halves",
            classes=(ClassInfo("dark", "#0072b2"), ClassInfo("bright", "#f0e442")),
            tile_px=32,
            network_px=32,
            pixel_size_nm=10.0,
            backbone_id=TINY,
            backbone_sha256=backbone_sha256(TINY),
        )
        weight = np.random.default_rng(0).normal(size=(2, size)).astype(np.float32)
        zeros = np.zeros(size, np.float32)
        head = Head(zeros, zeros + 1, weight, np.zeros(2, np.float32))
        yield save_model(tmp_path / "halves.safetensors", TileClassifier(card, head))


@pytest.fixture
def scheduler():
    """A cluster of one worker in this process, where the small network is known."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def on_command_line(image, model, out, *more):
    command = ["classify", str(image), "--model", str(model), "--out", str(out), *ON_CPU, *more]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output


def choose(qtbot, widget, model):
    """The model on the processor, with torch."""
    widget.model_form.open_file(model)
    combo = widget.device_form.combo
    until(qtbot, lambda: len(combo.choices) > 1)
    combo.value = next(
        each for each in combo.choices if (each.id, each.backend) == ("cpu", "torch")
    )


def in_the_form(qtbot, widget, out):
    until(qtbot, lambda: not widget.device_form.preparing and widget.run_form.button.enabled)
    widget.run_form.button.native.click()
    until(qtbot, lambda: not widget.busy)
    assert widget.run_form.message.said.startswith("Done")
    export = widget.measure.export_form
    until(qtbot, lambda: export.run_form.button.enabled)
    export.write_usual(out)
    until(qtbot, lambda: "files written" in export.run_form.message.said)


def in_a_batch(qtbot, widget, out):
    widget.target_form.use(out)
    until(qtbot, lambda: not widget.looking and widget.run_form.button.enabled)
    widget.run_form.button.native.click()
    until(qtbot, lambda: not widget.busy)
    assert widget.run_form.message.said.startswith("Done: 1 image")
    until(qtbot, lambda: not widget.looking)


def files_of(out, scratch):
    """Table, map and summary as they lie there, without the times in the record."""
    saved = read_map(out / "field.map.tif")
    maps = {
        plane: replace(each, record={k: v for k, v in each.record.items() if k not in TIMES})
        for plane, each in saved.maps.items()
    }
    write_map(replace(saved, maps=maps), scratch)
    summary = json.loads((out / "field.summary.json").read_text(encoding="utf-8"))
    for key in TIMES:
        del summary["record"][key]
    return {
        "labels": tifffile.imread(out / "field.map.tif").tobytes(),
        "map": scratch.read_bytes(),
        "table": (out / "field.tiles.csv").read_bytes(),
        "summary": summary,
        "picture": (out / "field.overlay.png").read_bytes(),
    }


def test_four_ways_make_the_same_files(
    qtbot, real_viewer, open_widget, image, model, scheduler, tmp_path, monkeypatch
):
    real_viewer.open(str(image), plugin="napari-sem-classify")
    form, batch = open_widget("Classify"), open_widget("Batch")
    batch.source_form.add([image])
    for widget in (form, batch):
        choose(qtbot, widget, model)
    ways = {
        "command line": lambda out: on_command_line(image, model, out),
        "form": lambda out: in_the_form(qtbot, form, out),
        "batch": lambda out: in_a_batch(qtbot, batch, out),
        "cluster": lambda out: on_command_line(image, model, out, "--scheduler", scheduler),
    }
    first, again = {}, {}
    for way, run in ways.items():
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache of {way}"))
        for found, name in ((first, "first"), (again, "again")):
            out = tmp_path / f"{way} {name}"
            run(out)
            found[way] = files_of(out, tmp_path / "scratch.map.tif")
    for found, from_cache in ((first, False), (again, True)):
        expected = found["command line"]
        assert expected["summary"]["record"]["features_from_cache"] is from_cache
        for way, files in found.items():
            for name, content in files.items():
                assert content == expected[name], (way, name)
    assert first["form"]["labels"] == again["form"]["labels"]
