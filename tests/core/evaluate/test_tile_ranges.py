"""Tiles that were cut to files look as they do in their image."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.image.intensity import (
    IntensityRecipe,
    measure_range,
    stretch_to_uint8,
)
from napari_sem_classify.core.sem_io import image_from_array, open_image
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.tile_files import write_tiles

TILE = 32


@pytest.fixture
def two_phases():
    """6 × 6 tiles of two phases that brightness alone tells apart, in 16 bit."""
    random = np.random.default_rng(0)
    bright = np.kron(np.indices((6, 6)).sum(axis=0) % 2, np.ones((TILE, TILE)))
    pixels = 6000 + 8000 * bright + random.normal(0, 300, bright.shape)
    return image_from_array(pixels.astype(np.uint16), "phases")


def written(image, folder: Path, format="tif") -> tuple[Path, list[dict[str, str]]]:
    """A class folder for each phase, and the rows of the table of tiles."""
    grid = TileGrid(image.area, TILE, TILE)
    table = write_tiles(PlaneTiles(image, grid), folder / "tiles", format=format).table
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = "bright" if (int(row["row"]) + int(row["col"])) % 2 else "dark"
        (folder / "sorted" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(table.parent / row["file"], folder / "sorted" / name)
    return folder / "sorted", rows


def as_in_the_image(image, folder: Path, rows) -> bool:
    """Whether a training sees each tile as a run over the whole image does."""
    whole = stretch_to_uint8(image.data, measure_range(image, IntensityRecipe())).astype(int)
    cut = [
        whole[y : y + TILE, x : x + TILE]
        for y, x in ((int(row["y"]), int(row["x"])) for row in rows)
    ]
    data = make_training_set(read_listing(folder), largest_px=TILE)
    try:
        # Names may be others than the table's: each tile is the one that it is most like.
        off = [min(np.abs(tile - one).max() for one in cut) for tile in data.tiles]
        return len(data.tiles) == len(rows) and max(off) <= 3
    finally:
        data.discard()


def bare(folder: Path, rename=lambda path, number: path.name) -> Path:
    """The same tiles without what their files tell."""
    out = folder.with_name("bare")
    for number, path in enumerate(sorted(folder.rglob("*.tif"))):
        place = out / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(path))).save(place / rename(path, number))
    return out


@pytest.mark.parametrize("format", ["tif", "png"])
def test_tiles_carry_the_range_of_their_image(two_phases, tmp_path, format):
    folder, rows = written(two_phases, tmp_path, format)
    whole = measure_range(two_phases, IntensityRecipe())
    assert {(row["range_low"], row["range_high"]) for row in rows} == {
        (str(whole.low), str(whole.high))
    }
    tile = open_image(next(folder.rglob(f"*.{format}")))
    assert measure_range(tile, IntensityRecipe()) == whole
    assert tile.area.as_list() == [0, TILE, 0, TILE]
    assert as_in_the_image(two_phases, folder, rows)


def test_a_table_tells_what_the_tiles_lost(two_phases, tmp_path):
    folder, rows = written(two_phases, tmp_path)
    lost = bare(folder)
    shutil.copy(tmp_path / "tiles" / "phases.tile_files.csv", lost)
    assert as_in_the_image(two_phases, lost, rows)
    assert "36 tiles are stretched over the range of their image" in told(lost)


def test_tiles_are_known_by_their_names(two_phases, tmp_path):
    folder, rows = written(two_phases, tmp_path)
    named = bare(folder)
    assert as_in_the_image(two_phases, named, rows)
    assert "36 equal squares are named as tiles of one image (phases)" in told(named)


def test_tiles_without_names_are_known_by_their_grey_values(two_phases, tmp_path):
    folder, rows = written(two_phases, tmp_path)
    plain = bare(folder, lambda path, number: f"{path.parent.name}-{number}.png")
    assert as_in_the_image(two_phases, plain, rows)
    assert "it was assumed" in told(plain)


def test_squares_that_are_images_of_their_own_keep_their_own_range(tmp_path):
    random = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / ("a", "b")[number % 2]
        folder.mkdir(exist_ok=True)
        pixels = random.integers(0, 250 - number, (TILE, TILE)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    assert told(tmp_path) == ""


@pytest.mark.parametrize(
    "note",
    [
        '{"napari_sem_classify_tile":{"grey_range":[9,2]}}',
        '{"napari_sem_classify_tile":{"grey_range":[0,1e999]}}',
        '{"napari_sem_classify_tile":{"grey_range":["0",true]}}',
        '{"napari_sem_classify_tile":' + "[" * 4000,
        '{"napari_sem_classify_tile":3}',
    ],
)
def test_a_note_that_makes_no_sense_says_nothing(tmp_path, note):
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Description", note)
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(
        tmp_path / "tile.png", pnginfo=told
    )
    assert open_image(tmp_path / "tile.png").source_range is None


def told(folder: Path) -> str:
    data = make_training_set(read_listing(folder))
    data.discard()
    return " ".join(data.notes)
