"""The Batch widget: a folder in, maps, one table and one report out, whatever happens between."""

from __future__ import annotations

import csv
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sem_classify.core.batch.batch_outcome import ImageOutcome
from napari_sem_classify.core.batch.batch_plan import images_to_classify, plan_batch
from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.model.transfer import Expected, Judgement
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.batch import work
from napari_sem_classify.plugin.layers.made_layers import CLASSES, kind_of

from ..conftest import SlowEngine, half_dark, until


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What is learned of tiles stays out of the user's cache."""
    folder = tmp_path / "known-tiles"
    monkeypatch.setattr(
        "napari_sem_classify.core.network.embedding_cache.default_folder", lambda: folder
    )


@pytest.fixture
def folder(tmp_path):
    """Six images, one of them no image at all."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(5):
        pixels = half_dark(64, 96 + 16 * number)
        pixels[0, 0] = 100 + number
        Image.fromarray(pixels).save(folder / f"field_{number}.png")
    (folder / "field_9.png").write_bytes(b"notes")
    return folder


@pytest.fixture
def widget(qtbot, open_widget, small_model):
    widget = open_widget("Batch")
    widget.model_form.offer(small_model.entry)
    for kind in ("tiles", "overlay"):  # pictures take their time
        widget.target_form.kinds[kind].value = False
    until(qtbot, lambda: not widget.looking)
    return widget


@pytest.fixture
def gate(small_model):
    """Lets the small model's batches through once it is set."""
    gate = threading.Event()
    small_model.engine = SlowEngine(gate)
    yield gate
    gate.set()


def look_at(qtbot, widget, *paths):
    widget.source_form.add(paths)
    until(qtbot, lambda: not widget.looking)


def open_row(table, row):
    """A double-click on the first cell of a row, as the mouse gives it."""
    spot = table.visualItemRect(table.item(row, 0)).center()
    for click in (QTest.mouseClick, QTest.mouseDClick):
        click(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)


def run(qtbot, widget):
    widget.run_form.button.native.click()
    assert widget.busy
    until(qtbot, lambda: not widget.busy)
    until(qtbot, lambda: not widget.looking)


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def at_work():
    return [t for t in threading.enumerate() if t.name.startswith("sem-classify: ")]


# ---------------------------------------------------------------------- before a run


def test_an_empty_widget_says_what_to_do(widget):
    assert "Add a folder of images" in widget.source_form.empty.said
    assert not widget.run_form.button.enabled
    assert "Add images" in widget.run_form.button.native.toolTip()


def test_images_tiles_time_and_bad_files_are_told_before_running(qtbot, widget, folder):
    look_at(qtbot, widget, folder)
    until(qtbot, lambda: "about" in widget.plan_form.estimate.said)
    tiles = sum(4 * (6 + number) for number in range(5))
    assert widget.plan_form.estimate.said.startswith(f"5 images · {tiles} tiles · about")
    assert widget.plan_form.estimate.said.endswith("CPU")
    assert widget.source_form.count.said == "6 images"
    assert "field_9.png" in widget.plan_form.unusable.said
    assert "no pixel size" in widget.plan_form.scale.said
    assert widget.target_form.folder.text() == str(folder / "classified")
    assert widget.run_form.button.enabled


def test_another_tile_size_and_overlap_change_the_number_of_tiles(qtbot, widget, folder):
    look_at(qtbot, widget, folder / "field_0.png")
    assert "24 tiles" in widget.plan_form.estimate.said
    assert not widget.tile_form.grid.tile_px.enabled
    widget.tile_form.as_learned.value = False
    widget.tile_form.grid.tile_px.value = 32
    until(qtbot, lambda: not widget.looking)
    assert "6 tiles" in widget.plan_form.estimate.said
    widget.tile_form.grid.overlap.value = 50
    until(qtbot, lambda: not widget.looking)
    assert "15 tiles" in widget.plan_form.estimate.said


def test_fine_maps_and_flat_tiles_are_advanced_settings(widget):
    form = widget.tile_form
    widget.frame.turn_to("Settings")
    assert not form.dense.native.isVisibleTo(widget)
    widget.advanced.button.click()
    assert form.dense.native.isVisibleTo(widget)
    form.skip_flat.value = form.int8.value = True
    assert widget.wish.options.dtype == "int8"
    form.dense.value = True
    assert widget.wish.options == ClassifyOptions(dense=True, skip_flat=True)
    assert widget.wish.options.dtype == "auto"
    assert not form.int8.enabled


