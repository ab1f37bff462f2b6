"""From an empty viewer to a map, a score, a saved model, and a real image classified with it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

from napari_sem_classify.core.annotate.annotation_file import CSV, OWN, SUFFIXES, save_annotations
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.core.teach.turned import N_COPIES
from napari_sem_classify.plugin.layers.annotation_layer import ANNOTATIONS
from napari_sem_classify.plugin.layers.made_layers import CLASSES, CONFIDENCE, made_from

from ..conftest import until
from .conftest import (
    TILE,
    WideEngine,
    add_classes,
    counts,
    learned,
    own_map,
    paint,
    paint_halves,
    ready,
)

# ---------------------------------------------------------------------- before anything is painted


def test_an_empty_viewer_is_told_what_to_do(open_widget, real_viewer):
    widget = open_widget("Teach")
    assert "Open an SEM image" in widget.image_form.empty.said
    assert not widget._annotate.isVisibleTo(widget)


def test_without_classes_the_user_is_told_to_add_two(widget):
    assert "press +" in widget.source_form.note.said
    widget.class_table.add_class("dark", edit=False)
    assert "second class" in widget.source_form.note.said
    widget.class_table.add_class("bright", edit=False)
    assert "Click tiles" in widget.source_form.note.said
    assert not widget.keep_form.save.enabled


def test_a_new_class_is_named_by_typing_over_its_name(qtbot, widget):
    QTest.mouseClick(widget.class_table.add, Qt.MouseButton.LeftButton)
    qtbot.wait(600)  # the form is brought up to date meanwhile
    [editor] = widget.class_table.table.findChildren(QLineEdit)
    assert editor.selectedText() == "class 1"
    QTest.keyClicks(editor, "ox")
    qtbot.wait(600)
    widget._refresh_annotations()
    QTest.keyClicks(editor, "ide")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    until(qtbot, lambda: widget.teacher.book.annotations.class_names == ("oxide",))


def test_a_new_class_brings_the_brush_one_tile_wide(widget, real_viewer):
    add_classes(widget)
    layer = widget.teacher.painting.layer
    assert real_viewer.layers.selection.active is layer
    assert layer.name == "sample_1 · annotations"
    assert layer.data.shape == (8, 16)
    assert (layer.mode, layer.brush_size, layer.selected_label) == ("paint", 1, 2)
    assert np.allclose(layer.scale, (160, 160))


def test_one_annotated_class_is_told_in_a_sentence(qtbot, widget):
    add_classes(widget)
    paint(qtbot, widget, [(0, 0), (1, 1)], 1)
    until(qtbot, lambda: "Only the class" in widget.run_form.message.said)


# ---------------------------------------------------------------------- learning


def test_painted_tiles_of_two_classes_give_map_confidence_and_score(taught, real_viewer):
    labels = own_map(taught)
    assert (labels[:, :8] == 1).all()
    assert (labels[:, 8:] == 2).all()
    assert made_from(real_viewer, taught.teacher.layer, CONFIDENCE)
    assert taught.run_form.message.said.startswith("Updated in")
    assert "macro-F1 1.00" in taught.score_form.note.said
    assert taught.score_form.matrix.item(0, 0).text() == "100 %"
    assert "blocks" in taught.score_form.detail.said
    assert taught.score_form.sureness.said.startswith("Confidence is off by ")
    assert "sure: 100 % right" in taught.score_form.plot.toolTip()


def test_the_plot_of_the_confidence_paints_a_dot_for_each_state(taught):
    plot = taught.score_form.plot
    picture = plot.grab().toImage()
    colours = {
        picture.pixelColor(x, y).name()
        for x in range(picture.width())
        for y in range(picture.height())
    }
    assert "#0072b2" in colours
    assert plot.height() > 60


def test_few_tiles_give_a_map_but_no_number(qtbot, widget):
    add_classes(widget)
    paint(qtbot, widget, [(0, 0), (1, 1)], 1)
    paint(qtbot, widget, [(0, 15), (1, 14)], 2)
    learned(qtbot, widget)
    assert widget.teacher.maps.own is not None
    assert widget.score_form.note.said.startswith("No score can be given")
    assert widget.score_form.matrix.isHidden()


def test_the_tiles_are_looked_at_once_only_but_for_copies_of_the_new_one(qtbot, taught, engine):
    calls = engine.engine.calls
    paint(qtbot, taught, [(1, 1)], 1)
    learned(qtbot, taught)
    assert engine.engine.calls <= calls + N_COPIES


def test_without_live_the_map_waits_and_says_that_it_is_out_of_date(qtbot, taught):
    taught.live.value = False
    before = taught.teacher.learner.learned
    paint(qtbot, taught, [(1, 1)], 1)
    qtbot.wait(600)
    assert taught.teacher.learner.learned is before
    assert "out of date" in taught.run_form.message.said
    taught.run_form.button.native.click()
    learned(qtbot, taught)
    assert taught.run_form.message.said.startswith("Updated")


def test_cancel_keeps_the_annotations_and_waits_to_be_asked(qtbot, gate, widget):
    add_classes(widget)
    paint_halves(qtbot, widget)
    until(qtbot, lambda: widget.run_form.running)
    widget.run_form.stop.native.click()
    gate.set()
    until(qtbot, lambda: not widget.teacher.learner.looking)
    assert "Stopped" in widget.run_form.message.said
    assert sum(counts(widget).values()) == 24
    widget.run_form.button.native.click()
    learned(qtbot, widget)


def test_renaming_and_recolouring_reach_the_map(qtbot, taught):
    taught.class_table.table.item(0, 0).setText("shade")
    taught.class_table.recolour("shade", "#cc79a7")
    learned(qtbot, taught)
    assert taught.teacher.maps.own.features["class"].tolist()[1:] == ["shade", "bright"]
    assert taught.teacher.painting.layer.features["class"].tolist()[1:] == ["shade", "bright"]
    first = np.asarray(taught.teacher.maps.own.colormap.color_dict[1])
    assert np.allclose(first[:3], np.array([0xCC, 0x79, 0xA7]) / 255, atol=0.01)


def test_a_name_that_is_taken_is_refused_beside_the_table(widget):
    add_classes(widget)
    widget.class_table.table.item(0, 0).setText("bright")
    assert 'There is a class "bright" already' in widget.class_table.problem.said
    assert widget.class_table.table.item(0, 0).text() == "dark"


def test_removing_a_class_and_undo_bring_its_tiles_back(qtbot, taught):
    taught.teacher.book.edit(taught.teacher.book.annotations.without_class("dark"))
    assert counts(taught) == {"bright": 12}
    assert set(np.unique(taught.teacher.painting.layer.data)) == {0, 1}
    taught.class_table.undo.click()
    assert counts(taught) == {"dark": 12, "bright": 12}
    assert set(np.unique(taught.teacher.painting.layer.data)) == {0, 1, 2}
    learned(qtbot, taught)


def test_tiles_of_another_size_are_kept_and_counted_but_not_used(qtbot, taught):
    taught.grid_form.tile_px.value = 32
    assert "24 of another tile size are not used" in taught.source_form.note.said
    assert not taught.teacher.learner.teachable
    taught.grid_form.tile_px.value = TILE
    learned(qtbot, taught)
    assert "24 tiles" in taught.source_form.note.said
    assert np.count_nonzero(taught.teacher.painting.layer.data) == 24


# ---------------------------------------------------------------------- keeping


def test_the_model_is_saved_with_what_it_was_taught(qtbot, widget, engine, tmp_path):
    engine.engine = WideEngine(batch_size=8)
    add_classes(widget)
    paint_halves(qtbot, widget)
    learned(qtbot, widget)
    path = tmp_path / "models" / "halves.safetensors"
    widget.keep_form.save_model(path)
    until(qtbot, lambda: not widget.keep_form.saving)
    assert "halves.safetensors" in widget.keep_form.message.said
    card = load_model(path).card
    assert card.class_names == ("dark", "bright")
    assert (card.tile_px, card.pixel_size_nm) == (TILE, 10.0)
    assert card.scores["macro_f1"] == 1.0
    assert card.record["settings"]["annotated_tiles"] == {"dark": 12, "bright": 12}


def test_a_class_without_tiles_is_told_before_saving(taught, tmp_path):
    taught.class_table.add_class("pore", edit=False)
    taught.keep_form.save_model(tmp_path / "m.safetensors")
    assert 'The class "pore" has no tile' in taught.keep_form.message.said
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("kind", SUFFIXES)
def test_annotations_are_exported(taught, tmp_path, kind):
    taught.keep_form.export_annotations(tmp_path / "out", kind)
    assert (tmp_path / f"out{SUFFIXES[kind]}").is_file()


def test_an_annotations_file_is_read_back_and_can_be_taken_back(qtbot, taught, tmp_path):
    path = tmp_path / "mine.annotations.json"
    taught.keep_form.export_annotations(path, OWN)
    taught.teacher.book.edit(taught.teacher.book.annotations.without_class("dark"))
    taught.keep_form.read_annotations(path)
    assert counts(taught) == {"bright": 12, "dark": 12}
    taught.class_table.undo.click()
    assert counts(taught) == {"bright": 12}


def test_a_file_of_another_image_is_refused(taught, tmp_path):
    path = tmp_path / "other.annotations.json"
    save_annotations(path, Annotations())
    taught.keep_form.read_annotations(path)
    assert "holds no annotation of sample_1" in taught.keep_form.message.said
    path.write_text("nothing")
    taught.keep_form.read_annotations(path)
    assert "choose another file" in taught.keep_form.message.said


def test_a_folder_that_is_none_is_told(taught, tmp_path):
    taught.keep_form.export_annotations(tmp_path / "missing" / "out", CSV)
    assert "cannot be written" in taught.keep_form.message.said


def test_the_widget_fits_a_narrow_dock(taught):
    assert taught.minimumSizeHint().width() <= 340


@pytest.mark.parametrize("page", ["Annotate", "Score", "Fine-tune"])
def test_text_of_one_and_a_half_times_the_size_is_not_cut(qtbot, taught, real_viewer, page):
    from napari.settings import get_settings
    from qtpy.QtWidgets import QScrollArea

    appearance = get_settings().appearance
    before = appearance.font_size
    real_viewer.window._qt_window.resize(1280, 720)
    taught.frame.turn_to(page)
    narrow = taught.minimumSizeHint().width()

    def whole():
        wider = taught.minimumSizeHint().width() > narrow
        areas = [each for each in taught.findChildren(QScrollArea) if each.isVisibleTo(taught)]
        areas = [each for each in areas if each.widget() is not None]
        return wider and all(
            each.viewport().width() >= each.widget().minimumSizeHint().width() for each in areas
        )

    try:
        appearance.font_size = round(1.5 * before)
        until(qtbot, whole)
        assert taught.minimumSizeHint().width() <= 340
        assert taught.keep_form.save.native.isVisibleTo(taught) == (page != "Fine-tune")
    finally:
        appearance.font_size = before


# ---------------------------------------------------------------------- the real thing


def test_a_real_image_is_taught_saved_and_classified(
    qtbot, real_viewer, open_widget, shared_data, tmp_path
):
    import tifffile
    from PIL import Image

    folder = shared_data / "nasa"
    name = "ebc__040617_3_S0410028.png"
    pixels = np.asarray(Image.open(folder / "images" / name).convert("L"))[256:768, :512]
    truth = np.asarray(Image.open(folder / "masks" / name))[256:768, :512]
    path = tmp_path / "coating.tif"
    tifffile.imwrite(path, pixels)
    real_viewer.open(str(path), plugin="napari-sem-classify")
    widget = ready(qtbot, open_widget("Teach"), 64)
    add_classes(widget, "coating", "oxide")
    share = (truth == 1).reshape(8, 64, 8, 64).mean(axis=(1, 3))
    paint(qtbot, widget, [tuple(at) for at in np.argwhere(share < 0.3)[::2]], 1)
    paint(qtbot, widget, [tuple(at) for at in np.argwhere(share > 0.7)[::2]], 2)
    learned(qtbot, widget)
    sure = (share < 0.3) | (share > 0.7)
    assert ((own_map(widget) == 2) == (share > 0.5))[sure].mean() > 0.9
    model = tmp_path / "coating.safetensors"
    widget.keep_form.save_model(model)
    until(qtbot, lambda: not widget.keep_form.saving)
    classify = open_widget("Classify")
    classify.model_form.open_file(model)
    until(qtbot, lambda: classify.image_form.image is not None)
    classify.run_form.button.native.click()
    until(qtbot, lambda: not classify.busy)
    again = np.asarray(made_from(real_viewer, widget.teacher.layer, CLASSES)[-1].data)
    assert (again == own_map(widget)).mean() > 0.95
    assert ANNOTATIONS in [
        layer.metadata.get("sem_classify", {}).get("kind") for layer in real_viewer.layers
    ]
