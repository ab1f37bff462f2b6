"""Nothing is lost and nothing breaks when layers, widgets and viewers go away meanwhile."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations

from ..conftest import half_dark, until
from .conftest import TILE, add_classes, counts, learned, own_map, paint, paint_halves, ready


def test_removing_the_image_while_the_tiles_are_looked_at_loses_nothing(
    qtbot, gate, widget, real_viewer, image_layer
):
    add_classes(widget)
    paint_halves(qtbot, widget)
    until(qtbot, lambda: widget.teacher.learner.looking)
    real_viewer.layers.remove(image_layer)
    gate.set()
    qtbot.wait(300)
    assert widget.teacher.layer is None
    assert sum(counts(widget).values()) == 24


def test_an_image_that_is_opened_again_has_its_annotations(qtbot, taught, real_viewer, image_layer):
    real_viewer.layers.clear()
    real_viewer.add_image(image_layer.data, name="again", scale=(10, 10), units=("nm", "nm"))
    until(qtbot, lambda: taught.teacher.key is not None)
    assert np.count_nonzero(taught.teacher.painting.layer.data) == 24
    learned(qtbot, taught)
    assert taught.teacher.maps.own is not None


def test_annotations_beside_the_file_come_back_in_another_viewer_and_widget(
    qtbot, engine, make_napari_viewer, tmp_path
):
    import tifffile

    path = tmp_path / "coating.tif"
    tifffile.imwrite(path, half_dark())
    for attempt in range(2):
        viewer = make_napari_viewer()
        viewer.open(str(path), plugin="napari-sem-classify")
        widget = viewer.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
        until(qtbot, lambda w=widget: w.teacher.key is not None)
        if attempt == 0:
            ready(qtbot, widget)
            add_classes(widget)
            paint_halves(qtbot, widget)
            until(qtbot, lambda w=widget: not w.teacher.memory.keeper.busy)
            assert "coating.annotations.json" in widget.keep_form.kept.said
            assert len(load_annotations(beside(path)).images[0].marks) == 24
        else:
            assert int(widget.grid_form.tile_px.value) == TILE
            assert counts(widget) == {"dark": 12, "bright": 12}
            assert np.count_nonzero(widget.teacher.painting.layer.data) == 24
        viewer.close()


def test_closing_the_widget_in_the_middle_of_a_fit_keeps_the_last_stroke(
    qtbot, taught, real_viewer, open_widget
):
    layer = taught.teacher.painting.layer
    with layer.block_history():
        layer.paint((1, 1), 1)
    real_viewer.window.remove_dock_widget(taught)
    qtbot.wait(400)
    again = open_widget("Teach")
    until(qtbot, lambda: again.teacher.key is not None)
    assert counts(again) == {"dark": 13, "bright": 12}
    # The fixture holds the closed widget, so Python alone would not let go of its window.
    taught.deleteLater()
    qtbot.wait(50)


def test_renamed_and_removed_layers_do_not_disturb(qtbot, taught, real_viewer, image_layer):
    image_layer.name = "renamed"
    taught.teacher.painting.layer.name = "mine"
    paint(qtbot, taught, [(1, 1)], 1)
    learned(qtbot, taught)
    real_viewer.layers.remove(taught.teacher.maps.own)
    paint(qtbot, taught, [(1, 2)], 1)
    learned(qtbot, taught)
    assert taught.teacher.maps.own is not None
    real_viewer.layers.remove(taught.teacher.painting.layer)
    assert sum(counts(taught).values()) == 26
    taught.class_table.choose(1)
    assert np.count_nonzero(taught.teacher.painting.layer.data) == 26


def test_an_annotation_layer_of_a_value_without_a_class_is_put_right(qtbot, widget):
    add_classes(widget)
    paint(qtbot, widget, [(0, 0)], 7)
    assert widget.teacher.painting.layer.data[0, 0] == 0
    assert sum(counts(widget).values()) == 0


def test_several_images_feed_one_model(qtbot, taught, real_viewer):
    real_viewer.add_image(255 - half_dark(), name="second", scale=(10, 10), units=("nm", "nm"))
    until(qtbot, lambda: taught.teacher.key is not None and taught.teacher.image.name == "second")
    assert int(taught.grid_form.tile_px.value) == TILE
    paint(qtbot, taught, [(0, 0), (4, 4)], 2)
    learned(qtbot, taught)
    assert "26 tiles · 2 images" in taught.source_form.note.said
    assert len(taught.teacher.learner.learned.lesson.keys) == 2
    labels = own_map(taught)
    assert (labels[:, :8] == 2).all()
    assert (labels[:, 8:] == 1).all()

    table = taught.fractions_form.table
    until(qtbot, lambda: table.rowCount() == 2)
    halves = ["50.0 %", "50.0 %"]
    assert table.texts() == [["sample_1", *halves], ["second", *halves]]


def test_two_viewers_keep_their_annotations_apart(qtbot, taught, make_napari_viewer):
    other = make_napari_viewer()
    other.add_image(half_dark(), name="sample_1")
    widget = other.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    until(qtbot, lambda: widget.teacher.key is not None)
    assert widget.teacher.book is not taught.teacher.book


def test_a_network_that_cannot_run_is_told_and_tried_again_when_asked(
    qtbot, widget, monkeypatch, engine
):
    from napari_sem_classify.core.common.errors import DeviceError

    def broken(**_settings):
        raise DeviceError("The device is gone: choose another.")

    monkeypatch.setattr("napari_sem_classify.core.network.engine.make_engine", broken)
    add_classes(widget)
    paint_halves(qtbot, widget)
    until(qtbot, lambda: "The device is gone" in widget.run_form.message.said)
    monkeypatch.setattr(
        "napari_sem_classify.core.network.engine.make_engine", lambda **_: engine.engine
    )
    widget.run_form.button.native.click()
    learned(qtbot, widget)
