"""The Classify widget, from the empty viewer to the files, and everything that may go wrong."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.model.catalogue import catalogue
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.session import GridPlan, session_of
from napari_sem_classify.plugin.layers.made_layers import CLASSES, CONFIDENCE, made_from

from ..conftest import SlowEngine, half_dark, until


def run(qtbot, widget):
    widget.run_form.button.native.click()
    assert widget.busy
    until(qtbot, lambda: not widget.busy)


@pytest.fixture
def gate(small_model):
    """Lets the small model's batches through once it is set."""
    gate = threading.Event()
    small_model.engine = SlowEngine(gate)
    yield gate
    gate.set()


def table_texts(table):
    return [
        [table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())
    ]


# ---------------------------------------------------------------------- before a run


def test_an_empty_viewer_is_told_what_to_do_and_offered_the_sample(qtbot, open_widget, real_viewer):
    widget = open_widget("Classify")
    assert "Open an SEM image" in widget.image_form.empty.said
    assert not widget.image_form.sample_button.native.isHidden()
    assert not widget.run_form.button.enabled
    widget.image_form.sample_button.native.click()
    until(qtbot, lambda: any(layer._type_string == "image" for layer in real_viewer.layers))
    assert widget.image_form.empty.said == ""


def test_layers_that_are_no_images_are_told_apart(open_widget, real_viewer):
    real_viewer.add_points([[1, 2]])
    widget = open_widget("Classify")
    assert "None of the layers is an image" in widget.image_form.empty.said


def test_size_scale_and_info_bar_are_told_with_their_source(widget):
    assert widget.image_form.size.said.startswith("256 × 128 px · 10 nm/px")
    assert widget.image_form.bar.said


def test_tiles_and_time_are_told_before_running(qtbot, widget):
    until(qtbot, lambda: "about" in widget.estimate.said)
    assert widget.estimate.said.startswith("128 tiles")
    assert widget.estimate.said.endswith("CPU")


def test_a_second_run_is_told_to_find_its_tiles_known(qtbot, widget):
    until(qtbot, lambda: "about" in widget.estimate.said)
    assert "known" not in widget.estimate.said
    widget.classify()
    until(qtbot, lambda: not widget.busy and "all known" in widget.estimate.said)
    assert widget.estimate.said.startswith("128 tiles · all known · about")


def test_another_scale_than_the_models_gives_tiles_of_the_same_size_and_a_warning(
    qtbot, widget, real_viewer
):
    real_viewer.add_image(half_dark(), name="finer", scale=(5, 5), units=("nm", "nm"))
    until(qtbot, lambda: widget.image_form.size.said.count("5 nm/px"))
    assert widget.grid_form.tile_px.value == 32
    assert "= 160 nm" in widget.grid_form.equals.text()


@pytest.mark.parametrize(("nm", "tile"), [(25.02, 64), (24.7, 64), (30.0, 53)])
def test_64_px_stay_64_where_image_and_model_differ_by_rounding_alone(
    qtbot, widget, real_viewer, small_model, nm, tile
):
    card = replace(small_model.entry.card, tile_px=64, pixel_size_nm=25.0)
    widget.model_form.offer(
        replace(small_model.entry, name="coarse", path=Path("coarse"), card=card)
    )
    real_viewer.add_image(half_dark(), name="other", scale=(nm, nm), units=("nm", "nm"))
    until(qtbot, lambda: f"{nm:g} nm/px" in widget.image_form.size.said)
    assert widget.grid_form.tile_px.value == tile


def test_an_image_without_a_scale_says_so_and_offers_pixels_only(qtbot, widget, real_viewer):
    real_viewer.add_image(half_dark(), name="bare")
    until(qtbot, lambda: "not calibrated" in widget.image_form.size.said)
    assert list(widget.grid_form.unit.choices) == ["px"]
    assert "no pixel size" in widget.scale_note.said or "model" in widget.scale_note.said


def test_correcting_the_info_bar_and_the_scale_changes_what_is_classified(qtbot, widget):
    widget.image_form.bar_rows.value = 32
    widget.image_form.pixel_nm.value = 20.0
    image = widget.image_form.image
    assert image.area.bottom == 96
    assert image.pixel_size_nm == 20.0
    assert "set by you" in widget.image_form.bar.said
    assert "set by you" in widget.image_form.size.said


def test_tile_size_in_micrometres_is_the_same_tile(widget):
    widget.grid_form.unit.value = "µm"
    widget.grid_form.tile_um.value = 0.32
    assert widget.grid_form.tile_px.value == 32
    assert widget.estimate.said.startswith("32 tiles")


