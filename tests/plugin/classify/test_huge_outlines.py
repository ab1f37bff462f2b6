"""Outlines of huge specimens are drawn as they come into view: the same numbers, not held."""

from __future__ import annotations

import numpy as np
from grain_pictures import grains, picture, tile_map

from napari_sem_classify.core.outlines.outline import draw_outlines, outline_labels
from napari_sem_classify.plugin.layers import outline_layer
from napari_sem_classify.plugin.measure.fields import map_layers


def test_a_lazy_layer_shows_what_a_held_one_does_and_is_not_measured(viewer_model, monkeypatch):
    viewer, truth = viewer_model.__wrapped__, grains((320, 320))
    cells = draw_outlines(tile_map(truth), picture(truth))
    image = viewer.add_image(picture(truth).read(cells.grid.area), name="grains")
    held = outline_layer.show_outlines(viewer, image, cells)
    assert held in map_layers(viewer)
    labels = held.data.copy()
    monkeypatch.setattr(outline_layer, "PAINTED_PX", 320 * 320 - 1)
    monkeypatch.setattr(outline_layer, "_CHUNK_PX", 128)
    monkeypatch.setattr(outline_layer, "_COARSEST_PX", 160)
    lazy = outline_layer.show_outlines(viewer, image, cells)
    assert not isinstance(lazy.data, np.ndarray)
    full, half = lazy.data
    assert full.chunks == ((128, 128, 64), (128, 128, 64))
    assert np.array_equal(np.asarray(full), labels)
    assert np.array_equal(np.asarray(half), labels[1::2, 1::2])
    assert np.array_equal(labels, outline_labels(cells, cells.grid.area))
    assert map_layers(viewer) == []