def test_the_time_of_a_fine_map_is_that_of_its_area_not_of_its_tiles(
    qtbot, widget, folder, small_model
):
    look_at(qtbot, widget, folder / "field_0.png")
    widget.tile_form.dense.value = True
    card = replace(small_model.classifier.card, network_px=128)
    wish, looked = replace(widget.wish, card=card), widget._found.looked
    found = work.Look(looked, plan_batch(looked, card, wish.options))
    tiles = sum(found.plan.tiles.values())
    assert tiles == 13 * 21  # every 4 px
    assert work.cost_of_tile(found, wish) * tiles == pytest.approx(1.5 * 24)


def test_flat_tiles_are_left_out_as_on_the_command_line(qtbot, widget, tmp_path):
    pixels = half_dark(64, 96)
    pixels[:32, :32] = 128
    Image.fromarray(pixels).save(tmp_path / "part_flat.png")
    widget.tile_form.skip_flat.value = True
    look_at(qtbot, widget, tmp_path / "part_flat.png")
    run(qtbot, widget)
    from tifffile import imread

    labels = imread(tmp_path / "classified" / "part_flat.map.tif")
    assert not labels[:2, :2].any()
    assert labels[2:, 2:].all()


def test_8_bit_arithmetic_that_cannot_be_is_one_sentence(qtbot, widget, folder, monkeypatch):
    def refuse(_classifier, _images, options, _job):
        assert options.dtype == "int8"
        raise DeviceError("8-bit arithmetic is there with OpenVINO on the CPU alone.")

    monkeypatch.setattr("napari_sem_classify.core.classify.engine_choice.engine_for_images", refuse)
    widget.tile_form.int8.value = True
    look_at(qtbot, widget, folder)
    run(qtbot, widget)
    assert widget.run_form.message.said.startswith("8-bit arithmetic is there with OpenVINO")
    assert not (folder / "classified" / "batch.csv").exists()


def test_a_folder_without_images_is_told_beside_the_list(qtbot, widget, tmp_path):
    (tmp_path / "empty").mkdir()
    look_at(qtbot, widget, tmp_path / "empty")
    assert "holds no images" in widget.source_form.problem.said
    assert not widget.run_form.button.enabled
    widget.source_form.take_out()
    until(qtbot, lambda: not widget.looking)
    assert widget.source_form.problem.said == ""
    assert "Add a folder" in widget.source_form.empty.said


def test_an_output_folder_that_is_a_file_is_told_beside_it(qtbot, widget, folder):
    look_at(qtbot, widget, folder)
    widget.target_form.use(folder / "field_0.png")
    until(qtbot, lambda: not widget.looking)
    assert "is a file" in widget.target_form.note.said
    assert not widget.run_form.button.enabled


# ---------------------------------------------------------------------- a run


def test_a_batch_writes_what_the_command_line_writes(qtbot, widget, folder, small_model, tmp_path):
    look_at(qtbot, widget, folder)
    run(qtbot, widget)
    out = folder / "classified"
    assert len(rows_of(out / "batch.csv")) == 5
    assert [row["image"] for row in rows_of(out / "batch.failures.csv")] == [
        str(folder / "field_9.png")
    ]
    assert (out / "batch.html").is_file()
    other = tmp_path / "other"
    classify_many(
        images_to_classify([folder]),
        small_model.classifier,
        BatchTarget(other, kinds=()),
        ClassifyOptions(cache=False),
        engine=small_model.engine,
    )
    maps = sorted(path.name for path in other.glob("*.map.tif"))
    assert sorted(path.name for path in out.glob("*.map.tif")) == maps
    from tifffile import imread

    for name in maps:
        assert np.array_equal(imread(out / name), imread(other / name))
    assert widget.run_form.message.said.startswith("Done: 5 images in")
    assert "1 could not be used" in widget.run_form.message.said


def test_done_images_and_failures_are_listed_with_their_sentence(qtbot, widget, folder):
    look_at(qtbot, widget, folder)
    run(qtbot, widget)
    form = widget.outcome_form
    names = [row[0] for row in form.done.texts()]
    assert names == [f"field_{number}.png" for number in range(5)]
    assert all("%" in row[1] for row in form.done.texts())
    ((name, sentence),) = form.failed.texts()
    assert name == "field_9.png"
    assert "field_9.png" in sentence
    asked = []
    form.open_url = asked.append
    form.report.native.click()
    form.folder.native.click()
    assert [url.toLocalFile() for url in asked] == [
        str(folder / "classified" / "batch.html"),
        str(folder / "classified"),
    ]