def test_a_file_that_is_no_model_is_refused_in_a_sentence(widget, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x80\x04pickle")
    widget.model_form.open_file(bad)
    assert str(bad) in widget.model_form.problem.said
    assert widget.model_form.entry.name == "brightness"


def test_showing_the_grid_adds_a_layer_and_hiding_it_takes_it_away(widget, real_viewer):
    widget.grid_form.show.value = True
    assert "sample_1 · grid" in real_viewer.layers
    assert real_viewer.layers["sample_1 · grid"].data.shape == (8, 16)
    widget.grid_form.overlap.value = 50
    assert real_viewer.layers["sample_1 · grid"].data.shape == (15, 31)
    widget.grid_form.show.value = False
    assert "sample_1 · grid" not in real_viewer.layers


# ---------------------------------------------------------------------- a run


def test_a_run_makes_map_confidence_and_table_that_agree(qtbot, widget, real_viewer, image_layer):
    run(qtbot, widget)
    (layer,) = made_from(real_viewer, image_layer, CLASSES)
    (confidence,) = made_from(real_viewer, image_layer, CONFIDENCE)
    class_map = session_of(real_viewer).maps[layer][()]
    np.testing.assert_array_equal(layer.data, class_map.labels())
    assert (layer.data[:, :8] == 1).all()
    assert (layer.data[:, 8:] == 2).all()
    assert tuple(layer.scale) == (160, 160)
    assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
    assert tuple(confidence.scale) == (160, 160)
    expected = [
        [share.name, str(share.cells), f"{100 * share.fraction:.1f} %"]
        for share in class_map.fractions()
    ]
    assert table_texts(widget.result_form.table) == expected
    assert [row[1:] for row in expected] == [["64", "50.0 %"], ["64", "50.0 %"]]
    assert widget.run_form.message.said.startswith("Done: 128 tiles")


def test_a_second_run_takes_the_place_of_the_first(qtbot, widget, real_viewer, image_layer):
    run(qtbot, widget)
    widget.grid_form.overlap.value = 50
    run(qtbot, widget)
    (layer,) = made_from(real_viewer, image_layer, CLASSES)
    assert layer.data.shape == (16, 32)
    assert layer.name == "sample_1 · classes"
    assert len(made_from(real_viewer, image_layer, CONFIDENCE)) == 1
    assert widget.result_form.table.horizontalHeaderItem(1).text() == "Cells"


def test_the_results_are_written_as_files(qtbot, widget, tmp_path):
    run(qtbot, widget)
    export = widget.measure.export_form
    until(qtbot, lambda: export.run_form.button.enabled)
    export.write_usual(tmp_path / "out")
    until(qtbot, lambda: "files written" in export.run_form.message.said)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"sample_1.tiles.csv", "sample_1.summary.json", "sample_1.map.tif"} <= names


def test_a_folder_that_cannot_be_written_is_told_beside_the_button(qtbot, widget, tmp_path):
    run(qtbot, widget)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    export = widget.measure.export_form
    until(qtbot, lambda: export.run_form.button.enabled)
    export.write_usual(blocked)
    until(qtbot, lambda: str(blocked) in export.run_form.message.said)
    assert "Traceback" not in export.run_form.message.said


def test_the_table_is_copied_for_a_spreadsheet(qtbot, widget):
    from qtpy.QtWidgets import QApplication

    run(qtbot, widget)
    widget.result_form.table.copy()
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:3] == ["Class", "Tiles", "Fraction"]
    assert lines[1].split("\t")[:2] == ["dark", "64"]


def test_all_planes_of_a_stack_are_classified_and_the_table_follows_the_view(
    qtbot, widget, real_viewer
):
    stack = np.stack([half_dark(), half_dark()[:, ::-1], np.full((128, 256), 190, np.uint8)])
    stack = stack + (np.indices((128, 256)).sum(axis=0) % 2).astype(np.uint8)
    real_viewer.add_image(stack, name="stack", scale=(50, 10, 10), units=("nm",) * 3)
    until(qtbot, lambda: "3 planes" in widget.image_form.size.said)
    run(qtbot, widget)
    layer = real_viewer.layers["stack · classes"]
    assert layer.data.shape == (3, 8, 16)
    assert (layer.data[0, :, 0] == 1).all()
    assert (layer.data[1, :, 0] == 2).all()
    real_viewer.dims.set_current_step(0, 0)
    first = table_texts(widget.result_form.table)
    real_viewer.dims.set_current_step(0, 2)
    assert table_texts(widget.result_form.table) != first


