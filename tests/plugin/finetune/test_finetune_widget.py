"""The Fine-tune widget in a real viewer, with real trainings of a few steps at 32 px."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from labelled_images import grains, write_classes
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QListWidget,
    QTableWidget,
)

from napari_sem_classify.core.annotate.annotation_file import beside, save_annotations
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.common.errors import DatasetError
from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.plugin.app.docks import docks_of
from napari_sem_classify.plugin.finetune import training_tasks
from napari_sem_classify.plugin.finetune.data_form import NO_IMAGES, NOT_ANNOTATED

from ..conftest import PLUGIN, until

TILE = 32
STAGE = [("32", "1", "0", "1e-3", "1e-3")]
LONG_STAGE = [("32", "400", "0", "1e-3", "1e-3")]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def widget(open_widget):
    return open_widget("Fine-tune")


@pytest.fixture
def picture(tmp_path):
    """An image file with two grains, its left half finer, and its annotations beside it."""
    from PIL import Image

    from napari_sem_classify.core.sem_io import open_image

    path = tmp_path / "grains.png"
    pixels = np.hstack([grains(192, 128, 2, 0), grains(192, 128, 8, 1)])
    Image.fromarray(pixels).save(path)
    image = open_image(path)
    key = fingerprint(image)
    annotations = Annotations().with_class("fine").with_class("coarse").with_image(image, key)
    for name, columns in (("fine", range(4)), ("coarse", range(4, 8))):
        places = [(TILE * row, TILE * column, TILE) for row in range(6) for column in columns]
        annotations = annotations.with_marks(key, places, name)
    save_annotations(beside(path), annotations)
    return path


@pytest.fixture
def layer(real_viewer, picture):
    (layer,) = real_viewer.open(str(picture), plugin="napari-sem-classify")
    return layer


@pytest.fixture
def ready(qtbot, layer, widget):
    """The widget once it found the annotations that were saved beside the image."""
    until(qtbot, lambda: widget.data_form.choice is not None)
    widget.schedule_form.set_stages(STAGE)
    widget.summary_form.pause()
    return widget


def train(qtbot, widget):
    widget.run_form.button.native.click()
    assert widget.busy
    until(qtbot, lambda: not widget.busy)


def end_of_threads(qtbot):
    def at_work():
        return [each for each in threading.enumerate() if "fine-tuning" in each.name]

    until(qtbot, lambda: not at_work())


# --- before


def test_an_empty_viewer_says_what_to_do_and_offers_the_sample(qtbot, widget, real_viewer):
    assert widget.data_form.empty.said == NO_IMAGES
    assert widget.data_form.sample.native.isVisibleTo(widget)
    assert not widget._rest.isVisibleTo(widget)
    widget.data_form.sample.native.click()
    until(qtbot, lambda: widget.data_form.empty.said == NOT_ANNOTATED)
    assert widget.data_form.teach.native.isVisibleTo(widget)
    assert not widget.data_form.sample.native.isVisibleTo(widget)


def test_saved_annotations_of_an_open_image_are_found_and_summed_up(qtbot, ready):
    assert ready.summary_form.note.said == "48 tiles of 32 px · 2 classes · 1 image"
    assert ready.summary_form.plot.accessibleDescription() == "fine: 24 tiles, coarse: 24 tiles"
    assert ready.run_form.button.enabled
    ready._refresh()
    until(qtbot, lambda: ready.summary_form.pictures.isVisibleTo(ready))
    assert len(ready.summary_form.pictures.shown) == 2 * training_tasks.COPIES


def test_an_image_that_is_unchecked_is_left_out(ready):
    item = ready.data_form.list.item(0, 0)
    item.setCheckState(Qt.CheckState.Unchecked)
    assert ready.data_form.choice is None
    item.setCheckState(Qt.CheckState.Checked)
    assert ready.data_form.choice is not None


def test_the_specimen_of_an_image_is_changed_where_it_is_listed(ready):
    item = ready.data_form.list.item(0, 1)
    guess = item.text()
    assert guess == ready.data_form.choice.annotations.images[0].specimen != "steel A"
    item.setText("steel A")
    assert ready.data_form.choice.annotations.images[0].specimen == "steel A"
    ready.data_form.list.item(0, 1).setText(" ")
    assert ready.data_form.list.item(0, 1).text() == guess


def test_annotations_of_an_image_that_is_not_open_can_be_added(qtbot, picture, widget):
    widget.data_form.add_annotations(beside(picture))
    choice = widget.data_form.choice
    assert choice.counts == {"fine": 24, "coarse": 24}
    widget.data_form.add_annotations(picture)
    assert "no annotations file" in widget.data_form.problem.said


def test_a_folder_of_classes_is_listed_and_a_wrong_one_told(qtbot, widget, tmp_path):
    widget.data_form.use_folder(write_classes(tmp_path / "set", {"a": 3, "b": 4}))
    until(qtbot, lambda: widget.data_form.choice is not None)
    assert widget.summary_form.note.said == "7 images · 2 classes"
    widget.data_form.rows.value = "from here"
    assert "does not name rows" in widget.data_form.problem.said
    assert not widget.run_form.button.enabled
    (tmp_path / "empty").mkdir()
    widget.data_form.use_folder(tmp_path / "empty")
    until(qtbot, lambda: "holds no class folders" in widget.data_form.problem.said)


def test_stages_that_cannot_be_trained_are_told_beside_the_table(ready):
    ready.schedule_form.set_stages([("8", "1", "1", "1e-3", "1e-3")])
    assert ready.schedule_form.problem.said.startswith("Stage 1 has a size of 8 px")
    assert not ready.run_form.button.enabled
    ready.schedule_form.way.value = "article"
    assert ready.schedule_form.problem.said == ""
    assert ready.schedule_form.said.said == "64 → 128 → 224 px · 45 epochs"


def test_what_a_minute_allows_is_told_and_shown_before_the_start(qtbot, ready, monkeypatch):
    # The window of a test is not shown, and the page asks only when somebody looks.
    ready.isVisible = lambda: True
    monkeypatch.setattr(
        "napari_sem_classify.core.finetune.finetune_trial.trial_rate", lambda *_: 1e6
    )
    form = ready.schedule_form
    assert form.way.value == "own"  # its stages were edited
    form.way.value = "minute"
    assert not form.find_rate.enabled
    until(qtbot, lambda: ready.expected.note.said.startswith("About "), 20000)
    assert ready.expected.note.said.endswith(" tiles.")
    shown = [row[0] for row in form.stages.texts()]
    assert f"{' → '.join(shown)} px" in ready.expected.note.said
    form.stages.item(0, 2).setText("3")
    assert form.way.value == "own"
    assert form.said.said.endswith("edited")
    assert form.find_rate.enabled
    form.way.value = "article"
    assert form.said.said == "64 → 128 → 224 px · 45 epochs"


def test_each_change_of_the_tiles_has_a_number_and_is_seen_when_pointed_at(qtbot, ready):
    form = ready.schedule_form.augment
    ready.schedule_form.options.native.setChecked(True)
    blur = form._controls["defocus_px"]
    assert blur.native.suffix() == " px"
    blur.value = 2.0
    assert ready.schedule_form.chosen_preset().augmentation.defocus_px == 2.0
    gain = form._controls["gain"]
    gain.value = 20
    assert ready.schedule_form.chosen_preset().augmentation.gain == pytest.approx(0.2)
    until(qtbot, lambda: "Contrast" in form.told.said and "20 %" in form.told.said)
    assert len(form.pictures.shown) == 8
    QApplication.sendEvent(blur.native, QEvent(QEvent.Type.Enter))
    until(qtbot, lambda: "Focus" in form.told.said and "2 px" in form.told.said)
    form._controls["flips"].value = False
    assert not ready.schedule_form.chosen_preset().augmentation.flips


def test_it_fits_340_pixels_and_every_control_is_named(ready):
    ready.schedule_form.options.native.setChecked(True)
    assert ready.minimumSizeHint().width() <= 340
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget, QListWidget)
    for kind in kinds:
        for control in ready.findChildren(kind):
            inner = (
                isinstance(control.parent(), kinds) or "Table" in type(control.parent()).__name__
            )
            if not control.objectName().startswith("qt_") and not inner:
                assert control.accessibleName(), control
                assert control.toolTip(), control.accessibleName()


# --- training


def test_from_annotations_to_a_classified_image(qtbot, ready, real_viewer, layer):
    train(qtbot, ready)
    assert ready.run_form.message.said.startswith("Done in ")
    result = ready.result_form
    assert result.score.said.startswith("Score on ")
    assert [row[0] for row in result.table.texts()] == ["fine", "coarse"]
    assert result.matrix.rowCount() == 2
    assert "by blocks" in result.how.said
    assert len(ready.curves._snapshot.epochs) >= 2

    before = real_viewer.scene.camera.center if hasattr(real_viewer, "scene") else None
    box = result.pictures._box(0).center().toPoint()
    QTest.mouseClick(result.pictures, Qt.MouseButton.LeftButton, pos=QPoint(box.x(), box.y()))
    held = result._shown[0]
    assert f"row {held.place[0]}, column {held.place[2]}" in result.where.said
    assert any("tile to look at" in each.name for each in real_viewer.layers)
    assert before is None or real_viewer.scene.camera.center != before
    row, column = held.truth, held.truth
    if result.matrix.item(row, column).text():
        result.matrix.cellClicked.emit(row, column)
        assert "found as" in result.told.said

    result.classify.native.click()
    until(qtbot, lambda: result.saved is not None)
    assert result.saved.parent.name == "models"
    classifier = load_model(result.saved)
    assert classifier.card.name == "grains fine-tuned"
    assert classifier.card.tile_px == TILE
    classify = real_viewer.window.add_plugin_dock_widget(PLUGIN, "Classify")[1].opened
    assert classify.model_form.entry.path == result.saved
    assert classify.image_form.layer is layer
    assert result.suggested().name == "grains fine-tuned 2.safetensors"


def test_cancel_keeps_the_best_model_so_far(qtbot, ready):
    ready.schedule_form.set_stages(LONG_STAGE)
    ready.run_form.button.native.click()
    until(qtbot, lambda: ready._snapshot is not None and len(ready._snapshot.epochs) >= 2)
    assert "Epoch" in ready.now.said
    assert not ready.data_form.list.isEnabled()
    ready.run_form.stop.native.click()
    assert ready.run_form.left.said == "cancelling…"
    until(qtbot, lambda: not ready.busy)
    assert "this is the best model so far" in ready.run_form.message.said
    assert ready.result_form.outcome.cancelled
    assert ready.data_form.list.isEnabled()
    end_of_threads(qtbot)


def test_the_preview_is_back_after_cancel(qtbot, ready):
    pictures = ready.summary_form.pictures
    ready._refresh()
    until(qtbot, lambda: pictures.isVisibleTo(ready))
    before = pictures.shown
    QTest.mouseClick(ready.run_form.button.native, Qt.MouseButton.LeftButton)
    assert not pictures.isVisibleTo(ready)
    QTest.mouseClick(ready.run_form.stop.native, Qt.MouseButton.LeftButton)
    until(qtbot, lambda: not ready.busy)
    assert pictures.isVisibleTo(ready)
    assert "at 32 px" in ready.summary_form.told.said
    assert ready.summary_form.told.isVisibleTo(ready)
    assert pictures.shown is before


def test_a_preview_that_a_training_cut_off_is_made_after_it(qtbot, ready):
    form = ready.summary_form
    ready._refresh()
    form._settle.settle()
    assert form._drawing.running
    QTest.mouseClick(ready.run_form.button.native, Qt.MouseButton.LeftButton)
    QTest.mouseClick(ready.run_form.stop.native, Qt.MouseButton.LeftButton)
    until(qtbot, lambda: not ready.busy)
    until(qtbot, lambda: form.pictures.isVisibleTo(ready))


def test_the_bar_runs_once_from_left_to_right(qtbot, ready):
    ready.schedule_form.set_stages([("32", "1", "1", "1e-3", "1e-3"), *STAGE])
    values = []
    ready.run_form.bar.native.valueChanged.connect(values.append)
    train(qtbot, ready)
    shown = [value for value in values if value >= 0]  # a bar that only turns has no value
    assert shown
    assert shown == sorted(shown)


def test_cancel_before_there_is_a_model_changes_nothing(qtbot, ready):
    ready.run_form.button.native.click()
    ready.run_form.stop.native.click()
    until(qtbot, lambda: not ready.busy)
    assert ready.run_form.message.said.startswith("Cancelled before there was any model.")
    assert ready.result_form.outcome is None


def test_a_training_that_fails_says_so_in_one_sentence(qtbot, ready, monkeypatch):
    def fail(*_args, **_settings):
        raise DatasetError("The training came to no usable model: its loss is no number.")

    monkeypatch.setattr("napari_sem_classify.core.finetune.finetune.fine_tune", fail)
    train(qtbot, ready)
    assert ready.run_form.message.said == (
        "The training came to no usable model: its loss is no number. Earlier models are untouched."
    )
    assert ready.run_form.button.enabled


def test_removing_the_image_does_not_disturb_a_training(qtbot, ready, real_viewer, layer):
    ready.run_form.button.native.click()
    until(qtbot, lambda: ready._snapshot is not None)
    real_viewer.layers.remove(layer)
    until(qtbot, lambda: not ready.busy)
    assert ready.result_form.outcome is not None
    ready.result_form.pictures.choose(0)
    assert "not open" in ready.result_form.where.said


def test_closing_the_dock_ends_a_training_at_once(qtbot, ready, real_viewer):
    ready.schedule_form.set_stages(LONG_STAGE)
    ready.run_form.button.native.click()
    until(qtbot, lambda: ready._snapshot is not None)
    real_viewer.window.remove_dock_widget("all")
    end_of_threads(qtbot)
    ready._owner.deleteLater()
    qtbot.wait(50)


def test_a_worst_tile_of_a_folder_is_found_in_its_image_which_can_be_opened(
    qtbot, widget, real_viewer, tmp_path
):
    folder = write_classes(tmp_path / "set", {"a": 4, "b": 4}, shape=(64, 96))
    widget.data_form.use_folder(folder)
    until(qtbot, lambda: widget.data_form.choice is not None)
    widget.data_form.cut.value = True
    widget.data_form.cut_px.value = TILE
    until(qtbot, lambda: widget.data_form.choice is not None)
    widget.schedule_form.set_stages(STAGE)
    widget.summary_form.pause()
    train(qtbot, widget)
    result = widget.result_form
    held = next(each for each in result.outcome.held if each.place[0] and each.place[2])
    result._shown = [held]
    result._on_picture(0)
    assert "not open" in result.where.said
    assert len(real_viewer.layers) == 0
    result.open_image.native.click()
    image, mark = real_viewer.layers
    assert str(image.source.path) == str(held.path)
    top, _, left, _ = held.place
    assert np.allclose(mark.data[0].min(axis=0), (top - 0.5, left - 0.5))
    assert np.allclose(np.ptp(mark.data[0], axis=0), TILE)
    assert not result.open_image.native.isVisibleTo(widget)
    assert real_viewer.layers.selection.active is image


@pytest.mark.own_window
def test_closing_the_viewer_ends_a_training_and_keeps_its_checkpoint(
    qtbot, ready, real_viewer, monkeypatch
):
    monkeypatch.setattr(
        "napari_sem_classify.core.finetune.finetune_learner.CHECKPOINT_EVERY_S", 0.0
    )
    ready.schedule_form.set_stages(LONG_STAGE)
    ready.run_form.button.native.click()
    until(qtbot, lambda: ready._snapshot is not None and len(ready._snapshot.epochs) >= 2)
    real_viewer.close()
    end_of_threads(qtbot)
    assert "goes on from there" in training_tasks.interrupted(training_tasks.training_folder())


def test_fine_tune_is_a_page_of_teach_and_both_entries_open_the_one_dock(
    qtbot, layer, open_widget, real_viewer
):
    teach = open_widget("Teach")
    page = open_widget("Fine-tune")
    assert page is teach.fine_tuning
    assert teach.frame.page == "Fine-tune"
    tabs = teach.frame.tabs
    QTest.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=tabs.tabRect(0).center())
    assert teach.frame.page == "Annotate"
    assert open_widget("Teach") is teach
    assert [type(each).__name__ for each in docks_of(real_viewer)] == ["TeachDock"]


def test_a_widget_that_is_deleted_with_its_window_listens_no_more(qtbot, ready, real_viewer):
    ready._owner.deleteLater()
    qtbot.wait(50)
    real_viewer.layers.clear()
    real_viewer.add_image(np.zeros((32, 32), np.uint8))
