"""A class map as files: what each says, that they agree, and that all or nothing is written."""

from __future__ import annotations

import csv
import json
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sem_classify.core.common.errors import Cancelled, OutputError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.export.outputs import write_outputs
from napari_sem_classify.core.export.overlay import nice_length, overview
from napari_sem_classify.core.export.quantities import length_text
from napari_sem_classify.core.export.tiles_csv import write_tiles_csv
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.tile_files import write_tiles

CLASSES = (ClassInfo("matrix", "#e69f00"), ClassInfo('oxide, "mixed"', "#56b4e9"))


def make_image(shape=(100, 130), area=None, dtype=np.uint8, pixel_size_nm=20.0, data=None):
    pixels = np.random.default_rng(0).integers(1, 200, shape).astype(dtype)
    return SemImage(
        name="field",
        data=pixels if data is None else data,
        specimen=Specimen(area or Area(0, shape[-2], 0, shape[-1])),
        pixel_size_nm=pixel_size_nm,
    )


def make_map(area, tile=32, stride=32, pixel_size_nm=20.0, plane=()):
    grid = TileGrid(area, tile, stride)
    first = np.random.default_rng(1).random(grid.shape).astype(np.float32)
    probabilities = np.stack([first, 1 - first], axis=-1)
    probabilities[0, 1] = np.nan
    return ClassMap(probabilities, grid, CLASSES, pixel_size_nm, "field", plane, {"device": "CPU"})


@pytest.fixture
def area():
    return Area(10, 90, 0, 130)


@pytest.fixture
def written(tmp_path, area):
    class_map = make_map(area)
    write_outputs(class_map, make_image(area=area), tmp_path, "field")
    return class_map, tmp_path


def read_table(folder, name="field.tiles.csv"):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_the_same_however_many_rows_are_written_at_once(tmp_path, area, monkeypatch):
    class_map = make_map(area, tile=16, stride=12)
    texts = []
    for number in (1, 30, 100_000):
        monkeypatch.setattr("napari_sem_classify.core.export.tiles_csv._CELLS_AT_ONCE", number)
        write_tiles_csv(class_map, tmp_path / "table.csv")
        texts.append((tmp_path / "table.csv").read_bytes())
    assert texts[0] == texts[1] == texts[2]
    lines = texts[0].decode().splitlines()
    assert lines[0].endswith('confidence,entropy,prob_matrix,"prob_oxide, ""mixed"""')
    assert lines[1].startswith("0,0,10,0,12,12,")
    assert lines[2] == "0,1,10,12,12,12,,,,,"
    assert lines[-1].startswith("6,10,82,120,8,10,")
    assert len(lines) == 1 + 7 * 11


def test_a_table_four_times_as_long_takes_no_more_memory(tmp_path):
    path = tmp_path / "table.csv"
    peaks = []
    for rows in (1600, 1600, 6400):  # the first time also loads what is loaded once
        class_map = make_map(Area(0, rows, 0, 800), tile=8, stride=8)
        tracemalloc.start()
        try:
            write_tiles_csv(class_map, path)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert path.stat().st_size > 3_500_000
    assert peaks[2] < 1.3 * peaks[1]


def test_the_table_has_a_row_per_cell_in_pixels_of_the_file(written):
    class_map, folder = written
    rows = read_table(folder)
    assert list(rows[0]) == [
        *("row", "col", "y", "x", "height", "width", "class", "confidence", "entropy"),
        "prob_matrix",
        'prob_oxide, "mixed"',
    ]
    assert len(rows) == class_map.probabilities[..., 0].size == 15
    last = rows[-1]
    assert [int(last[key]) for key in ("row", "col", "y", "x")] == [2, 4, 74, 128]
    assert [int(last["height"]), int(last["width"])] == [16, 2]


def test_the_cells_of_the_table_cover_each_specimen_pixel_once(written, area):
    _, folder = written
    seen = np.zeros((100, 130), dtype=int)
    for row in read_table(folder):
        y, x, height, width = (int(row[key]) for key in ("y", "x", "height", "width"))
        seen[y : y + height, x : x + width] += 1
    assert (seen[area.top : area.bottom] == 1).all()
    assert seen.sum() == area.height * area.width


