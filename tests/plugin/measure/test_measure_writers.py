"""Class maps saved from napari for other programs and for people, read back without napari."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from class_maps import NAMES, map_of, patchy_labels
from PIL import Image

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.plugin.layers.made_layers import add_class_map, update_class_map

from ..conftest import PLUGIN


@pytest.fixture
def class_map():
    return map_of(patchy_labels((8, 12)), image_name="field")


@pytest.fixture
def layer(real_viewer, class_map):
    place = {"scale": (0.05, 0.05), "units": ("um", "um")}
    image = real_viewer.add_image(np.ones((128, 192), np.uint8), name="field", **place)
    return add_class_map(real_viewer, class_map, image)


def test_a_map_saved_as_geojson_has_the_same_classes_and_areas(layer, class_map, tmp_path):
    shapely = pytest.importorskip("shapely.geometry", reason="shapely reads the polygons back")
    path = tmp_path / "kept.map.geojson"
    assert layer.save(str(path)) == [str(path)]
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    for row in class_map.fractions():
        mine = [f for f in features if f["properties"]["classification"]["name"] == row.name]
        assert sum(shapely.shape(f["geometry"]).area for f in mine) == row.area_px
        colour = [int(row.colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert all(f["properties"]["classification"]["color"] == colour for f in mine)


def test_a_map_saved_as_a_figure_has_its_classes_colours_and_scale_bar(layer, class_map, tmp_path):
    path = tmp_path / "kept.figure.svg"
    assert layer.save(str(path)) == [str(path)]
    tree = ElementTree.parse(path)
    text = " ".join("".join(each.itertext()) for each in tree.iter() if each.tag.endswith("text"))
    for row in class_map.fractions():
        assert row.name in text
        assert f"{100 * row.fraction:.1f} %" in text
    assert " µm" in text
    png = tmp_path / "kept.figure.png"
    layer.save(str(png))
    with Image.open(png) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for info in class_map.classes:
        colour = [int(info.colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert (pixels == colour).all(axis=-1).any()
    layer.save(str(tmp_path / "kept.figure.pdf"))
    assert (tmp_path / "kept.figure.pdf").read_bytes().startswith(b"%PDF-")


def test_a_map_saved_as_a_report_tells_its_fractions(layer, class_map, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("lxml", reason="pandas reads HTML tables with lxml")
    path = tmp_path / "kept.map.html"
    assert layer.save(str(path)) == [str(path)]
    fractions = pandas.read_html(path)[0]
    assert list(fractions["Class"]) == list(NAMES)
    shares = [f"{100 * row.fraction:.1f} %" for row in class_map.fractions()]
    assert list(fractions["map as it is"]) == shares
    assert all("µm²" in area for area in fractions["area"])


def test_planes_of_a_stack_get_files_of_their_own_and_one_report(real_viewer, tmp_path):
    from dataclasses import replace

    stack = real_viewer.add_image(np.ones((3, 64, 96), np.uint8), name="stack")
    first, last = (
        replace(map_of(patchy_labels((4, 6), seed), image_name="stack"), plane=(plane,))
        for seed, plane in ((0, 0), (1, 2))
    )
    layer = add_class_map(real_viewer, first, stack, leading_shape=(3,))
    update_class_map(real_viewer, layer, last)
    written = layer.save(str(tmp_path / "s.figure.png"))
    names = ["s_z0000.figure.png", "s_z0002.figure.png"]
    assert [path.rpartition("/")[2] for path in written] == names
    assert sorted(path.name for path in tmp_path.glob("*.png")) == names
    layer.save(str(tmp_path / "s.map.html"))
    assert (tmp_path / "s.map.html").read_text(encoding="utf-8").count("<figure>") == 2


def test_what_is_no_class_map_and_a_map_without_its_image_are_refused(real_viewer, layer, tmp_path):
    plain = real_viewer.add_labels(np.ones((8, 8), int), name="cells")
    for ending in (".figure.png", ".map.html"):
        with pytest.raises(OutputError, match="no class map"):
            plain.save(str(tmp_path / f"a{ending}"))
    layer.save(str(tmp_path / "kept.map.tif"))
    name = layer.name
    real_viewer.layers.clear()
    real_viewer.open(str(tmp_path / "kept.map.tif"), plugin=PLUGIN)
    layer = real_viewer.layers[name]
    for ending in (".figure.png", ".map.html"):
        with pytest.raises(OutputError, match="not open"):
            layer.save(str(tmp_path / f"a{ending}"))
    assert list(tmp_path.glob("a*")) == []


def test_plain_endings_are_still_written_by_napari(real_viewer, layer, tmp_path):
    layer.save(str(tmp_path / "plain.tif"))
    assert (tifffile.imread(tmp_path / "plain.tif") == np.asarray(layer.data)).all()
    image = real_viewer.layers["field"]
    image.save(str(tmp_path / "picture.figure.png"))
    with Image.open(tmp_path / "picture.figure.png") as picture:
        assert picture.size == (192, 128), "an image is saved as napari saves it"


@pytest.mark.parametrize("ending", [".map.tif", ".map.ome.zarr"])
def test_saved_and_reopened_a_map_has_the_same_classes_colours_scale_and_units(
    real_viewer, layer, class_map, tmp_path, ending
):
    def looks(one):
        colours = {k: np.round(v, 4).tolist() for k, v in one.colormap.color_dict.items() if k}
        nm = [(1 * unit).to("nm").magnitude for unit in one.units]
        place = np.round([one.scale * nm, one.translate * nm], 6).tolist()
        return colours, place, one.features.fillna(0).to_dict("list")

    before, numbers = looks(layer), np.asarray(layer.data).copy()
    assert before[1] == [[800.0, 800.0], [375.0, 375.0]]
    layer.save(str(tmp_path / f"kept{ending}"))
    real_viewer.layers.clear()
    real_viewer.open(str(tmp_path / f"kept{ending}"), plugin=PLUGIN)
    (again,) = [each for each in real_viewer.layers if each.name == layer.name]
    assert (np.asarray(again.data) == numbers).all()
    assert looks(again) == before
