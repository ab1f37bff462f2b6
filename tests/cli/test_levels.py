"""Pyramids on the command line: which resolutions there are, and tiles of a coarser one."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from sem_pictures import specimen


@pytest.fixture
def pyramid(tmp_path):
    pixels = specimen(512, 512)
    path = tmp_path / "pyramid.ome.tif"
    scale = {"axes": "YX", "PhysicalSizeX": 0.01, "PhysicalSizeY": 0.01}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, subifds=1, tile=(128, 128), metadata=scale)
        tiff.write(pixels[::2, ::2], subfiletype=1, tile=(128, 128))
    return path, pixels


def test_info_lists_the_levels_and_tells_of_the_one_asked_for(run, pyramid):
    path, _ = pyramid
    facts = run("info", path, "--level", 1, "--json").json
    assert facts["shape"] == [256, 256]
    assert facts["pixel_size_nm"] == pytest.approx(20)
    assert [each["shape"] for each in facts["levels"]] == [[512, 512], [256, 256]]
    assert "1: 256 × 256 px at 20 nm/px" in run("info", path).out


def test_tiles_of_a_coarse_level_hold_its_pixels(run, pyramid, tmp_path):
    path, pixels = pyramid
    out = tmp_path / "tiles"
    done = run("tile", path, "--level", 1, "--tile", 64, "--out", out, "--json")
    assert done.json["images"][0]["tiles"] == 16
    table = next(out.glob("*.tile_files.csv"))
    with table.open(encoding="utf-8", newline="") as file:
        row = list(csv.DictReader(file))[5]
    y, x = int(row["y"]), int(row["x"])
    expected = pixels[::2, ::2][y : y + 64, x : x + 64]
    assert np.array_equal(tifffile.imread(out / row["file"]), expected)


def test_a_level_that_is_not_there_is_refused_in_a_sentence(run, pyramid):
    path, _ = pyramid
    failed = run("info", path, "--level", 7)
    assert failed.status == 1
    assert "level 7 is none" in failed.err
    assert run("info", path, "--level", -1).status == 2
