"""A viewer that is killed while it saves loses at most the last stroke."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations

from ..conftest import half_dark, until
from .conftest import TILE, counts

PAINT_IN_A_VIEWER = """
import sys
import time

import napari
from qtpy.QtWidgets import QApplication


def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.002)


viewer = napari.Viewer(show=False)
viewer.open(sys.argv[1], plugin="napari-sem-classify")
widget = viewer.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
widget.live.value = False
while widget.teacher.key is None:
    work(0.05)
if not widget.teacher.book.annotations.classes:
    widget.grid_form.tile_px.value = 16
    widget.class_table.add_class("oxide", edit=False)
work(0.2)
layer = widget.teacher.painting.layer
free = [(row, col) for row in range(8) for col in range(16) if not layer.data[row, col]]
with open(sys.argv[2], "ab", buffering=0) as told:
    for at in free:
        with layer.block_history():
            layer.paint(at, 1)
        work(0.1)
        told.write(b".")
"""


@pytest.mark.slow
def test_a_viewer_killed_while_it_saves_loses_at_most_the_last_stroke(
    qtbot, engine, tmp_path, make_napari_viewer
):
    import tifffile

    path, told = tmp_path / "coating.tif", tmp_path / "told"
    tifffile.imwrite(path, half_dark())
    told.touch()
    chance = random.Random(5)
    kept = 0
    for _ in range(2):
        before = told.stat().st_size
        command = [sys.executable, "-c", PAINT_IN_A_VIEWER, str(path), str(told)]
        painter = subprocess.Popen(command)
        enough = before + chance.randint(3, 8)
        while told.stat().st_size < enough:
            assert painter.poll() is None
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.12))
        painter.kill()
        painter.wait()
        drawn = told.stat().st_size - before
        found = load_annotations(beside(path)).counts()["oxide"]
        assert kept + drawn - 1 <= found <= kept + drawn + 1
        kept = found
    viewer = make_napari_viewer()
    viewer.open(str(path), plugin="napari-sem-classify")
    widget = viewer.window.add_plugin_dock_widget("napari-sem-classify", "Teach")[1].opened
    until(qtbot, lambda: widget.teacher.key is not None)
    assert int(widget.grid_form.tile_px.value) == TILE
    assert counts(widget) == {"oxide": kept}
    assert np.count_nonzero(widget.teacher.painting.layer.data) == kept
