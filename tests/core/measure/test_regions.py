"""Connected regions of a class map."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from class_maps import map_of, patchy_labels

from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.measure.regions import find_regions, label_regions, regions_csv

BAR = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [1, 2, 2, 2, 2, 1],
        [1, 1, 1, 1, 1, 1],
        [3, 1, 1, 1, 1, 3],
    ]
)


def test_a_bar_of_four_cells_has_its_size_place_and_aspect():
    (bar,) = [r for r in find_regions(map_of(BAR, offset=(100, 40))) if r.class_name == "oxide"]
    assert bar.cells == 4
    assert bar.area_px == 4 * 256
    assert bar.area_um2 == pytest.approx(4 * 256 * 0.05**2)
    assert bar.equivalent_diameter_px == pytest.approx(math.sqrt(4 * 1024 / math.pi))
    assert bar.aspect_ratio == pytest.approx(4.0)
    assert not bar.at_border
    assert (bar.y, bar.x) == (100 + 16 + 7.5, 40 + 16 + 31.5)
    assert bar.box.as_list() == [116, 132, 56, 120]
    assert bar.mean_confidence == pytest.approx(0.8)


def test_regions_at_the_border_or_beside_cells_left_out_are_marked():
    cracks = [r for r in find_regions(map_of(BAR)) if r.class_name == "crack"]
    assert [r.at_border for r in cracks] == [True, True]
    left_out = BAR.copy()
    left_out[0, 2] = 0
    (bar,) = [r for r in find_regions(map_of(left_out)) if r.class_name == "oxide"]
    assert bar.at_border


def test_narrower_cells_at_the_border_count_with_their_pixels():
    corner = find_regions(map_of(BAR, cut=(10, 12)))[-1]
    assert corner.area_px == 6 * 4
    assert (corner.y, corner.x) == (48 + 2.5, 80 + 1.5)


def test_cells_that_touch_at_a_corner_hang_together_only_if_asked():
    labels = np.array([[2, 1], [1, 2]])
    assert len(find_regions(map_of(labels))) == 4
    assert len(find_regions(map_of(labels), diagonal=True)) == 2


def test_single_cells_have_aspect_one_and_can_be_left_off_the_list():
    labels = np.ones((5, 5), int)
    labels[2, 2] = 3
    class_map = map_of(labels)
    assert find_regions(class_map)[1].aspect_ratio == 1.0
    assert len(find_regions(class_map, min_cells=2)) == 1


def test_the_regions_of_a_class_add_up_to_its_area_fraction():
    class_map = map_of(patchy_labels(), cut=(5, 9))
    regions = find_regions(class_map)
    for row in class_map.fractions():
        assert sum(r.area_px for r in regions if r.class_name == row.name) == row.area_px


def test_a_region_s_number_is_its_number_in_the_label_image():
    class_map = map_of(patchy_labels())
    numbers = label_regions(class_map)
    for region in find_regions(class_map):
        cells = numbers == region.number
        assert cells.sum() == region.cells
        assert {class_map.classes[k - 1].name for k in class_map.labels()[cells]} == {
            region.class_name
        }


def test_pandas_reads_the_table_back(tmp_path):
    class_map = map_of(patchy_labels())
    regions = find_regions(class_map)
    write_text(tmp_path / "r.csv", regions_csv(regions))
    table = pd.read_csv(tmp_path / "r.csv")
    assert list(table["region"]) == [r.number for r in regions]
    assert list(table["class"]) == [r.class_name for r in regions]
    assert table["area_um2"].to_numpy() == pytest.approx([r.area_um2 for r in regions], rel=1e-5)
    assert set(table["at_border"]) <= {"yes", "no"}


def test_an_uncalibrated_map_has_no_lengths_in_micrometres():
    table = pd.read_csv(io.StringIO(regions_csv(find_regions(map_of(BAR, pixel_size_nm=None)))))
    assert table["area_um2"].isna().all()
    assert table["equivalent_diameter_um"].isna().all()
    assert table["area_px"].notna().all()


def test_regions_of_a_map_without_confidence_have_none():
    class_map = map_of(BAR)
    bare = replace(class_map, record={**class_map.record, "confidence_known": False})
    regions = find_regions(bare)
    assert {region.mean_confidence for region in regions} == {None}
    table = pd.read_csv(io.StringIO(regions_csv(regions)))
    assert table["mean_confidence"].isna().all()
    assert list(table["area_px"]) == [region.area_px for region in find_regions(class_map)]


def test_a_map_left_out_as_a_whole_has_no_regions():
    assert find_regions(map_of(np.zeros((3, 3), int))) == []