def test_tiles_laid_with_tile_image_are_the_ones_classified(
    qtbot, widget, real_viewer, image_layer
):
    grid = TileGrid(Area(0, 64, 0, 64), 32, 32)
    keep = np.array([[True, False], [True, True]])
    session = session_of(real_viewer)
    session.plans[image_layer] = GridPlan(grid, keep)
    session.plan_changed.emit(image_layer)
    assert widget.estimate.said.startswith("3 tiles")
    run(qtbot, widget)
    (layer,) = made_from(real_viewer, image_layer, CLASSES)
    np.testing.assert_array_equal(layer.data, [[1, 0], [1, 1]])
    widget.use_plan.value = False
    assert widget.estimate.said.startswith("128 tiles")


# ---------------------------------------------------------------------- a run that stops


def test_cancelling_leaves_the_earlier_map_as_it_was(
    qtbot, widget, real_viewer, image_layer, small_model, gate
):
    gate.set()
    run(qtbot, widget)
    (before,) = made_from(real_viewer, image_layer, CLASSES)
    labels = before.data.copy()
    gate.clear()
    widget.grid_form.overlap.value = 50
    widget.run_form.button.native.click()
    assert not widget.run_form.button.enabled
    widget.run_form.stop.native.click()
    assert widget.run_form.left.said == "cancelling…"
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert "Cancelled" in widget.run_form.message.said
    assert widget.run_form.button.enabled
    (after,) = made_from(real_viewer, image_layer, CLASSES)
    assert after is before
    assert after.visible
    np.testing.assert_array_equal(after.data, labels)


def test_deleting_the_image_during_a_run_stops_it(qtbot, widget, real_viewer, image_layer, gate):
    widget.run_form.button.native.click()
    real_viewer.layers.remove(image_layer)
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert "Stopped" in widget.run_form.message.said
    assert not any("classes" in layer.name for layer in real_viewer.layers)


def test_renaming_the_image_during_a_run_does_no_harm(
    qtbot, widget, real_viewer, image_layer, gate
):
    widget.run_form.button.native.click()
    image_layer.name = "another name"
    gate.set()
    until(qtbot, lambda: not widget.busy)
    assert "another name · classes" in real_viewer.layers


def test_closing_the_widget_during_a_run_stops_the_worker(
    qtbot, widget, real_viewer, image_layer, gate
):
    widget.run_form.button.native.click()
    real_viewer.window.remove_dock_widget(widget)
    gate.set()
    until(qtbot, lambda: not _at_work())
    assert not made_from(real_viewer, image_layer, CLASSES)
    # napari takes the widget out of its dock and leaves it to whoever holds it.
    widget.deleteLater()
    qtbot.wait(50)


@pytest.mark.own_window
def test_closing_the_viewer_during_a_run_stops_the_worker(qtbot, widget, real_viewer, gate):
    widget.run_form.button.native.click()
    real_viewer.close()
    gate.set()
    until(qtbot, lambda: not _at_work())


def _at_work():
    return [t for t in threading.enumerate() if t.name.startswith("sem-classify: classifying")]


def test_a_failure_is_one_sentence_in_the_widget(qtbot, widget, real_viewer, small_model):
    class Broken(type(small_model.engine)):
        def embed(self, batch, intensity):
            raise MemoryError

    small_model.engine = Broken(batch_size=8)
    run(qtbot, widget)
    assert "ran out of memory" in widget.run_form.message.said
    assert not any("classes" in layer.name for layer in real_viewer.layers)


# ---------------------------------------------------------------------- the real thing


def test_a_real_image_with_the_shipped_model(
    qtbot, viewer, real_viewer, open_widget, shared_data, tmp_path
):
    shipped = [entry for entry in catalogue() if entry.source == "shipped" and entry.card]
    if not shipped:
        pytest.skip("no model comes with this copy of the program")
    path = shared_data / "nasa" / "images" / "ebc__010417_4_S2480009.png"
    viewer.open(str(path), plugin="napari-sem-classify")
    widget = open_widget("Classify")
    assert widget.model_form.entry.name == shipped[0].name
    until(qtbot, lambda: widget.image_form.image is not None)
    widget.grid_form.tile_px.value = 128
    run(qtbot, widget)
    layer = real_viewer.layers["ebc__010417_4_S2480009 · classes"]
    class_map = session_of(real_viewer).maps[layer][()]
    assert layer.data.shape == (8, 8)
    assert set(np.unique(layer.data)) <= set(range(1, len(class_map.classes) + 1))
    shares = class_map.fractions()
    assert sum(share.fraction for share in shares) == pytest.approx(1.0)
    assert [row[2] for row in table_texts(widget.result_form.table)] == [
        f"{100 * share.fraction:.1f} %" for share in shares
    ]
    assert list(layer.features["class"])[1:] == [share.name for share in shares]
    picture = real_viewer.screenshot(str(tmp_path / "map.png"), canvas_only=False, flash=False)
    assert (tmp_path / "map.png").stat().st_size > 0
    assert picture[..., :3].std() > 10
