"""Where a review is kept, and which one belongs to some class maps."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from class_maps import map_of, patchy_labels

from napari_sem_classify.core.measure.review import start_review
from napari_sem_classify.core.measure.review_file import save_review
from napari_sem_classify.core.measure.review_place import (
    OTHER_MAP,
    find_review,
    review_stem,
)


@pytest.fixture
def folders(tmp_path):
    """Beside the image, and the user's own, which is not there yet."""
    near = tmp_path / "images"
    near.mkdir()
    return near, tmp_path / "own"


def map_number(seed, name="coating_12"):
    return map_of(patchy_labels((12, 16), seed), image_name=name)


def test_a_new_review_lies_beside_its_image(folders):
    near, own = folders
    found = find_review([map_number(0)], near / "coating_12.tif", own)
    assert found.review is None
    assert found.path == near / "coating_12.review.json"
    assert not found.note


def test_without_a_file_it_lies_in_the_users_folder(folders):
    _, own = folders
    found = find_review([map_number(0)], None, own)
    assert found.path == own / "coating_12.review.json"


def test_the_review_of_these_maps_is_found_whatever_the_order_of_the_maps(folders):
    near, own = folders
    maps = [map_number(seed, f"field {seed}") for seed in range(3)]
    review = start_review(maps, 30)
    path = near / "field 0-and-2-more.review.json"
    save_review(review, path)
    found = find_review([maps[0], maps[2], maps[1]], near / "field 0.tif", own)
    assert found.review == review
    assert found.path == path
    assert found.order == (0, 2, 1)


def test_of_several_reviews_of_a_map_the_one_written_last_goes_on(folders):
    near, own = folders
    class_map = map_number(0)
    first, second = start_review([class_map], 20), start_review([class_map], 25, seed=1)
    for name, review, age in (("coating_12-2", second, 100), ("coating_12", first, 0)):
        path = near / f"{name}.review.json"
        save_review(review, path)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert find_review([class_map], near / "coating_12.tif", own).review == first


def test_a_review_of_another_map_does_not_count_and_is_never_overwritten(folders):
    near, own = folders
    save_review(start_review([map_number(1)], 20), near / "coating_12.review.json")
    found = find_review([map_number(0)], near / "coating_12.tif", own)
    assert found.review is None
    assert found.note == OTHER_MAP
    assert found.path == near / "coating_12-2.review.json"


def test_a_damaged_file_is_told_and_left_alone(folders):
    near, own = folders
    (near / "coating_12.review.json").write_text("{")
    found = find_review([map_number(0)], near / "coating_12.tif", own)
    assert "is no review of this program" in found.note
    assert found.path == near / "coating_12-2.review.json"


def test_the_review_of_an_image_whose_name_begins_the_same_is_not_looked_at(folders):
    near, own = folders
    (near / "coating_12 b.review.json").write_text("{")
    (near / "coating_12-old.review.json").write_text("{")
    assert not find_review([map_number(0)], near / "coating_12.tif", own).note


@pytest.mark.parametrize(
    ("name", "plane", "stem"),
    [
        ("a/b: c?", (), "a_b_ c_"),
        ("...", (), "image"),
        ("", (), "image"),
        ("stack", (3,), "stack_z0003"),
        ("Überzug 3", (), "Überzug 3"),
    ],
)
def test_any_name_of_a_layer_gives_a_name_of_a_file(name, plane, stem):
    class_map = replace(map_number(0, name), plane=plane)
    assert review_stem([class_map], None) == stem


def test_the_names_of_two_maps_say_that_there_are_two(tmp_path):
    maps = [map_number(0, "a"), map_number(1, "b")]
    assert review_stem(maps, tmp_path / "a.tif") == "a-and-1-more"
