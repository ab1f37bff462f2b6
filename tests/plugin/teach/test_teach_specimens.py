"""The specimens of the annotated images: guessed, shown, changed."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sem_classify.core.annotate.annotation_set import ImageAnnotations, Mark

from ..conftest import half_dark, until
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
    assert taught.images.texts() == [
        ["sample_1", "sample", "24"],
        ["steel_2_0017", "steel 2", "1"],
    ]

    taught.images.item(1, 1).setText("steel B")
    assert book.annotations.images[1].specimen == "steel B"
    assert taught.images.texts()[1] == ["steel_2_0017", "steel B", "1"]
    book.undo()
    assert taught.images.texts()[1] == ["steel_2_0017", "steel 2", "1"]


def test_a_series_is_stepped_through_and_an_image_is_gone_to_by_a_click(qtbot, taught, real_viewer):
    form = taught.series_form
    assert not form.forward.isVisibleTo(taught)
    for number in (2, 3):
        real_viewer.add_image(half_dark(), name=f"sample_{number}", scale=(10, 10))
    real_viewer.layers.selection.active = real_viewer.layers["sample_1"]
    until(qtbot, lambda: form.where.said == "1 of 3")
    assert [row[0::2] for row in taught.images.texts()] == [
        ["sample_1", "24"],
        ["sample_2", "0"],
        ["sample_3", "0"],
    ]
    QTest.mouseClick(form.forward, Qt.MouseButton.LeftButton)
    until(qtbot, lambda: taught.teacher.layer is real_viewer.layers["sample_2"])
    assert form.where.said == "2 of 3"
    table = taught.images
    place = table.visualItemRect(table.item(2, 0)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    until(qtbot, lambda: taught.teacher.layer is real_viewer.layers["sample_3"])
    assert form.where.said == "3 of 3"
    assert not form.forward.isEnabled()
