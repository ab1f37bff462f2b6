"""Outlines are measured like maps, and points correct them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from class_maps import map_of
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sem_classify.core.measure.review_file import load_review
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.layers.outline_layer import show_outlines
from napari_sem_classify.plugin.measure.widget import REGIONS

from ..conftest import until
from .conftest import COLS, NM, ROWS, begin


@pytest.fixture
def outlines(qtbot, real_viewer, widget, layer, truth):
    """Outlines over the map, four pixels too low."""
    tiles = map_of(truth, pixel_size_nm=NM)
    fine = np.roll(tiles.probabilities.repeat(4, axis=0).repeat(4, axis=1), 1, axis=0)
    cells = replace(tiles, probabilities=fine, grid=TileGrid(tiles.grid.area, 16, 4))
    yield show_outlines(real_viewer, real_viewer.layers["coating_12"], cells)
    work = widget.fraction_form._resampling, widget.region_form._measuring
    until(qtbot, lambda: not any(slot.running for slot in work))


def tick(qtbot, widget, layer):
    widget.map_list.refresh()
    listed = widget.map_list.list
    (row,) = (n for n in range(listed.count()) if listed.item(n).text() == layer.name)
    listed.item(row).setCheckState(Qt.CheckState.Checked)
    until(qtbot, lambda: [each.layer for each in widget.fields] == [layer])


def test_outlines_are_ticked_in_place_of_the_map_and_measured_as_painted(
    qtbot, real_viewer, widget, layer, outlines
):
    assert [each.layer for each in widget.fields] == [layer]  # until she asks for outlines
    tick(qtbot, widget, outlines)
    (field,) = widget.fields
    assert field.class_map.grid.shape == outlines.data.shape == (16 * ROWS, 16 * COLS)
    assert field.saved.image_path is not None
    before = field.class_map.fractions()[2].fraction
    outlines.brush_size = 40
    outlines.paint((60, 60), 3)
    share = (outlines.data == 3).mean()
    assert share > before
    until(qtbot, lambda: widget.fields[0].class_map.fractions()[2].fraction == pytest.approx(share))
    widget.tabs.setCurrentIndex(REGIONS)
    until(qtbot, lambda: len(widget.region_form.table.regions.rows) > 3)
    assert widget._measured() is not None


@pytest.mark.filterwarnings("ignore")
def test_points_are_asked_one_by_one_and_correct_the_areas(
    qtbot, real_viewer, widget, layer, outlines, picture, truth
):
    tick(qtbot, widget, outlines)
    begin(widget, 60)
    assert not outlines.visible and not layer.visible  # blind
    assert "amid the cross" in widget.review_form.cell_form.where.said
    mask = np.kron(truth, np.ones((16, 16), int))
    cross = widget.review_form.spotlight.outline
    canvas = real_viewer.window._qt_viewer.canvas.native
    while (cell := widget.reviewer.cell) is not None:
        middle = np.mean([np.mean(arm, axis=0) for arm in cross.data], axis=0)
        assert np.allclose(middle, (cell.row, cell.col))
        here = widget.reviewer.at
        QTest.keyClick(canvas, Qt.Key(Qt.Key.Key_0 + int(mask[cell.row, cell.col])))
        assert widget.reviewer.at != here
    found = widget.reviewer.corrected().estimate
    for k in (1, 2, 3):
        assert found.corrected[k - 1].low <= (mask == k).mean() <= found.corrected[k - 1].high
    assert "60 reviewed points" in widget.fraction_form.corrected_note.said
    (path,) = picture.parent.glob("*.review.json")
    review = load_review(path)
    assert review.points and review.blind and review.n_answered == 60


def test_a_blind_review_of_tiles_hides_the_outlines_too(widget, outlines):
    begin(widget, 10)
    assert not outlines.visible
