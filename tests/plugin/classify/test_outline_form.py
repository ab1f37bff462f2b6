"""Outlines in the viewer: drawn of the map in view, laid beside it, painted like any labels."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import CLASSES, made_from
from napari_sem_classify.plugin.layers.outline_layer import OUTLINES

from ..conftest import half_dark, until


def test_outlines_of_a_finished_map_are_labels_of_the_images_pixels(
    qtbot, real_viewer, open_widget, small_model
):
    layer = real_viewer.add_image(half_dark(), name="s", scale=(10, 10), units=("nm", "nm"))
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.image_form.image is not None)
    form = widget.outline_form
    assert form.button.native.isHidden()
    widget.run_form.button.native.click()
    until(qtbot, lambda: not widget.busy)
    assert not form.button.native.isHidden()
    form.button.native.click()
    until(qtbot, lambda: made_from(real_viewer, layer, OUTLINES) != [])
    (drawn,) = made_from(real_viewer, layer, OUTLINES)
    assert drawn.data.shape == layer.data.shape
    assert np.allclose(drawn.scale, layer.scale) and np.allclose(drawn.translate, layer.translate)
    edge = int(np.flatnonzero(np.diff(drawn.data[64].astype(int)))[0])
    assert abs(edge - 127) <= 2  # the specimen's edge, which lies between two columns of tiles
    (tiles,) = made_from(real_viewer, layer, CLASSES)
    assert not tiles.visible
    assert form.note.said.startswith("By outlines: ")
    before, told = drawn.data.copy(), form.note.said
    other = 3 - int(before[5, 5])
    drawn.brush_size = 60
    drawn.paint((5, 5), other)
    # What the note says is measured anew, with what was painted.
    until(qtbot, lambda: form.note.said.startswith("By outlines as painted: "))
    share = (drawn.data == 1).mean() / (drawn.data > 0).mean()
    assert f" {100 * share:.1f} %" in form.note.said
    drawn.undo()
    assert np.array_equal(drawn.data, before)
    until(qtbot, lambda: form.note.said == told)
    # Drawn again, what she painted stays and is told to be evidence.
    drawn.paint((5, 5), other)
    mine = drawn.data != before
    until(qtbot, lambda: "Draw outlines again" in form.note.said)
    form.button.native.click()
    until(qtbot, lambda: made_from(real_viewer, layer, OUTLINES) not in ([], [drawn]))
    (again,) = made_from(real_viewer, layer, OUTLINES)
    assert (again.data[mine] == other).all()
    until(qtbot, lambda: form.button.enabled)
    assert again.metadata[METADATA_KEY]["record"]["outlines"]["painted_px"] > 0
