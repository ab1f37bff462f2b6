"""A class map in a file comes back whole, and says so where something is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from class_maps import map_of, patchy_labels

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.export.ome_zarr import write_ome_zarr
from napari_sem_classify.core.export.tiles_csv import write_tiles_csv
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.maps.map_file import (
    PROBABILITIES_TAG,
    SavedMap,
    read_map,
    write_map,
)
from napari_sem_classify.core.maps.ome_zarr_map import read_ome_map


@pytest.fixture
def class_map():
    labels = patchy_labels((8, 12))
    labels[:2, :3] = 0
    return map_of(labels, cut=(5, 3), offset=(4, 7))


def image_for(class_map, path=None):
    area = class_map.grid.area
    pixels = np.full((area.bottom, area.right), 90, np.uint8)
    return SemImage("coating_12", pixels, Specimen(area), class_map.pixel_size_nm, path=path)


def assert_same(found, expected):
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    for name in ("grid", "classes", "pixel_size_nm", "image_name", "plane", "record"):
        assert getattr(found, name) == getattr(expected, name), name


def test_all_of_a_map_comes_back(tmp_path, class_map):
    image = image_for(class_map, tmp_path / "coating_12.tif")
    write_map(SavedMap.of(class_map, image), tmp_path / "a.map.tif")
    saved = read_map(tmp_path / "a.map.tif")
    assert_same(saved.first, class_map)
    assert saved.image_path == tmp_path / "coating_12.tif"
    assert saved.first.confidence_known


def test_the_ome_zarr_brings_back_the_same(tmp_path, class_map):
    write_ome_zarr(class_map, image_for(class_map), tmp_path / "a.ome.zarr", {"name": "mine"})
    saved = read_ome_map(tmp_path / "a.ome.zarr")
    assert_same(saved.first, class_map)
    assert saved.shown == {"name": "mine"}
    assert read_ome_map(tmp_path) is None


def test_planes_of_a_stack_come_back_each_in_its_place(tmp_path, class_map):
    maps = {(n,): replace(class_map, plane=(n,), record={"plane": n}) for n in (1, 4)}
    write_map(SavedMap(maps, (6,)), tmp_path / "s.map.tif")
    saved = read_map(tmp_path / "s.map.tif")
    assert list(saved.maps) == [(1,), (4,)]
    assert saved.stack == (6,)
    for plane, each in maps.items():
        assert_same(saved.maps[plane], each)
    assert tifffile.imread(tmp_path / "s.map.tif").shape == (2, 8, 12)


def written_anew(path, change=None, tag=False):
    """The file as another program might write it again: without the private tag."""
    with tifffile.TiffFile(path) as tiff:
        labels, info = tiff.asarray(), json.loads(tiff.imagej_metadata["Info"])
        packed = tiff.pages[0].tags[PROBABILITIES_TAG].value
    labels, info = change(labels, info) if change is not None else (labels, info)
    tags = [(PROBABILITIES_TAG, 7, len(packed), packed, True)] if tag else []
    metadata = {"axes": "YX", "Info": json.dumps(info)}
    tifffile.imwrite(path, labels, imagej=True, metadata=metadata, extratags=tags)


def test_without_its_probabilities_a_map_has_its_classes_and_tells_no_confidence(
    tmp_path, class_map
):
    path = tmp_path / "a.map.tif"
    write_map(SavedMap.of(class_map), path)
    written_anew(path)
    found = read_map(path).first
    np.testing.assert_array_equal(found.labels(), class_map.labels())
    assert found.fractions() == class_map.fractions()
    assert not found.confidence_known
    write_tiles_csv(found, tmp_path / "table.csv")
    row = (tmp_path / "table.csv").read_text().splitlines()[-1]
    assert row.endswith(",,,,,")
    assert row.split(",")[6] in ("matrix", "oxide", "crack")
    write_map(SavedMap.of(found), path)
    assert not read_map(path).first.confidence_known


def test_numbers_changed_elsewhere_count_and_are_counted(tmp_path, class_map):
    path = tmp_path / "a.map.tif"
    write_map(SavedMap.of(class_map), path)

    def paint(labels, info):
        labels[4, 4:6] = 3
        labels[0, 0] = 2
        return labels, info

    before = class_map.labels()
    written_anew(path, paint, tag=True)
    found = read_map(path).first
    assert found.labels()[4, 4:6].tolist() == [3, 3]
    assert found.labels()[0, 0] == 2
    painted = int((before[4, 4:6] != 3).sum()) + 1
    assert found.record["painted_cells"] == painted
    np.testing.assert_array_equal(found.probabilities[6], class_map.probabilities[6])


def test_any_other_file_is_no_map(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", np.ones((20, 30), np.uint8))
    (tmp_path / "text.tif").write_text("nothing")
    assert read_map(tmp_path / "plain.tif") is None
    assert read_map(tmp_path / "text.tif") is None


def spoil(key, value):
    def change(labels, info):
        return labels, {**info, key: value}

    return change


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("version", 9, "another version"),
        ("area", [0, 1], "damaged"),
        ("area", [0, 640, 0, 640], "damaged"),
        ("classes", {"1": {"name": "only", "colour": "#000000"}}, "damaged"),
        ("classes", {str(n): {"name": "x", "colour": "url(x)"} for n in (1, 2, 3)}, "damaged"),
        ("planes", [], "damaged"),
    ],
)
def test_a_damaged_description_is_refused_in_a_sentence(tmp_path, class_map, key, value, told):
    path = tmp_path / "a.map.tif"
    write_map(SavedMap.of(class_map), path)
    written_anew(path, spoil(key, value), tag=True)
    with pytest.raises(ImageError, match=told) as problem:
        read_map(path)
    assert str(path) in str(problem.value)
    assert "\n" not in str(problem.value)


def test_damaged_probabilities_are_refused_and_not_unpacked_beyond_their_size(tmp_path, class_map):
    import zlib

    for number, packed in enumerate((b"no deflate", zlib.compress(bytes(10**7)))):
        path = Path(tmp_path / f"{number}.map.tif")
        write_map(SavedMap.of(class_map), path)
        with tifffile.TiffFile(path) as tiff:
            labels, info = tiff.asarray(), tiff.imagej_metadata["Info"]
        tifffile.imwrite(
            path,
            labels,
            imagej=True,
            metadata={"axes": "YX", "Info": info},
            extratags=[(PROBABILITIES_TAG, 7, len(packed), packed, True)],
        )
        with pytest.raises(ImageError, match="probabilities"):
            read_map(path)


def test_an_ome_zarr_whose_map_is_cut_short_is_refused(tmp_path, class_map):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(class_map, image_for(class_map), path)
    root = zarr.open_group(path, mode="r+")
    del root["labels/classes/0"]
    with pytest.raises(ImageError, match="cannot be read"):
        read_ome_map(path)