def test_a_cell_left_out_has_a_place_and_no_class(written):
    _, folder = written
    row = read_table(folder)[1]
    assert (row["row"], row["col"], row["x"]) == ("0", "1", "32")
    assert row["class"] == row["confidence"] == row["entropy"] == row["prob_matrix"] == ""


def test_summary_table_and_label_image_agree(written):
    class_map, folder = written
    rows = read_table(folder)
    summary = json.loads((folder / "field.summary.json").read_text(encoding="utf-8"))
    labels = tifffile.imread(folder / "field.map.tif")
    assert np.array_equal(labels, class_map.labels())
    total = sum(int(row["height"]) * int(row["width"]) for row in rows if row["class"])
    for number, each in enumerate(summary["classes"], start=1):
        mine = [row for row in rows if row["class"] == each["name"]]
        area_px = sum(int(row["height"]) * int(row["width"]) for row in mine)
        assert each["cells"] == len(mine) == (labels == number).sum()
        assert each["area_px"] == area_px
        assert each["fraction"] == pytest.approx(area_px / total)
        assert each["area_um2"] == pytest.approx(area_px * 0.02**2)
    assert summary["cells_left_out"] == 1
    assert summary["specimen"] == [10, 90, 0, 130]
    assert summary["record"] == {"device": "CPU"}


def test_the_label_image_is_calibrated_and_names_its_classes(written):
    _, folder = written
    with tifffile.TiffFile(folder / "field.map.tif") as tiff:
        metadata = tiff.imagej_metadata
        numerator, denominator = tiff.pages[0].tags["XResolution"].value
    assert metadata["unit"] == "um"
    assert numerator / denominator == pytest.approx(1 / (0.02 * 32), rel=1e-4)
    info = json.loads(metadata["Info"])
    assert [info["classes"][key]["name"] for key in ("1", "2")] == ["matrix", 'oxide, "mixed"']
    assert info["area"] == [10, 90, 0, 130]


def test_without_calibration_there_are_pixels_only(tmp_path, area):
    image = make_image(area=area, pixel_size_nm=None)
    write_outputs(make_map(area, pixel_size_nm=None), image, tmp_path, "field")
    summary = json.loads((tmp_path / "field.summary.json").read_text(encoding="utf-8"))
    assert summary["pixel_size_nm"] is None
    assert summary["classes"][0]["area_um2"] is None
    with tifffile.TiffFile(tmp_path / "field.map.tif") as tiff:
        assert "unit" not in tiff.imagej_metadata


def test_the_picture_shows_both_colours_over_the_specimen(written):
    _, folder = written
    picture = np.asarray(Image.open(folder / "field.overlay.png").convert("RGB")).astype(int)
    assert picture.shape[1] > 1600
    for colour in ((230, 159, 0), (86, 180, 233)):
        assert (np.abs(picture - colour).max(axis=-1) < 3).sum() > 500


def test_a_plane_of_a_stack_has_its_number_in_the_names(tmp_path):
    area = Area(0, 64, 0, 64)
    image = make_image((4, 64, 64), area=area)
    paths = write_outputs(make_map(area, plane=(3,)), image, tmp_path, "stack")
    assert [path.name for path in paths] == [
        f"stack_z0003.{end}" for end in ("tiles.csv", "summary.json", "map.tif", "overlay.png")
    ]


def test_nothing_is_left_where_the_folder_is_a_file(tmp_path, area):
    blocked = tmp_path / "out"
    blocked.write_text("here lies a file")
    with pytest.raises(OutputError, match="is a file"):
        write_outputs(make_map(area), make_image(area=area), blocked, "field")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


