"""A scale is not lost: files that napari's own reader opened, other images, series, stacks."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.plugin.files.reader import read_images
from napari_sem_classify.plugin.layers.image_corrections import corrections_of
from napari_sem_classify.plugin.layers.layer_image import pixel_size_nm

from ..conftest import half_dark, until

FEI_TAG, ASCII = 34682, 2


def fei_file(path, nm=4.2, rows=180, cols=200):
    """A picture with a bar of 20 rows and FEI's tag."""
    lines = [
        "[System]",
        "SystemType=Helios G4",
        "[Scan]",
        f"PixelWidth={nm}e-009",
        f"PixelHeight={nm}e-009",
        "[Image]",
        f"ResolutionX={cols}",
        f"ResolutionY={rows}",
    ]
    picture = with_bar(specimen(rows, cols), panel(20, cols))
    tag = (FEI_TAG, ASCII, 0, "\r\n".join([*lines, ""]), True)
    tifffile.imwrite(path, picture, extratags=[tag], metadata=None)
    return path


@pytest.fixture
def opened_by_napari(real_viewer, tmp_path):
    """An image layer as napari's own reader gives it: pixels and nothing else."""
    [layer] = real_viewer.open(str(fei_file(tmp_path / "old.tif")), plugin="napari")
    assert pixel_size_nm(layer) is None
    return layer


def header(open_widget):
    return open_widget("Classify").image_form


def test_a_file_opened_by_napari_gets_the_makers_scale_and_bar(
    qtbot, opened_by_napari, open_widget
):
    form = header(open_widget)
    until(qtbot, lambda: form.image is not None)
    assert pixel_size_nm(opened_by_napari) == pytest.approx(4.2)
    assert "4.2 nm/px (FEI metadata)" in form.size.said
    assert form.image.area.bottom == 180
    assert form.image.vendor == "FEI"
    assert "read from its file" in form.told.said
    assert form.undo.enabled


def test_that_can_be_taken_back_for_good(qtbot, opened_by_napari, open_widget):
    form = header(open_widget)
    until(qtbot, lambda: form.image is not None)
    form.undo.native.click()
    until(qtbot, lambda: form.image is not None and form.image.pixel_size_nm is None)
    assert pixel_size_nm(opened_by_napari) is None
    assert form.told.said == ""
    second = header(open_widget)
    until(qtbot, lambda: second.image is not None)
    assert pixel_size_nm(opened_by_napari) is None


def test_a_scale_that_somebody_gave_the_layer_stays(qtbot, opened_by_napari, open_widget):
    opened_by_napari.units, opened_by_napari.scale = ("nm", "nm"), (7.0, 7.0)
    form = header(open_widget)
    until(qtbot, lambda: form.image is not None)
    assert pixel_size_nm(opened_by_napari) == pytest.approx(7.0)
    assert "7 nm/px (layer scale)" in form.size.said
    assert form.image.area.bottom == 180


def test_the_scale_of_another_image_and_of_a_whole_series(qtbot, real_viewer, open_widget):
    first, second, third = (
        real_viewer.add_image(half_dark(), name=f"field {number}") for number in range(3)
    )
    other = real_viewer.add_image(half_dark(64, 64), name="other", scale=(5, 5), units=("nm", "nm"))
    real_viewer.layers.selection.active = first
    widget = open_widget("Classify")
    form = widget.image_form
    until(qtbot, lambda: form.image is not None and form.layer is first)
    calibration = form.calibration_form
    assert not calibration.series.enabled
    calibration.like.native.click()
    [action] = calibration.menu.actions()
    assert "other: 5 nm" in action.text()
    action.trigger()
    calibration.menu.hide()
    assert pixel_size_nm(first) == pytest.approx(5)
    assert "5 nm/px (as other)" in form.size.said
    calibration.series.native.click()
    assert [pixel_size_nm(each) for each in (second, third)] == pytest.approx([5, 5])
    assert "2 other images" in calibration.problem.said
    corrections_of(real_viewer).undo(second)
    assert pixel_size_nm(third) is None
    assert pixel_size_nm(first) == pytest.approx(5)
    assert pixel_size_nm(other) == pytest.approx(5)


def test_planes_of_a_stack_are_as_far_apart_as_the_file_says(tmp_path):
    stack = np.stack([half_dark(seed_rows, 60) for seed_rows in (64, 64, 64)])
    told = {"axes": "ZYX", "spacing": 0.05, "unit": "um"}
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack, imagej=True, resolution=(100.0, 100.0), metadata=told)
    [(_, keywords, _)] = read_images(path)
    assert keywords["scale"] == pytest.approx((50.0, 10.0, 10.0))
    assert keywords["units"] == ("nm", "nm", "nm")


def test_a_picture_in_colour_is_told(qtbot, real_viewer, open_widget):
    colours = np.stack([half_dark(), 255 - half_dark(), half_dark() // 2], axis=-1)
    real_viewer.add_image(colours, name="photograph", rgb=True)
    form = header(open_widget)
    until(qtbot, lambda: form.image is not None)
    assert "colour" in form.told.said
