"""Two maps of one image are compared cell by cell, by the names of their classes."""

from __future__ import annotations

import numpy as np
import pytest
from class_maps import map_of

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.maps.map_difference import LEFT_OUT, differing_cells


def test_cells_that_differ_are_numbered_by_pair_with_the_largest_area_first():
    found = differing_cells(map_of([[1, 1, 1, 3]]), map_of([[2, 2, 1, 1]]))
    assert found.labels.tolist() == [[1, 1, 0, 2]]
    assert [(pair.first, pair.second, pair.cells) for pair in found.pairs] == [
        ("matrix", "oxide", 2),
        ("crack", "matrix", 1),
    ]
    assert (found.cells, found.compared_cells) == (3, 4)
    assert found.area_fraction == 0.75


def test_narrow_cells_at_the_border_weigh_less():
    found = differing_cells(map_of([[1, 1]], cut=(0, 8)), map_of([[1, 2]], cut=(0, 8)))
    assert found.area_fraction == pytest.approx(8 / 24)


def test_classes_are_matched_by_name_whatever_their_order():
    one = map_of([[1, 2]], names=("matrix", "oxide"))
    other = map_of([[2, 1]], names=("oxide", "matrix"))
    assert differing_cells(one, other).cells == 0


def test_a_class_that_only_one_model_knows_differs_and_left_out_cells_are_counted_apart():
    one = map_of([[1, 2, 0, 0]], names=("matrix", "oxide"))
    other = map_of([[2, 1, 1, 0]], names=("matrix", "pore"))
    found = differing_cells(one, other)
    assert {(pair.first, pair.second) for pair in found.pairs} == {
        ("matrix", "pore"),
        ("oxide", "matrix"),
        (LEFT_OUT, "matrix"),
    }
    assert (found.cells, found.compared_cells, found.one_only_cells) == (2, 2, 1)
    assert found.area_fraction == 1.0


def test_maps_without_a_common_cell_have_no_share():
    assert np.isnan(differing_cells(map_of([[1, 0]]), map_of([[0, 1]])).area_fraction)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (map_of([[1, 2]], stride=32), "different cells"),
        (map_of([[1, 2]], offset=(0, 16)), "different cells"),
        (map_of([[1, 2]], names=("x", "y")), "no class of the same name"),
    ],
)
def test_maps_that_cannot_be_compared_are_refused_in_a_sentence(other, words):
    with pytest.raises(GridError, match=words) as caught:
        differing_cells(map_of([[1, 2]]), other)
    assert "\n" not in str(caught.value)