class WatchedArray:
    """A large constant image that notes how much is read at once."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shape):
        self.shape, self.ndim, self.largest = shape, len(shape), 0

    def __getitem__(self, key):
        rows, cols = (len(range(*part.indices(n))) for part, n in zip(key, self.shape, strict=True))
        self.largest = max(self.largest, rows * cols)
        ramp = np.arange(cols, dtype=np.uint32) * 255 // cols
        return np.broadcast_to(ramp.astype(np.uint8), (rows, cols))


def test_a_huge_image_is_never_read_whole_for_its_picture():
    data = WatchedArray((30_000, 20_000))
    image = make_image(area=Area(0, 30_000, 0, 20_000), data=data)
    grey, step = overview(image, image.area)
    assert step == 19
    assert grey.shape == (1579, 1053)
    assert data.largest <= 1 << 24
    assert grey[0, 0] < 10
    assert grey[-1, -1] > 245


@pytest.mark.parametrize(
    ("limit", "nice"), [(99.0, 50.0), (100.0, 100.0), (0.7, 0.5), (1234.0, 1000.0)]
)
def test_scale_bars_have_round_lengths(limit, nice):
    assert nice_length(limit) == pytest.approx(nice)


def test_lengths_are_written_in_the_unit_that_suits():
    assert [length_text(nm) for nm in (200, 5e3, 2e6)] == ["200 nm", "5 µm", "2 mm"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int32])
def test_tiles_keep_their_grey_values_in_tiff(tmp_path, dtype):
    image = make_image(dtype=dtype)
    grid = TileGrid(image.area, 40, 40)
    written = write_tiles(PlaneTiles(image, grid), tmp_path)
    assert written.count == grid.n_tiles == 12
    rows = read_table(tmp_path, "field.tile_files.csv")
    assert len(rows) == 12
    for row in rows:
        tile = tifffile.imread(tmp_path / row["file"])
        y, x = int(row["y"]), int(row["x"])
        assert tile.dtype == dtype
        assert np.array_equal(tile, image.data[y : y + 40, x : x + 40])
        assert row["pixel_size_nm"] == "20"


def test_png_tiles_keep_16_bits_and_stretch_only_when_asked(tmp_path):
    image = make_image(dtype=np.uint16)
    grid = TileGrid(image.area, 64, 64)
    write_tiles(PlaneTiles(image, grid), tmp_path, format="png")
    plain = np.asarray(Image.open(tmp_path / "field_r0000_c0000.png"))
    assert np.array_equal(plain, image.data[:64, :64])
    write_tiles(PlaneTiles(image, grid), tmp_path, format="png", stretch=True)
    stretched = np.asarray(Image.open(tmp_path / "field_r0000_c0000.png"))
    assert stretched.dtype == np.uint8
    assert stretched.max() == 255


def test_tiles_that_are_not_kept_are_not_written(tmp_path):
    image = make_image()
    grid = TileGrid(image.area, 50, 50)
    keep = np.zeros(grid.tile_shape, dtype=bool)
    keep[1, 2] = True
    assert write_tiles(PlaneTiles(image, grid, keep), tmp_path).count == 1
    assert [path.name for path in tmp_path.glob("*.tif")] == ["field_r0001_c0002.tif"]


def test_an_image_smaller_than_a_tile_becomes_one_full_tile(tmp_path):
    image = make_image((20, 30))
    write_tiles(PlaneTiles(image, TileGrid(image.area, 64, 64)), tmp_path)
    tile = tifffile.imread(tmp_path / "field_r0000_c0000.tif")
    assert tile.shape == (64, 64)
    assert np.array_equal(tile[:20, :30], image.data)


def test_a_cancelled_export_leaves_the_folder_as_it_was(tmp_path):
    image = make_image()
    cancel = Job()
    with pytest.raises(Cancelled):
        write_tiles(
            PlaneTiles(image, TileGrid(image.area, 16, 16)),
            tmp_path,
            job=cancel.telling(lambda progress: cancel.cancel() if progress.done == 3 else None),
        )
    assert list(tmp_path.iterdir()) == []


def test_tiles_of_a_mosaic_are_written_as_its_frames_are_evened_out(tmp_path):
    frame = (np.arange(64 * 64).reshape(64, 64) % 128).astype(np.uint8)
    image = image_from_array(np.hstack([frame + 1, frame // 2 + 100]), "mosaic")
    tiles = PlaneTiles(image, TileGrid(image.area, 64, 64))
    write_tiles(tiles, tmp_path, recipe=IntensityRecipe(over="frames", frame_px=(64, 64)))
    one, other = (tifffile.imread(tmp_path / f"mosaic_r0000_c000{col}.tif") for col in (0, 1))
    assert np.ptp(one) == np.ptp(other) == 254
    assert np.abs(one.astype(int) - other).max() <= 4
