"""Polygons for QuPath, read back with shapely and rasterised anew."""

from __future__ import annotations

import json

import numpy as np
import pytest
from class_maps import map_of, patchy_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.export.geojson import to_geojson, write_geojson

shapely = pytest.importorskip("shapely", reason="shapely reads the polygons back")


def cells_of(collection, class_map):
    """Class number in each cell whose centre lies in a polygon, by shapely."""
    from shapely.geometry import shape

    names = [info.name for info in class_map.classes]
    grid = class_map.grid
    rows, cols = grid.shape
    centres = [
        (cell.left + cell.width / 2, cell.top + cell.height / 2)
        for cell in (grid.cell(r, c) for r in range(rows) for c in range(cols))
    ]
    points = shapely.points(centres)
    found = np.zeros(rows * cols, int)
    for feature in collection["features"]:
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        inside = shapely.contains(polygon, points)
        assert not found[inside].any()
        found[inside] = names.index(feature["properties"]["classification"]["name"]) + 1
    return found.reshape(rows, cols)


def test_every_cell_lies_in_a_polygon_of_its_class(tmp_path):
    labels = patchy_labels()
    labels[10:14, 20:26] = 0
    class_map = map_of(labels, cut=(5, 11), offset=(30, 17))
    write_geojson(class_map, tmp_path / "map.geojson")
    collection = json.loads((tmp_path / "map.geojson").read_text(encoding="utf-8"))
    assert (cells_of(collection, class_map) == class_map.labels()).all()


def test_polygon_areas_are_the_class_areas():
    from shapely.geometry import shape

    class_map = map_of(patchy_labels(), cut=(5, 11))
    features = to_geojson(class_map)["features"]
    for row in class_map.fractions():
        area = sum(
            shape(f["geometry"]).area
            for f in features
            if f["properties"]["classification"]["name"] == row.name
        )
        assert area == row.area_px


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 2))
)
def test_any_map_survives_with_its_holes_and_corners(labels):
    class_map = map_of(labels)
    assert (cells_of(to_geojson(class_map), class_map) == labels).all()


def test_features_have_what_qupath_looks_for():
    feature = to_geojson(map_of(patchy_labels()))["features"][0]
    assert feature["type"] == "Feature"
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["classification"] == {"name": "matrix", "color": [230, 159, 0]}
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]


def test_outer_rings_and_holes_turn_as_the_format_asks_for():
    from shapely.geometry import LinearRing

    labels = np.ones((5, 5), int)
    labels[2, 2] = 2
    outer, hole = to_geojson(map_of(labels))["features"][0]["geometry"]["coordinates"]
    assert LinearRing(outer).is_ccw
    assert not LinearRing(hole).is_ccw


def test_a_missing_folder_is_told_in_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_geojson(map_of(patchy_labels()), tmp_path / "none" / "map.geojson")
