"""A small calibrated image, and the Classify dock on it with a small model."""

from __future__ import annotations

import pytest

from ..conftest import half_dark, until

NM = {"scale": (10, 10), "units": ("nm", "nm")}


@pytest.fixture
def image_layer(real_viewer):
    return real_viewer.add_image(half_dark(), name="sample_1", **NM)


@pytest.fixture
def widget(qtbot, image_layer, open_widget, small_model):
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.image_form.image is not None)
    return widget
