"""Before a training its user is told about how long it will take."""

from __future__ import annotations

from types import SimpleNamespace

from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import PRESETS
from napari_sem_classify.core.finetune.finetune_trial import expected_seconds
from napari_sem_classify.plugin.finetune.expected_time import TRYING, ExpectedTime
from napari_sem_classify.plugin.forms.layout import Form

from ..conftest import until


def test_the_time_is_told_after_one_short_trial_and_follows_the_data(qtbot, monkeypatch):
    trials = []

    def rate(*which):
        trials.append(which)
        return 1e8

    monkeypatch.setattr("napari_sem_classify.core.finetune.finetune_trial.trial_rate", rate)
    owner = QWidget()
    qtbot.addWidget(owner)
    expected = ExpectedTime(Form(owner), owner)
    options = FineTuneOptions(PRESETS["sem"], device="cpu")
    expected.show(SimpleNamespace(counts={"a": 300}), options)
    until(qtbot, lambda: expected.note.said.startswith("About "))
    first = expected.note.said
    expected.show(SimpleNamespace(counts={"a": 3000}), options)
    assert expected.note.said.startswith("About ")
    assert first != expected.note.said != TRYING
    assert len(trials) == 1
    expected.show(None, None)
    assert expected.note.said == ""


def test_ten_times_the_tiles_take_about_ten_times_as_long():
    few, many = (expected_seconds(PRESETS["sem"], tiles, "cpu", 1e6) for tiles in (200, 2000))
    assert 8 < many / few < 11  # of few tiles that choose each is turned in several ways
