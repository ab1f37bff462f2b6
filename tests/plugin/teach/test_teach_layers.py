"""Annotations taken from labels, shapes and points that the user already has."""

from __future__ import annotations

import numpy as np
import pytest

from ..conftest import half_dark, until
from .conftest import add_classes, counts, learned, paint


def mask_of(image_layer, value=1):
    mask = np.zeros(image_layer.data.shape, dtype=np.uint8)
    mask[:64, :64] = value
    mask[:64, 192:] = value + 1
    mask[64:72, 0:8] = value
    return mask


def choose_layer(qtbot, widget, layer):
    widget.source_form.combo.value = layer
    until(qtbot, lambda: bool(widget.source_form.problem.said or widget._drawn.taken))


def test_a_labels_layer_annotates_tiles_and_mixed_ones_are_counted(
    qtbot, widget, real_viewer, image_layer
):
    add_classes(widget)
    layer = real_viewer.add_labels(mask_of(image_layer), name="mask", scale=(10, 10),
                                   units=("nm", "nm"))  # fmt: skip
    choose_layer(qtbot, widget, layer)
    assert counts(widget) == {"dark": 16, "bright": 16}
    assert widget.source_form.note.said == "32 tiles from mask · 1 mixed left out"
    learned(qtbot, widget)


def test_what_a_layer_no_longer_says_is_taken_back(qtbot, widget, real_viewer, image_layer):
    layer = real_viewer.add_labels(mask_of(image_layer), name="mask", scale=(10, 10),
                                   units=("nm", "nm"))  # fmt: skip
    choose_layer(qtbot, widget, layer)
    assert counts(widget) == {"label 1": 16, "label 2": 16}
    layer.data = np.where(layer.data == 2, 0, layer.data)
    until(qtbot, lambda: counts(widget)["label 2"] == 0)
    assert counts(widget)["label 1"] == 16


def test_a_class_with_a_rule_of_its_own_is_found_in_little_of_a_tile(
    qtbot, widget, real_viewer, image_layer
):
    add_classes(widget, "matrix", "crack")
    mask = np.ones(image_layer.data.shape, dtype=np.uint8)
    mask[:, 40] = 2
    layer = real_viewer.add_labels(mask, name="mask", scale=(10, 10), units=("nm", "nm"))
    choose_layer(qtbot, widget, layer)
    assert counts(widget) == {"matrix": 128, "crack": 0}
    widget.teacher.book.edit(widget.teacher.book.annotations.with_rule("crack", 0.02))
    widget._drawn.take()
    assert counts(widget) == {"matrix": 120, "crack": 8}


def test_shapes_and_points_annotate_with_the_chosen_class(qtbot, widget, real_viewer):
    add_classes(widget)
    corners = np.array([[0, 0], [0, 640], [640, 640], [640, 0]])
    shapes = real_viewer.add_shapes([corners], units=("nm", "nm"), name="drawn")
    widget.source_form.as_class.value = "bright"
    choose_layer(qtbot, widget, shapes)
    assert counts(widget)["bright"] == 16
    points = real_viewer.add_points([[1000, 1000], [1000, 2000]], units=("nm", "nm"), name="dots")
    widget.source_form.as_class.value = "dark"
    widget._drawn._drawn.clear()
    choose_layer(qtbot, widget, points)
    assert counts(widget)["dark"] == 2


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.ones((50, 60), np.uint8), "50 × 60 px"),
        (np.arange(128 * 256, dtype=np.int32).reshape(128, 256), "seems to number objects"),
        (np.zeros((128, 256), np.uint8), "no label yet"),
    ],
)
def test_a_layer_that_does_not_fit_is_refused_in_a_sentence(
    qtbot, widget, real_viewer, labels, sentence
):
    layer = real_viewer.add_labels(labels, name="mask", scale=(10, 10), units=("nm", "nm"))
    choose_layer(qtbot, widget, layer)
    assert sentence in widget.source_form.problem.said
    assert sum(counts(widget).values()) == 0


def test_labels_of_another_scale_are_refused(qtbot, widget, real_viewer, image_layer):
    layer = real_viewer.add_labels(mask_of(image_layer), scale=(20, 20), units=("nm", "nm"))
    choose_layer(qtbot, widget, layer)
    assert "another scale" in widget.source_form.problem.said


def test_an_image_that_is_gone_back_to_has_its_layer_of_annotations_still(
    qtbot, widget, real_viewer, image_layer
):
    add_classes(widget)
    paint(qtbot, widget, [(0, 0), (1, 1)], 1)
    first = widget.teacher.painting.layer
    other = real_viewer.add_image(
        255 - half_dark(), name="sample_2", scale=(10, 10), units=("nm", "nm")
    )
    until(qtbot, lambda: widget.teacher.painting.layer not in (None, first))
    second = widget.teacher.painting.layer
    assert not second.data.any()
    paint(qtbot, widget, [(2, 2)], 2)
    real_viewer.layers.selection.active = image_layer
    until(qtbot, lambda: widget.teacher.painting.layer is first)
    paint(qtbot, widget, [(3, 3)], 2)
    assert counts(widget) == {"dark": 2, "bright": 2}
    assert np.argwhere(first.data).tolist() == [[0, 0], [1, 1], [3, 3]]
    real_viewer.layers.selection.active = other
    until(qtbot, lambda: widget.teacher.painting.layer is second)
    assert np.argwhere(second.data).tolist() == [[2, 2]]
