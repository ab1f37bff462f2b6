"""Planes of a stack in annotations and in their file, and the way of looking kept with them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sem_classify.core.annotate.annotation_file import (
    annotations_csv,
    annotations_geojson,
    load_annotations,
    save_annotations,
)
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import fingerprint, plane_image, plane_key
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.model.recipe import Recipe, RecipeChoice, RecipeScore
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.recipes import recipes_for

FIRST, SECOND = (0, 0, 16), (16, 32, 16)


@pytest.fixture
def stack():
    pixels = np.random.default_rng(0).integers(1, 255, (6, 64, 96)).astype(np.uint8)
    return image_from_array(pixels, "slices")


@pytest.fixture
def annotated(stack):
    key = fingerprint(stack)
    book = Annotations().with_class("matrix").with_class("oxide").with_image(stack, key)
    book = book.with_marks(key, [FIRST], "matrix")
    return book.with_marks(plane_key(key, (5,)), [FIRST, SECOND], "oxide")


def test_planes_have_tiles_of_their_own(stack, annotated):
    key = fingerprint(stack)
    assert annotated.counts() == {"matrix": 1, "oxide": 2}
    assert list(annotated.of(plane_key(key, (0,))).marks) == [FIRST]
    assert list(annotated.of(plane_key(key, (5,))).marks) == [FIRST, SECOND]
    assert not annotated.of(plane_key(key, (2,))).marks
    without = annotated.without_marks(plane_key(key, (5,)), [FIRST])
    assert list(without.of(key).marks) == [FIRST]


def test_a_plane_is_read_as_an_image_of_its_own(stack):
    window = Area(8, 24, 10, 40)
    plane = plane_image(stack, (5,))
    assert (plane.leading_shape, plane.shape) == ((), (64, 96))
    assert np.array_equal(plane.read(window), stack.read(window, (5,)))
    assert np.array_equal(plane_image(stack, ()).read(window), stack.read(window, (0,)))


def test_planes_come_back_from_the_file(annotated, tmp_path):
    path = tmp_path / "a.annotations.json"
    save_annotations(path, annotated)
    assert load_annotations(path) == annotated


@pytest.mark.parametrize("plane", [[-1], "5", [1.5], [True]])
def test_an_impossible_plane_is_refused(annotated, tmp_path, plane):
    path = tmp_path / "a.annotations.json"
    save_annotations(path, annotated)
    value = json.loads(path.read_text())
    value["images"][1]["plane"] = plane
    path.write_text(json.dumps(value))
    with pytest.raises(AnnotationError, match="is damaged"):
        load_annotations(path)


def test_other_programs_are_told_the_plane(stack, annotated):
    lines = annotations_csv(annotated).splitlines()
    assert lines[0].endswith(",class,correction,plane")
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == ["", "5", "5"]
    plane = annotated.of(plane_key(fingerprint(stack), (5,)))
    found = annotations_geojson(annotated, plane)["features"][0]["geometry"]
    assert found["plane"] == {"c": -1, "z": 5, "t": 0}


def test_changed_pixels_at_the_same_path_keep_all_planes(stack, annotated, tmp_path):
    from dataclasses import replace

    here = replace(stack, path=tmp_path / "slices.tif")
    known = annotated.with_image(here, fingerprint(stack))
    again = known.with_image(here, "f" * 64)
    assert list(again.of("f" * 64).marks) == [FIRST]
    assert list(again.of(plane_key("f" * 64, (5,))).marks) == [FIRST, SECOND]


def test_the_way_of_looking_and_why_come_back_from_the_file(annotated, tmp_path):
    from dataclasses import replace

    standard, even = recipes_for(64)[:2]
    scores = (RecipeScore(standard, 0.5, 0.6, 0.0, 0.0), RecipeScore(even, 0.9, 0.9, 0.4, 0.01))
    choice = RecipeChoice(even, scores, "Macro-F1 0.90 instead of 0.50.")
    path = tmp_path / "a.annotations.json"
    save_annotations(path, replace(annotated, looking=choice))
    assert load_annotations(path).looking == choice
    value = json.loads(path.read_text())
    value["looking"]["chosen"]["network_px"] = 1 << 30
    path.write_text(json.dumps(value))
    with pytest.raises(AnnotationError, match="is damaged"):
        load_annotations(path)
    del value["looking"]
    path.write_text(json.dumps(value))
    assert load_annotations(path).looking is None
    assert Recipe() == standard
