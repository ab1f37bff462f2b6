"""Images and models of any name that a disk takes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from cli_files import files_in
from PIL import Image

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")

TOO_LONG = "a" * 245 + ".tif"
NAMES = [TOO_LONG, "é" * 120 + ".tif", "-x.tif", "two\nlines.tif", "ends. .tif", "CON.tif", "a.tif"]


@pytest.fixture
def model(run, small_image, small_labels, tmp_path):
    """A taught one; its file's name is as long as a name can be."""
    out = tmp_path / ("m" * 243 + ".safetensors")
    asked = ["--classes", "1=substrate,2=coating", "--tile", "64", "--out", out]
    done = run("teach", "--image", small_image, "--labels", small_labels, *asked, "--device", "cpu")
    assert done.status == 0, done.err
    return out


@pytest.fixture
def images(tmp_path, small_sample):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in NAMES:
        try:
            Image.fromarray(small_sample.image[:128, :192]).save(folder / name)
        except OSError:
            pytest.skip(f"this disk takes no file named {name!a}")
    return folder


def test_every_name_is_classified_tiled_and_exported(run, model, images, tmp_path):
    out, tiles = tmp_path / "out", tmp_path / "tiles"
    done = run("classify", images, "--model", model, "--out", out, "--report", "--json")
    assert done.status == 0, done.err
    assert len(list(out.glob("*.map.tif"))) == len(NAMES)
    noted = {each["image"] for each in done.json["images"]}
    assert noted == {str(path) for path in images.iterdir()}
    with (out / "batch.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(NAMES)
    again = run("classify", images, "--model", model, "--out", out, "--json")
    assert all(each["resumed"] for each in again.json["images"])

    assert run("tile", images, "--out", tiles).status == 0
    assert len(list(tiles.glob("*.tile_files.csv"))) == len(NAMES)
    done = run("export", out, "--as", "geojson,figure,fractions", "--out", tmp_path / "exported")
    assert done.status == 0, done.err
    assert len(list((tmp_path / "exported").glob("*.figure.png"))) == len(NAMES)
    for record in out.glob("*.summary.json"):
        assert json.loads(record.read_text())["image"]
        assert run("rerun", record).status == 0


def test_export_keeps_the_planes_of_a_stack_side_by_side(
    run, model, write_tiff, small_sample, tmp_path
):
    stack = write_tiff("s.tif", np.tile(np.arange(128, dtype=np.uint8), (2, 128, 1)))
    run("classify", stack, "--model", model, "--out", tmp_path / "out")
    run("export", tmp_path / "out", "--as", "geojson", "--out", tmp_path / "exported")
    names = files_in(tmp_path / "exported")
    assert names == [f"s_z000{plane}.geojson" for plane in range(2)]
