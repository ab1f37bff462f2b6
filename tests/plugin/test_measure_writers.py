"""A class map saved from napari as polygons, read back with shapely."""

from __future__ import annotations

import json

import numpy as np
import pytest
from class_maps import map_of, patchy_labels

from napari_sem_classify.plugin.layers import add_class_map


def test_a_map_saved_as_geojson_has_the_same_classes_and_areas(real_viewer, tmp_path):
    shapely = pytest.importorskip("shapely.geometry", reason="shapely reads the polygons back")
    class_map = map_of(patchy_labels((8, 12)), image_name="field")
    image = real_viewer.add_image(np.ones((128, 192), np.uint8), name="field")
    path = tmp_path / "kept.map.geojson"
    assert add_class_map(real_viewer, class_map, image).save(str(path)) == [str(path)]
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    for row in class_map.fractions():
        mine = [f for f in features if f["properties"]["classification"]["name"] == row.name]
        assert sum(shapely.shape(f["geometry"]).area for f in mine) == row.area_px
        colour = [int(row.colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert all(f["properties"]["classification"]["color"] == colour for f in mine)
