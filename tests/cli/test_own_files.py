"""Files of the user's that stand where a command wants to write: they stay, and she is told."""

from __future__ import annotations

import csv

import pytest
from cli_files import files_in
from labelled_images import write_classes

from napari_sem_classify.core.model.file import read_card

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")

HERS = "hers"


def table_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def teach(run, small_image, small_labels):
    def call(out, *more):
        asked = ["--classes", "1=substrate,2=coating", "--tile", "64", "--device", "cpu"]
        pair = ["--image", small_image, "--labels", small_labels]
        return run("teach", *pair, *asked, "--out", out, *more)

    return call


def test_a_tile_of_hers_stays_and_so_does_one_that_she_changed(run, small_image, tmp_path):
    out = tmp_path / "tiles"
    out.mkdir()
    (out / "coating_r0001_c0001.tif").write_text(HERS)
    first = run("tile", small_image, "--out", out)
    assert first.status == 0
    assert "coating_r0001_c0001.tif was not written here by this program" in first.out
    assert (out / "coating_r0001_c0001.tif").read_text() == HERS
    listed = table_of(out / "coating-2.tile_files.csv")
    assert {row["file"] for row in listed} | {"coating_r0001_c0001.tif"} == set(
        name for name in files_in(out) if name.endswith(".tif")
    )
    again = run("tile", small_image, "--out", out, "--json").json["images"][0]
    assert (again["tiles"], again["tables"]) == (60, [str(out / "coating-2.tile_files.csv")])

    (out / "coating-2_r0000_c0000.tif").write_text(HERS)
    other = run("tile", small_image, "--out", out, "--tile", 128, "--json").json["images"][0]
    assert (other["tiles"], other["removed"]) == (15, 59)
    assert (out / "coating-2_r0000_c0000.tif").read_text() == HERS


def test_a_file_that_is_no_model_of_ours_is_never_replaced(run, teach, small_image, tmp_path):
    out = tmp_path / "m.safetensors"
    out.write_text(HERS)
    source = write_classes(tmp_path / "set", {"fine": 5, "coarse": 5}, shape=(48, 48))
    for refused in (teach(out), teach(tmp_path / "m"), run("train", source, "--out", out)):
        assert refused.status == 1
        assert refused.err.startswith(f"{out} is there, and was not written by this program")
        assert refused.err.count("\n") == 1
    assert out.read_text() == HERS
    out.unlink()
    assert teach(out).status == 0
    assert teach(out, "--name", "another").status == 0  # our own, from a moment ago
    assert read_card(out).name == "another"
    assert files_in(tmp_path) == ["m.safetensors", *files_in(source.parent)[1:]]


def test_a_table_that_she_filled_and_her_reports_stay(
    run, teach, small_image, small_labels, tmp_path
):
    model, maps = tmp_path / "m.safetensors", tmp_path / "maps"
    teach(model)
    run("classify", small_image, "--model", model, "--out", maps, "--device", "cpu")
    review, out = tmp_path / "r.json", tmp_path / "out"
    assert run("review", "start", maps, "--out", review, "--cells", 20).status == 0
    (tmp_path / "r.csv").write_text(HERS)
    meant = ("--classes", "1=substrate,2=coating")
    assert run("review", "answer", review, maps, "--truth", small_labels, *meant).status == 0
    more = run("review", "extend", review, maps, "--precision", 10, "--json")
    assert more.json["table"] == str(tmp_path / "r-2.csv")
    assert "r.csv was not written" in more.json["renamed"][0]
    assert (tmp_path / "r.csv").read_text() == HERS

    out.mkdir()
    for name in ("fractions.csv", "coating.geojson", "evaluation.html"):
        (out / name).write_text(HERS)
    assert run("export", maps, "--as", "fractions,geojson", "--out", out).status == 0
    source = write_classes(tmp_path / "set", {"substrate": 3, "coating": 3}, shape=(64, 64))
    assert run("evaluate", source, "--model", model, "--out", out, "--device", "cpu").status == 0
    found = set(files_in(out))
    assert {"fractions-2.csv", "coating-2.geojson", "evaluation-2.html"} <= found
    assert not found & {"evaluation.json", "coating-2.fractions.csv"}
    for name in ("fractions.csv", "coating.geojson", "evaluation.html"):
        assert (out / name).read_text() == HERS
    assert run("export", maps, "--as", "fractions,geojson", "--out", out).status == 0
    assert set(files_in(out)) == found