def test_double_clicking_a_done_image_opens_it_with_its_map_once(
    qtbot, widget, folder, real_viewer
):
    look_at(qtbot, widget, folder)
    run(qtbot, widget)
    open_row(widget.outcome_form.done, 1)
    names = [layer.name for layer in real_viewer.layers]
    assert names == ["field_1", "field_1 · confidence", "field_1 · classes"]
    (made,) = [layer for layer in real_viewer.layers if kind_of(layer) == CLASSES]
    class_map = session_of(real_viewer).maps[made][()]
    assert np.array_equal(made.data, class_map.labels())
    assert session_of(real_viewer).source_of(made) is real_viewer.layers["field_1"]
    open_row(widget.outcome_form.done, 1)
    assert len(real_viewer.layers) == 3
    (folder / "classified" / "field_2.map.tif").unlink()
    open_row(widget.outcome_form.done, 2)
    assert "not there any more" in widget.open_problem.said


def test_a_result_that_is_opened_and_corrected_is_done_again_with_the_next_run_and_no_other(
    qtbot, widget, folder, real_viewer, open_widget
):
    look_at(qtbot, widget, folder)
    run(qtbot, widget)
    table = widget.outcome_form.done
    row = next(r for r in range(table.rowCount()) if table.item(r, 0).text() == "field_1.png")
    open_row(table, row)
    layer = real_viewer.layers["field_1"]
    form = open_widget("Tile image").image_form
    real_viewer.layers.selection.active = layer
    until(qtbot, lambda: form.layer is layer and form.image is not None)
    form.pixel_nm.value = 10.0  # that of the model: before, nothing was known of it
    until(qtbot, lambda: not widget.looking)
    run(qtbot, widget)
    rows = {each.path.name: each for each in widget._outcomes if not each.problem}
    assert [name for name, each in rows.items() if not each.resumed] == ["field_1.png"]
    assert rows["field_1.png"].planes[0]["pixel_size_nm"] == 10.0
    assert rows["field_1.png"].stem == "field_1"
    maps = sorted(path.name for path in (folder / "classified").glob("*.map.tif"))
    assert maps == [f"field_{number}.map.tif" for number in range(5)]
    real_viewer.layers.clear()
    until(qtbot, lambda: not widget.looking)


def test_images_that_are_open_are_classified_with_the_scale_set_there(
    qtbot, widget, real_viewer, tmp_path
):
    real_viewer.add_image(half_dark(), name="open one", scale=(10, 10), units=("nm", "nm"))
    real_viewer.add_image(half_dark(64, 64), name="bare")
    widget.source_form.open_images.native.click()
    widget.target_form.use(tmp_path / "out")
    until(qtbot, lambda: not widget.looking)
    assert "2 images · 144 tiles" in widget.plan_form.estimate.said
    assert "bare: this image has no pixel size" in widget.plan_form.scale.said
    run(qtbot, widget)
    rows = rows_of(tmp_path / "out" / "batch.csv")
    assert [row["pixel_size_nm"] for row in rows] == ["10", ""]
    assert float(rows[0]["area_um2"]) == pytest.approx(1.28 * 2.56)
    real_viewer.layers.remove("bare")
    until(qtbot, lambda: not widget.looking)
    assert len(widget.source_form) == 1


# ---------------------------------------------------------------------- a run that stops


def test_a_cancelled_batch_keeps_what_is_finished_and_goes_on_there(
    qtbot, widget, folder, small_model, gate
):
    look_at(qtbot, widget, folder)
    gate.set()
    widget.run_form.button.native.click()
    until(qtbot, lambda: widget.outcome_form.done.rowCount() >= 1 or not widget.busy)
    gate.clear()
    finished_before_cancel = widget.outcome_form.done.rowCount()
    if widget.busy:
        widget.run_form.stop.native.click()
        assert widget.run_form.left.said == "cancelling…"
        gate.set()
        until(qtbot, lambda: not widget.busy)
        assert "Cancelled" in widget.run_form.message.said
    gate.set()
    until(qtbot, lambda: not widget.looking)
    assert finished_before_cancel >= 1
    plan = widget._found.plan
    assert len(plan.finished) >= finished_before_cancel
    said = widget.plan_form.earlier.said
    assert f"{len(plan.finished)} of 6 done earlier" in said or said.startswith("All done: 5")
    run(qtbot, widget)
    states = [row[-1] for row in widget.outcome_form.done.texts()]
    assert states.count("earlier") == len(plan.finished)
    assert len(states) == 5


