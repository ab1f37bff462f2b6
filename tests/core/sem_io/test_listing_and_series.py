"""Which files a user means, and a folder of them as one stack."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.sem_io import list_images, open_image, open_series


@pytest.fixture
def folder(tmp_path):
    for name in ("a10.tif", "a2.tif", "B1.png", ".hidden.tif", "a2.tif.txt", "notes.txt"):
        path = tmp_path / name
        if name.endswith("txt"):
            path.write_text("notes")
        else:
            Image.fromarray(specimen(40, 50)).save(path)
    zarr.create_array(str(tmp_path / "c.zarr"), shape=(64, 64), dtype="u1")
    (tmp_path / "deeper").mkdir()
    Image.fromarray(specimen(40, 50)).save(tmp_path / "deeper" / "d.tif")
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_a_folder_gives_its_images_in_natural_order(folder):
    assert names(list_images([folder])) == ["a2.tif", "a10.tif", "B1.png", "c.zarr"]


def test_patterns_files_and_folders_mix_and_each_image_comes_once(folder):
    given = [folder / "B1.png", str(folder / "a*.tif"), folder / "a2.tif", folder / "deeper"]
    assert names(list_images(given)) == ["B1.png", "a2.tif", "a10.tif", "d.tif"]


def test_a_pattern_reaches_into_folders(folder):
    assert "d.tif" in names(list_images([str(folder / "**" / "*.tif")]))


def test_a_zarr_folder_is_an_image_and_not_a_folder_of_images(folder):
    assert names(list_images([folder / "c.zarr"])) == ["c.zarr"]


def test_a_name_with_brackets_is_a_file_if_it_is_there(tmp_path):
    Image.fromarray(specimen(40, 50)).save(tmp_path / "scan[1].png")
    assert names(list_images([tmp_path / "scan[1].png"])) == ["scan[1].png"]


def test_nothing_given_is_one_sentence():
    with pytest.raises(ImageError, match="No image was given"):
        list_images([])


def imagej(path, picture, nm):
    options = {"resolution": (1000 / nm, 1000 / nm), "metadata": {"unit": "micron"}}
    tifffile.imwrite(path, picture, imagej=True, **options)


def test_a_folder_of_equal_images_is_one_calibrated_stack(tmp_path):
    planes = [with_bar(specimen(300, 256, seed), panel(30, 256)) for seed in range(4)]
    for index, plane in enumerate(planes):
        imagej(tmp_path / f"slice{9 + index}.tif", plane, 12.0)
    series = open_series(tmp_path)
    assert series.name == tmp_path.name
    assert series.leading_shape == (4,)
    assert series.pixel_size_nm == pytest.approx(12.0)
    assert series.area.as_list() == [0, 300, 0, 256]
    assert series.metadata["series_files"] == [f"slice{9 + index}.tif" for index in range(4)]
    window = Area(10, 60, 20, 90)
    for plane in series.planes():
        expected = planes[plane[0]][10:60, 20:90]
        np.testing.assert_array_equal(series.read(window, plane), expected)


def test_a_list_of_files_keeps_its_order(tmp_path):
    for name, seed in (("a.png", 1), ("b.png", 2)):
        Image.fromarray(specimen(80, 90, seed)).save(tmp_path / name)
    series = open_series([tmp_path / "b.png", tmp_path / "a.png"])
    np.testing.assert_array_equal(series.read(series.area, (0,)), specimen(80, 90, 2))


def test_a_series_of_colour_images_is_their_luminance(tmp_path):
    for index in range(2):
        colour = np.stack([specimen(80, 90, 3 * index + c) for c in range(3)], axis=-1)
        Image.fromarray(colour).save(tmp_path / f"{index}.png")
    series = open_series(tmp_path)
    assert series.colour == "grey"
    assert series.read(series.area, (1,)).shape == (80, 90)


def test_images_of_other_sizes_are_no_series(tmp_path):
    Image.fromarray(specimen(80, 90)).save(tmp_path / "a.png")
    Image.fromarray(specimen(80, 91)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"b\.png has 80 × 91 px and .*a\.png has 80 × 90 px"):
        open_series(tmp_path)


def test_images_of_other_scales_are_no_series(tmp_path):
    imagej(tmp_path / "a.tif", specimen(80, 90), 10.0)
    imagej(tmp_path / "b.tif", specimen(80, 90), 20.0)
    with pytest.raises(ImageError, match=r"20 nm/px and .*a\.tif 10 nm/px"):
        open_series(tmp_path)


def test_a_series_holds_one_plane_in_memory_at_a_time(tmp_path):
    for index in range(3):
        Image.fromarray(specimen(80, 90, index)).save(tmp_path / f"{index}.png")
    series = open_series(tmp_path)
    whole = np.asarray(series.data)
    assert whole.shape == (3, 80, 90)
    np.testing.assert_array_equal(series.data[1:, 5:9, 3], whole[1:, 5:9, 3])
    assert series.data[0:0].shape == (0, 80, 90)


def test_files_that_cannot_be_read_are_left_out_of_a_series_by_name(tmp_path):
    for index in range(3):
        Image.fromarray(specimen(80, 90, index)).save(tmp_path / f"{index}.png")
    (tmp_path / "0a.png").write_bytes(b"broken")
    (tmp_path / "1a.tif").write_bytes(b"")
    series = open_series(tmp_path)
    assert series.leading_shape == (3,)
    left_out = series.metadata["series_left_out"]
    assert sorted(left_out) == [str(tmp_path / "0a.png"), str(tmp_path / "1a.tif")]
    assert "is empty" in left_out[str(tmp_path / "1a.tif")]


def test_a_folder_that_links_to_itself_is_entered_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / f"{name}.tif", np.zeros((80, 80), np.uint8))
        for link in range(3):
            (tmp_path / name / f"link{link}").symlink_to(tmp_path, target_is_directory=True)
    found = list_images([tmp_path / "**" / "*.tif"])
    assert sorted(path.name for path in found) == ["a.tif", "b.tif"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are pipes on Unix only")
def test_a_pipe_is_listed_and_refused(tmp_path):
    os.mkfifo(tmp_path / "p.tif")
    tifffile.imwrite(tmp_path / "q.tif", np.zeros((80, 80), np.uint8))
    (tmp_path / "r.tif").symlink_to(tmp_path / "p.tif")
    assert [path.name for path in list_images([tmp_path])] == ["p.tif", "q.tif", "r.tif"]
    for name in ("p.tif", "r.tif"):
        with pytest.raises(ImageError, match="is not a file"):
            open_image(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are pipes on Unix only")
def test_a_pipe_in_the_place_of_a_zarr_chunk_is_refused(tmp_path):
    array = zarr.create_array(tmp_path / "z.zarr", shape=(80, 80), chunks=(80, 80), dtype="u1")
    array[:] = 7
    chunk = next(path for path in (tmp_path / "z.zarr").rglob("*") if path.name == "0")
    chunk = chunk if chunk.is_file() else chunk / "0"
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(ImageError, match="is not a file"):
        open_image(tmp_path / "z.zarr").read(Area(0, 80, 0, 80))


def test_an_open_zarr_can_be_sent_to_a_worker(tmp_path):
    array = zarr.create_array(tmp_path / "z.zarr", shape=(80, 80), chunks=(80, 80), dtype="u1")
    array[:] = 7
    sent = pickle.loads(pickle.dumps(open_image(tmp_path / "z.zarr")))
    assert (sent.read(sent.area) == 7).all()
