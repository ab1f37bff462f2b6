"""A fine map from the Classify widget: its tiles, its time, and that it is an approximation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from engine_reference import small_resnet

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
