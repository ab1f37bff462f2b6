"""A fine map from the Classify widget: its tiles, its time, and that it is an approximation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from engine_reference import small_resnet
from tiny_engine import brightness_classifier

from napari_sem_classify.core.model.head import Head
from napari_sem_classify.plugin.layers.made_layers import CLASSES

from ..conftest import half_dark, until


def with_blocks(small):
    """Let the small model stand on a network that can look at blocks."""
    import torch

    from napari_sem_classify.core.image.intensity import IntensityRange
    from napari_sem_classify.core.network.engine.torch_engine import TorchEngine

    engine = TorchEngine(small_resnet(), network_px=64, device=torch.device("cpu"))
    grey = np.stack([np.full((16, 16), value, np.uint8) for value in (60, 190)])
    dark, bright = engine.embed(grey, IntensityRange(40.0, 210.0))
    weight = np.stack([dark - bright, bright - dark]) / 50
    head = Head((dark + bright) / 2, np.ones_like(dark), weight, np.zeros(2, np.float32))
    card = replace(small.classifier.card, network_px=64)
    small.classifier = replace(small.classifier, card=card, head=head)
    small.entry = replace(small.entry, card=card)
    small.engine = engine


def test_a_fine_map_is_made_told_and_called_an_approximation(
    qtbot, real_viewer, open_widget, small_model
):
    with_blocks(small_model)
    real_viewer.add_image(half_dark(), name="fine", scale=(10, 10), units=("nm", "nm"))
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.estimate.said.startswith("128 tiles"))
    widget.dense.value = True
    until(qtbot, lambda: widget.estimate.said.startswith("465 tiles"))  # a step of 8 px, not 16
    widget.run_form.button.native.click()
    until(qtbot, lambda: not widget.busy)
    assert "The fine map is an approximation" in widget.run_form.message.said
    assert "checked one by one agree" in widget.run_form.message.said
    (layer,) = [each for each in real_viewer.layers if each.name.endswith(CLASSES)]
    assert layer.data.shape == (16, 32)
    assert (layer.data[:, 1:14] == 1).mean() > 0.9
    assert (layer.data[:, 18:31] == 2).mean() > 0.9


def test_8_bit_arithmetic_is_offered_where_openvino_does_the_work_and_not_for_fine_maps(
    qtbot, real_viewer, open_widget, small_model, monkeypatch
):
    asked = []

    def choose(_classifier, _images, options, _job, chosen=None):
        asked.append(options.dtype)
        checked = {"same_class": 0.9961, "checked_tiles": 256}
        monkeypatch.setattr(small_model.engine, "checked", checked)
        return small_model.engine

    monkeypatch.setattr("napari_sem_classify.core.classify.driver.engine_for_images", choose)
    real_viewer.add_image(half_dark(), name="fast", scale=(10, 10), units=("nm", "nm"))
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: "about" in widget.estimate.said)
    assert widget.int8.native.isHidden()
    monkeypatch.setattr(small_model.engine, "backend", "openvino")
    widget.grid_form.overlap.value = 50
    assert not widget.int8.native.isHidden()
    widget.int8.value = True
    widget.dense.value = True
    assert not widget.int8.enabled
    widget.dense.value = False
    widget.run_form.button.native.click()
    until(qtbot, lambda: not widget.busy)
    assert widget.run_form.message.said.startswith("Done")
    assert asked == ["int8"]
    told = "8 bit, agrees with full precision on 99.6% of 256 tiles."
    assert told in widget.run_form.message.said


def test_another_model_on_the_same_image_needs_no_network(
    qtbot, real_viewer, open_widget, small_model
):
    real_viewer.add_image(half_dark(), name="known", scale=(10, 10), units=("nm", "nm"))
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: "about" in widget.estimate.said)
    for threshold, calls in ((0.5, 16), (0.3, 0)):
        small_model.classifier = brightness_classifier(16, 10.0, threshold=threshold)
        widget._session.ready.clear()
        before = small_model.engine.calls
        widget.classify()
        until(qtbot, lambda: not widget.busy)
        assert small_model.engine.calls - before == calls
    assert widget.run_form.message.said.startswith("Done: 128 tiles")
    # What the cache knew tells nothing of how fast the network is: that is timed afterwards.
    until(qtbot, lambda: "about" in widget.estimate.said)
