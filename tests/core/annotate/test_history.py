"""Annotations, their history and their files, without a viewer."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.history import History
from napari_sem_classify.core.annotate.keeper import Keeper, find_kept, user_folder
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.sem_io import image_from_array

FIRST, SECOND = (0, 0, 16), (0, 16, 16)


def picture(seed=0, path=None):
    pixels = np.random.default_rng(seed).integers(1, 255, (64, 96), dtype=np.uint8)
    return image_from_array(pixels, f"sample_{seed}", path=path)


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "images" / "sample_0.tif"
    path.parent.mkdir()
    path.write_bytes(b"pixels are given by hand")
    return picture(path=path)


@pytest.fixture
def book(image):
    book = History()
    book.take_in(image, fingerprint(image), None)
    for name in ("matrix", "oxide"):
        book.edit(book.annotations.with_class(name))
    return book


def names_of(book, key):
    return {place: mark.class_name for place, mark in book.annotations.of(key).marks.items()}


# ---------------------------------------------------------------------- history


def test_undo_takes_back_strokes_and_class_edits_in_the_order_in_which_they_were_made(book, image):
    key = fingerprint(image)
    book.mark(key, {FIRST: "matrix"})
    book.edit(book.annotations.renamed("matrix", "steel"))
    book.mark(key, {SECOND: "oxide"})
    book.edit(book.annotations.without_class("steel"))
    assert names_of(book, key) == {SECOND: "oxide"}
    book.undo()
    assert names_of(book, key) == {FIRST: "steel", SECOND: "oxide"}
    book.undo()
    book.undo()
    assert names_of(book, key) == {FIRST: "matrix"}
    assert book.annotations.class_names == ("matrix", "oxide")
    book.redo()
    assert book.annotations.class_names == ("steel", "oxide")


def test_a_stroke_that_the_viewer_took_back_itself_is_no_new_step(book, image):
    key = fingerprint(image)
    book.mark(key, {FIRST: "matrix"})
    book.mark(key, {FIRST: None})
    assert names_of(book, key) == {}
    book.redo()
    assert names_of(book, key) == {FIRST: "matrix"}


def test_steps_of_one_layer_are_one_step_for_undo(book, image):
    key = fingerprint(image)
    before = book.annotations
    for place in (FIRST, SECOND):
        book.mark(key, {place: "oxide"}, join="layer")
    book.undo()
    assert book.annotations == before


def test_rules_go_with_their_class(book):
    book.edit(book.annotations.with_rule("oxide", 0.02))
    book.edit(book.annotations.renamed("oxide", "scale"))
    assert book.annotations.rules == {"scale": 0.02}
    book.edit(book.annotations.merged("scale", "matrix"))
    assert book.annotations.rules == {}
    book.undo()
    assert book.annotations.rules == {"scale": 0.02}


def test_an_image_opened_later_stays_known_when_older_steps_are_taken_back(book, image):
    other = picture(1)
    book.take_in(other, fingerprint(other), None)
    book.undo()
    book.undo()
    assert book.annotations.of(fingerprint(other)).name == "sample_1"


def test_an_image_with_annotations_brings_its_classes_and_keeps_those_that_are_there(book):
    other = picture(1)
    key = fingerprint(other)
    kept = Annotations().with_class("crack").with_class("oxide").with_image(other, key)
    kept = kept.with_marks(key, [FIRST], "crack")
    book.take_in(other, key, kept)
    assert book.annotations.class_names == ("matrix", "oxide", "crack")
    assert names_of(book, key) == {FIRST: "crack"}
    assert len({info.colour for info in book.annotations.classes}) == 3


# ---------------------------------------------------------------------- files


def saved(book, image):
    keeper = Keeper()
    keeper.opened(find_kept(image))
    keeper.save(book.annotations)
    keeper.flush()
    return keeper


def test_annotations_lie_beside_the_image_and_are_found_again(book, image):
    key = fingerprint(image)
    book.mark(key, {FIRST: "oxide"}, correction=True)
    saved(book, image)
    assert beside(image.path).is_file()
    kept = find_kept(image)
    assert kept.key == key
    assert kept.annotations.of(key).marks[FIRST].class_name == "oxide"
    assert kept.annotations.of(key).marks[FIRST].correction


def test_the_rule_of_a_class_is_kept_with_the_annotations(book, image):
    kept = find_kept(image)
    keeper = Keeper()
    keeper.opened(kept)
    book.mark(kept.key, {FIRST: "oxide"})
    book.edit(book.annotations.with_rule("oxide", 0.02))
    keeper.save(book.annotations)
    keeper.flush()
    other = History()
    other.take_in(image, kept.key, find_kept(image).annotations)
    assert other.annotations.rules == {"oxide": 0.02}


def test_nothing_is_written_before_anything_was_annotated(book, image):
    saved(book, image)
    assert not beside(image.path).exists()


def test_taking_the_last_tile_away_is_written_too(book, image):
    key = fingerprint(image)
    book.mark(key, {FIRST: "oxide"})
    keeper = saved(book, image)
    book.undo()
    keeper.save(book.annotations)
    keeper.flush()
    assert not load_annotations(beside(image.path)).of(key).marks


@pytest.mark.skipif(os.geteuid() == 0, reason="the root user may write everywhere")
def test_a_folder_that_cannot_be_written_is_replaced_by_the_users_own(book, image):
    image.path.parent.chmod(0o500)
    try:
        book.mark(fingerprint(image), {FIRST: "oxide"})
        saved(book, image)
    finally:
        image.path.parent.chmod(0o700)
    assert list(user_folder().glob("*.json"))
    assert find_kept(image).annotations is not None


def test_a_folder_that_vanishes_meanwhile_costs_no_annotation(book, image, tmp_path):
    key = fingerprint(image)
    keeper = Keeper()
    keeper.opened(find_kept(image))
    image.path.parent.rename(tmp_path / "moved")
    (tmp_path / "images").write_text("a file where the folder was")
    book.mark(key, {FIRST: "oxide"})
    keeper.save(book.annotations)
    keeper.flush()
    assert keeper.problem == ""
    assert load_annotations(keeper.places[key]).of(key).marks[FIRST].class_name == "oxide"
    assert keeper.places[key].parent == user_folder()


def test_an_image_that_came_from_no_file_is_kept_in_the_users_folder(book):
    bare = picture(2)
    key = fingerprint(bare)
    book.take_in(bare, key, None)
    book.mark(key, {FIRST: "matrix"})
    saved(book, bare)
    assert find_kept(bare).annotations.of(key).marks


def test_a_damaged_file_is_told_and_left_as_it_is(book, image):
    near = beside(image.path)
    near.write_text('{"format": "napari-sem-classify annotations", "format_version": 1}')
    before = near.read_bytes()
    kept = find_kept(image)
    assert "damaged" in kept.problem
    assert kept.annotations is None
    book.mark(fingerprint(image), {FIRST: "oxide"})
    saved(book, image)
    assert near.read_bytes() == before
    assert find_kept(image).annotations.of(fingerprint(image)).marks


def test_images_that_share_a_file_do_not_lose_each_other(book, image):
    twin = picture(3, path=image.path.with_suffix(".png"))
    twin.path.write_bytes(b"of the same stem")
    first, second = fingerprint(image), fingerprint(twin)
    book.mark(first, {FIRST: "matrix"})
    saved(book, image)
    other = History()
    other.take_in(twin, second, find_kept(twin).annotations)
    other.edit(other.annotations.with_class("pore"))
    other.mark(second, {SECOND: "pore"})
    saved(other, twin)
    both = load_annotations(beside(image.path))
    assert both.of(first).marks[FIRST].class_name == "matrix"
    assert both.of(second).marks[SECOND].class_name == "pore"


def test_a_write_leaves_whole_files_only(book, image):
    key = fingerprint(image)
    keeper = Keeper()
    keeper.opened(find_kept(image))
    for col in range(6):
        book.mark(key, {(0, 16 * col, 16): "oxide"})
        keeper.save(book.annotations)
    keeper.flush()
    value = json.loads(beside(image.path).read_text())
    assert len(value["images"][0]["tiles"]) == 6
    assert [path.name for path in image.path.parent.glob(".*")] == []
