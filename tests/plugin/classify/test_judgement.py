"""Classify says before the map and after it whether the model holds on the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_engine import FEATURES

from napari_sem_classify.core.model.card import FORMAT_VERSION
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.transfer import NO_JUDGEMENT, Calibration, Transfer
from napari_sem_classify.plugin.classify.judge_form import LOOKING
from napari_sem_classify.plugin.layers.made_layers import UNLIKE, made_from

from ..conftest import half_dark, until

NM = {"scale": (10, 10), "units": ("nm", "nm")}


def judging(classifier):
    """The model with two heads beside its own: by brightness, and always "dark"."""
    weight = np.zeros((2, FEATURES), np.float32)
    weight[:, 0] = (-40, 40)
    bias = np.array([[20, -20], [1, 0]], np.float32)
    centre, scale = np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32)
    stages = StageHeads(weight, bias, (1, FEATURES - 1), centre, scale)
    known = Transfer(Calibration(0.97, 0.0, 0.02, 5, 5, 1.0, 100.0))
    card = replace(classifier.card, transfer=known, format_version=FORMAT_VERSION)
    return replace(classifier, card=card, stages=stages)


@pytest.fixture
def layer(real_viewer):
    return real_viewer.add_image(half_dark(), name="sample_1", **NM)


def opened(qtbot, open_widget, small_model):
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.image_form.image is not None)
    until(qtbot, lambda: widget.judge_form.judgement is not None)
    return widget


def test_an_image_unlike_what_it_learned_is_told_before_and_after_the_map(
    qtbot, real_viewer, layer, open_widget, small_model
):
    small_model.classifier = judging(small_model.classifier)
    widget = opened(qtbot, open_widget, small_model)
    before = widget.judge_form.judgement
    assert before.verdict == "very unlike"  # where it is bright, one of the heads disagrees
    assert before.tiles == 64
    assert widget.judge_form.note.said == before.sentence != LOOKING
    widget.run_form.button.native.click()
    until(qtbot, lambda: not widget.busy)
    after = widget.judge_form.judgement
    assert (after.verdict, after.tiles) == ("very unlike", 128)
    assert after.agreement == pytest.approx(0.5, abs=0.02)

    [unlike] = made_from(real_viewer, layer, UNLIKE)
    assert not unlike.visible
    assert unlike.data[:, 1].max() == 0
    assert unlike.data[:, -2].min() == 1


def test_a_model_from_before_says_that_it_carries_no_judgement(
    qtbot, layer, open_widget, small_model
):
    widget = opened(qtbot, open_widget, small_model)
    assert widget.judge_form.note.said == NO_JUDGEMENT.sentence
