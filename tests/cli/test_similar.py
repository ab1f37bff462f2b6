"""``similar`` finds the same structure at the same physical size in a folder of images."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")
TILE = 32


def squares(size, where, side=1):
    """Stripes in noise, and one tile of bands across; with `side` 2 the same at twice the size."""
    rows, cols = np.indices((size, size)) // side
    picture = np.where(rows % 4 < 2, 60, 110).astype(np.uint8)
    y, x = where
    tile = slice(y, y + TILE * side), slice(x, x + TILE * side)
    picture[tile] = np.where((rows + cols) // 4 % 2, 30, 220)[tile]
    noise = np.random.default_rng(side).integers(-25, 25, (size // side, size // side))
    return (picture + np.kron(noise, np.ones((side, side)))).astype(np.uint8)


def write(path, picture, nm):
    tifffile.imwrite(
        path, picture, imagej=True, resolution=(1 / nm, 1 / nm), metadata={"unit": "nm"}
    )


def test_the_structure_is_found_at_its_physical_size_and_told_in_a_table_and_a_picture(
    run, tmp_path
):
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder / "a.tif", squares(128, (32, 64)), 10)
    write(folder / "b.tif", squares(256, (128, 64), 2), 5)
    (folder / "c.png").write_bytes(b"no picture")
    command = ("similar", folder / "a.tif", "--at", "40,70", "--in", folder, "--tile", TILE)
    done = run(*command, "--out", tmp_path / "out", "--json")
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert "c.png" in done.err
    best = done.json["found"][0]
    assert (best["image"], best["y"], best["x"]) == (str(folder / "b.tif"), 128, 64)
    assert best["tile_px"] == 2 * TILE
    assert best["similarity"] > 0.8
    places = [(each["image"], each["y"], each["x"]) for each in done.json["found"]]
    assert (str(folder / "a.tif"), 32, 64) not in places
    assert len(places) == len(set(places)) == 16 + 16 - 1
    rows = list(csv.DictReader((tmp_path / "out/a.similar.csv").read_text().splitlines()))
    assert [float(row["similarity"]) for row in rows] == [
        each["similarity"] for each in done.json["found"]
    ]
    with Image.open(tmp_path / "out/a.similar.png") as sheet:
        assert sheet.size[0] == 1200


def test_a_place_off_the_image_and_files_of_the_user_are_left_with_one_sentence(run, tmp_path):
    image = tmp_path / "a.png"
    Image.fromarray(squares(128, (32, 64))).save(image)
    out = tmp_path / "out"
    command = ("similar", image, "--in", image, "--tile", TILE, "--out", out, "--most", 3)
    refused = run(*command, "--at", "400,70")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "row from 0 to 127" in refused.err
    for place in ("40", "nan,3", "3,inf"):
        assert run(*command, "--at", place).status == 2
    (out / "a.similar.csv").write_text("mine")
    assert run(*command, "--at", "40,70").status == 0
    assert (out / "a.similar.csv").read_text() == "mine"
    assert len((out / "a-2.similar.csv").read_text().splitlines()) == 4
