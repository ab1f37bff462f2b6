"""The specimens of the annotated images: guessed, shown, changed."""

from __future__ import annotations

from dataclasses import replace

from napari_sem_classify.core.annotate.annotation_set import ImageAnnotations, Mark

from .conftest import TILE


def test_specimens_are_shown_once_there_are_two_images_and_can_be_changed(taught):
    book = taught.teacher.book
    assert not taught.images.isVisibleTo(taught)
    said = book.annotations
    other = ImageAnnotations(
        "steel_2_0017", "f" * 64, (64, 64), marks={(0, 0, TILE): Mark(said.class_names[0])}
    )
    book.edit(replace(said, images=(*said.images, other)))
    assert taught.images.isVisibleTo(taught)
    assert taught.images.texts() == [["sample_1", "sample"], ["steel_2_0017", "steel 2"]]

    taught.images.item(1, 1).setText("steel B")
    assert book.annotations.images[1].specimen == "steel B"
    assert taught.images.texts()[1] == ["steel_2_0017", "steel B"]
    book.undo()
    assert taught.images.texts()[1] == ["steel_2_0017", "steel 2"]
