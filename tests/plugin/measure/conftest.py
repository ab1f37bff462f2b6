"""The Measure widget over a map with errors, whose image lies on disk."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from class_maps import map_of, patchy_labels

from napari_sem_classify.core.measure.review_file import load_review
from napari_sem_classify.plugin.layers.made_layers import add_class_map
from napari_sem_classify.plugin.measure.widget import REVIEW

from ..conftest import PLUGIN, half_dark, until

ROWS, COLS = 12, 16
NM = 50.0


@pytest.fixture
def truth():
    return patchy_labels((ROWS, COLS))


@pytest.fixture
def class_map(truth):
    """A map with a third of the oxide taken for matrix."""
    labels = truth.copy()
    wrong = np.argwhere(truth == 2)[::3]
    labels[tuple(wrong.T)] = 1
    return map_of(labels, pixel_size_nm=NM)


@pytest.fixture
def picture(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    path = folder / "coating_12.tif"
    options = {"resolution": (20.0, 20.0), "metadata": {"unit": "um"}}
    tifffile.imwrite(path, half_dark(16 * ROWS, 16 * COLS), imagej=True, **options)
    return path


@pytest.fixture
def layer(real_viewer, picture, class_map):
    """The map over its image, which lies on disk."""
    real_viewer.open(str(picture), plugin=PLUGIN)
    return add_class_map(real_viewer, class_map, real_viewer.layers["coating_12"])


@pytest.fixture
def widget(qtbot, layer, open_widget):
    made = open_widget("Measure")
    until(qtbot, lambda: bool(made.fields))
    return made


def begin(widget, cells=40):
    widget.tabs.setCurrentIndex(REVIEW)
    widget.review_form.cells.value = cells
    widget.review_form.start.native.click()
    assert widget.reviewer.active


def answer_all(widget, truth, unless=lambda _cell: None):
    """The truth plays the reviewer."""
    while widget.reviewer.cell is not None:
        cell = widget.reviewer.cell
        told = unless(cell)
        widget.reviewer.answer(int(truth[cell.row, cell.col]) if told is None else told)


def saved(picture):
    (path,) = picture.parent.glob("*.review.json")
    return load_review(path)
