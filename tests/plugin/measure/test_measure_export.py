"""Export in a real viewer: the menu, the files, a full disk; reopened by other programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from class_maps import NAMES, map_of, patchy_labels
from cli_files import files_in
from PIL import Image
from qtpy.QtWidgets import QFileDialog
from small_disk import fill_up, small_disk

from napari_sem_classify.core.export.kinds import KINDS, kind_named
from napari_sem_classify.plugin.layers.made_layers import add_class_map

from ..conftest import half_dark, until
from .conftest import COLS, NM, ROWS, answer_all, begin


@pytest.fixture
def chosen(monkeypatch):
    """What the user chooses in the dialogs: set `.path`; `.asked` tells what was offered."""

    class Chosen:
        path, asked = "", []

    def save_file(_parent, title, name, filters):
        Chosen.asked.append((title, name, filters))
        return str(Chosen.path), filters

    def folder(_parent, title):
        Chosen.asked.append((title, "", ""))
        return str(Chosen.path)

    Chosen.asked = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", save_file)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", folder)
    return Chosen


@pytest.fixture
def export(qtbot, widget, chosen):
    """Choose a kind on the page and wait until it is written; gives what the form says."""

    def choose(key, path):
        chosen.path = path
        widget.export_form.kinds[key].click()
        widget.export_form.run_form.button.native.click()
        until(qtbot, lambda: not widget.export_form.busy)
        return widget.export_form.run_form.message.said

    return choose


def test_every_kind_is_on_the_page_and_written_where_the_user_says(
    widget, export, chosen, tmp_path
):
    for kind in KINDS:
        path = tmp_path / f"mine{kind.suffixes[0]}"
        assert export(kind.key, path) == f"Written: {path.name}"
        assert path.exists()
        title, name, _ = chosen.asked[-1]
        assert title == kind.title
        assert name == f"coating_12{kind.suffixes[0]}"
    assert len(list(tmp_path.glob("mine*"))) == len(KINDS)


def test_other_programs_read_what_the_widget_shows(widget, layer, export, tmp_path, truth):
    layer.data[0, :4] = 3  # painted by hand
    layer.refresh()
    widget.map_list.refresh()
    shown = np.asarray(layer.data)
    export("map", tmp_path / "a.map.tif")
    assert (tifffile.imread(tmp_path / "a.map.tif") == shown).all()
    export("tiles", tmp_path / "a.tiles.csv")
    with (tmp_path / "a.tiles.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert row["class"] == ("", *NAMES)[shown[int(row["row"]), int(row["col"])]]
    begin(widget, 40)
    answer_all(widget, truth)
    export("fractions", tmp_path / "a.fractions.csv")
    with (tmp_path / "a.fractions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    estimate = widget.reviewer.corrected().estimate
    found = [float(row["corrected"]) for row in rows if row["corrected"]]
    assert found == pytest.approx([share.value for share in estimate.corrected], rel=1e-5)
    export("report", tmp_path / "a.report.html")
    assert "The review was blind" in (tmp_path / "a.report.html").read_text(encoding="utf-8")


def test_a_figure_looks_as_ticked(widget, export, tmp_path):
    form = widget.export_form
    form.legend.value = form.scale_bar.value = False
    export("figure", tmp_path / "bare.svg")
    text = (tmp_path / "bare.svg").read_text(encoding="utf-8")
    assert "oxide" not in text
    assert "µm" not in text
    form.legend.value = True
    form.opacity.value = 100
    assert form.look.opacity == 1.0
    export("figure", tmp_path / "full.png")
    with Image.open(tmp_path / "full.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels == (230, 159, 0)).all(axis=-1).mean() > 0.05


def test_a_name_without_an_ending_gets_one(export, tmp_path):
    assert export("geojson", tmp_path / "mine") == "Written: mine.geojson"
    features = json.loads((tmp_path / "mine.geojson").read_text(encoding="utf-8"))["features"]
    assert {each["properties"]["classification"]["name"] for each in features} == set(NAMES)


def test_several_maps_go_into_a_folder_and_one_report(
    real_viewer, widget, layer, export, chosen, tmp_path
):
    image = real_viewer.add_image(half_dark(16 * ROWS, 16 * COLS), name="second")
    other = map_of(patchy_labels((ROWS, COLS), 1), image_name="second", pixel_size_nm=NM)
    widget.map_list.tick([layer, add_class_map(real_viewer, other, image)])
    folder = tmp_path / "out"
    folder.mkdir()
    assert export("map", folder) == "2 files written to out."
    assert files_in(folder) == ["coating_12.map.tif", "second.map.tif"]
    export("report", tmp_path / "both.report.html")
    assert chosen.asked[-1][1] == "2 images.report.html"
    assert (tmp_path / "both.report.html").read_text(encoding="utf-8").count("<figure>") == 2


def test_who_closes_the_dialog_gets_nothing(widget, export, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert export("map", "") == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_without_the_image_a_figure_is_refused_in_a_sentence(real_viewer, widget, export, tmp_path):
    real_viewer.layers.remove("coating_12")
    assert "coating_12 is not open: open it" in export("figure", tmp_path / "a.figure.png")
    assert not list(tmp_path.glob("*.png"))
    assert export("map", tmp_path / "a.map.tif") == "Written: a.map.tif"


@pytest.mark.parametrize("key", ["map", "ome-zarr", "report"])
def test_a_full_disk_is_one_sentence_beside_the_button_and_nothing_is_half_written(
    widget, export, tmp_path, key
):
    with small_disk(tmp_path / "disk", 400) as disk:
        filler = fill_up(disk, 0)
        path = Path(disk / f"a{kind_named(key).suffixes[0]}")
        said = export(key, path)
        assert "No space left" in said
        assert "\n" not in said
        assert not widget.export_form.run_form.message.isHidden()
        assert list(disk.iterdir()) == [filler]
        filler.unlink()
        if key == "map":
            assert export(key, path) == f"Written: {path.name}"
