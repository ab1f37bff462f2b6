"""OME-Zarr with labels, opened again with ome-zarr-py and with zarr."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from class_maps import map_of, patchy_labels

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.export.ome_zarr import write_ome_zarr
from napari_sem_classify.core.image.sem_image import SemImage, Specimen


def image_for(class_map):
    area = class_map.grid.area
    pixels = np.random.default_rng(0).integers(
        20, 230, (area.bottom + 20, area.right + 5), np.uint8
    )
    return SemImage("coating_12", pixels, Specimen(area), class_map.pixel_size_nm)


@pytest.fixture
def class_map():
    labels = patchy_labels()
    labels[3:6, 7:9] = 0
    return map_of(labels, cut=(5, 9), offset=(12, 3))


def test_ome_zarr_py_finds_the_image_and_its_classes(tmp_path, class_map):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    write_ome_zarr(class_map, image_for(class_map), tmp_path / "a.ome.zarr")
    nodes = list(Reader(parse_url(tmp_path / "a.ome.zarr"))())
    classes = next(node for node in nodes if "classes" in str(node.zarr))
    assert (np.asarray(classes.data[0]) == class_map.labels()).all()
    assert classes.metadata["color"][1] == pytest.approx(np.array([230, 159, 0, 255]) / 255)
    assert classes.metadata["properties"][2] == {"class": "oxide"}
    assert [axis["unit"] for axis in classes.metadata["axes"]] == ["micrometer"] * 2


def test_the_metadata_are_valid_ome_zarr(tmp_path, class_map):
    models = pytest.importorskip("ome_zarr_models.v05")
    write_ome_zarr(class_map, image_for(class_map), tmp_path / "a.ome.zarr")
    models.Image.from_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))
    label = zarr.open_group(tmp_path / "a.ome.zarr" / "labels" / "classes", mode="r")
    models.ImageLabel.from_zarr(label)


def test_image_and_classes_lie_over_each_other(tmp_path, class_map):
    write_ome_zarr(class_map, image_for(class_map), tmp_path / "a.ome.zarr")
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")

    def first_edge(group):
        scale, shift = group.attrs["ome"]["multiscales"][0]["datasets"][0][
            "coordinateTransformations"
        ]
        assert scale["type"] == "scale"
        return np.array(shift["translation"]) - np.array(scale["scale"]) / 2

    expected = (np.array([12, 3]) - 0.5) * 0.05
    assert first_edge(root) == pytest.approx(expected)
    assert first_edge(root["labels/classes"]) == pytest.approx(expected)


def test_an_uncalibrated_map_has_no_unit(tmp_path):
    class_map = map_of(patchy_labels(), pixel_size_nm=None)
    write_ome_zarr(class_map, image_for(class_map), tmp_path / "a.ome.zarr")
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    (axis, _) = root.attrs["ome"]["multiscales"][0]["axes"]
    assert axis == {"name": "y", "type": "space"}


def test_an_older_one_is_replaced_and_nothing_else_is_left(tmp_path, class_map):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(map_of(patchy_labels(seed=4)), image_for(map_of(patchy_labels())), path)
    write_ome_zarr(class_map, image_for(class_map), path)
    assert (zarr.open_array(path / "labels/classes/0")[:] == class_map.labels()).all()
    assert [each.name for each in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path, class_map):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    with pytest.raises(OutputError, match="no OME-Zarr"):
        write_ome_zarr(class_map, image_for(class_map), tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "precious"