def test_cancelling_in_the_first_image_answers_within_a_batch(
    qtbot, widget, folder, small_model, gate
):
    look_at(qtbot, widget, folder)
    widget.run_form.button.native.click()
    until(qtbot, lambda: "field_0.png (1 of 6)" in widget.current.said)
    widget.run_form.stop.native.click()
    calls = small_model.engine.calls
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert small_model.engine.calls <= calls + 2
    assert widget.run_form.message.said == "Cancelled: no image was finished."
    assert not list((folder / "classified").glob("*.map.tif"))


def test_what_is_done_is_not_done_twice_unless_asked(qtbot, widget, folder, small_model):
    look_at(qtbot, widget, folder)
    run(qtbot, widget)
    assert widget.plan_form.earlier.said.startswith("All done: 5 images finished")
    calls = small_model.engine.calls
    run(qtbot, widget)
    assert small_model.engine.calls == calls
    assert "5 of them done earlier" in widget.run_form.message.said
    widget.target_form.again.value = True
    until(qtbot, lambda: not widget.looking)
    assert widget.plan_form.estimate.said.startswith("5 images")
    run(qtbot, widget)
    assert {row[-1] for row in widget.outcome_form.done.texts()} == {"✓"}


def test_a_folder_that_goes_bad_in_mid_run_is_one_sentence(qtbot, widget, folder, gate, tmp_path):
    out = tmp_path / "out"
    widget.target_form.use(out)
    look_at(qtbot, widget, folder)
    widget.run_form.button.native.click()
    until(qtbot, lambda: "(1 of 6)" in widget.current.said)
    shutil.rmtree(out)
    out.write_text("a file by now")
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert str(out) in widget.run_form.message.said
    assert widget.run_form.message.said.endswith("No image was finished.")
    assert widget.source_form.folder.enabled


def test_closing_the_widget_in_mid_run_stops_the_worker(qtbot, widget, folder, real_viewer, gate):
    look_at(qtbot, widget, folder)
    widget.run_form.button.native.click()
    real_viewer.window.remove_dock_widget(widget)
    gate.set()
    until(qtbot, lambda: not at_work())
    widget.deleteLater()
    qtbot.wait(50)


@pytest.mark.own_window
def test_closing_the_viewer_in_mid_run_stops_the_worker(qtbot, widget, folder, real_viewer, gate):
    look_at(qtbot, widget, folder)
    widget.run_form.button.native.click()
    real_viewer.close()
    gate.set()
    until(qtbot, lambda: not at_work())


# ---------------------------------------------------------------------- for everyone


def test_it_fits_the_dock_and_every_control_has_a_name_and_a_tooltip(qtbot, widget, folder):
    from qtpy.QtWidgets import (
        QAbstractButton,
        QComboBox,
        QLineEdit,
        QListWidget,
        QTabBar,
        QTableWidget,
    )

    look_at(qtbot, widget, folder)
    run(qtbot, widget)
    assert widget.minimumSizeHint().width() <= 340
    inner = (QComboBox, QTableWidget, QTabBar)
    for kind in (QAbstractButton, QComboBox, QListWidget, QTableWidget, QLineEdit):
        for control in widget.findChildren(kind):
            parent = control.parent()
            if control.objectName().startswith("qt_") or isinstance(parent, inner):
                continue
            if "SpinBox" in type(parent).__name__:
                continue
            assert control.accessibleName(), control
            assert control.toolTip(), control.accessibleName()


def outcome(path, estimate):
    """An image of a batch with the accuracy to expect there; None where that is not known."""
    verdict = "unknown" if estimate is None else ("like" if estimate > 0.9 else "unlike")
    expected = None if estimate is None else Expected(estimate, estimate - 0.1, estimate)
    plane = {"plane": [], "classes": [], **Judgement(verdict, "", expected=expected).to_dict()}
    return ImageOutcome(path, path.stem, planes=(plane,))


def test_the_table_of_results_begins_with_what_the_model_is_worst_on(qtbot, widget, tmp_path):
    estimates = {"a": 0.95, "b": None, "c": 0.6, "d": 0.8}
    outcomes = [outcome(tmp_path / f"{name}.png", each) for name, each in estimates.items()]
    form, opened = widget.outcome_form, []
    form.opened.disconnect()
    form.opened.connect(lambda each: opened.append(each.stem))
    form.show(outcomes)
    assert [row[0] for row in form.done.texts()] == ["a.png", "b.png", "c.png", "d.png"]
    form.sort()
    assert [row[0] for row in form.done.texts()] == ["c.png", "d.png", "a.png", "b.png"]
    open_row(form.done, 0)
    assert opened == ["c"]
