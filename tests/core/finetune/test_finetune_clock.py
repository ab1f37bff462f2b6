"""A training that has to end at some time does, with its schedule at its end."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fastai.callback.schedule import ParamScheduler
from small_training import same, small, train

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


@pytest.fixture
def places(monkeypatch):
    """Where in the one-cycle schedule each batch stood, 0 to 1."""
    seen = []
    told = ParamScheduler._update_val

    def note(self, place):
        seen.append(place)
        told(self, place)

    monkeypatch.setattr(ParamScheduler, "_update_val", note)
    return seen


def test_a_training_that_would_overrun_comes_to_the_end_of_its_schedule_in_time(
    data, split, places, monkeypatch
):
    now = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("napari_sem_classify.core.finetune.finetune_clock.time", clock)

    def a_batch_takes_long(_loss):
        now[0] += 0.1

    result = train(data, split, preset=small(epochs=400), on_batch=a_batch_takes_long, ends_at=4.0)
    assert 3.0 < now[0] <= 4.2
    assert 30 < len(places) < 42
    assert places == sorted(places)
    assert places[-1] > 0.9  # the last batch is nearly at its end, where the rates are lowest
    (told,) = [note for note in result.notes if "To end in time" in note]
    assert told.endswith("of its 400 epochs.")


def test_a_training_with_time_enough_is_the_one_without_any_limit(data, split, places):
    plain = train(data, split, preset=small(epochs=3))
    free, places[:] = list(places), []
    timed = train(data, split, preset=small(epochs=3), ends_at=time.perf_counter() + 600)
    assert same(plain.classifier, timed.classifier)
    assert places == free
    assert not [note for note in timed.notes if "To end in time" in note]


def test_a_training_whose_time_is_over_before_it_begins_keeps_the_fitted_head(data, split, places):
    result = train(data, split, preset=small(epochs=50), ends_at=time.perf_counter())
    assert places == []
    assert {report.phase for report in result.history} == {"fitted head"}
    assert "No time was left for the training at 32 px." in result.notes


def test_a_preset_without_any_epoch_is_the_fitted_head(data, split):
    preset = small()
    (stage,) = preset.stages
    none = replace(preset, stages=(replace(stage, epochs_unfrozen=0),), average=False)
    result = train(data, split, preset=none)
    assert {report.phase for report in result.history} == {"fitted head"}


def test_an_epoch_and_the_scores_take_as_many_tiles_as_the_preset_says(data, split):
    from napari_sem_classify.core.finetune.finetune_data import thinned, units_of

    seen = []
    preset = replace(small("article", epochs=1), epoch_tiles=4)
    train(data, split, preset=preset, on_batch=seen.append)
    assert len(seen) == 1
    units = units_of(data, split.train)
    few = thinned(units, 4, seed=0)
    assert sorted(few.label.tolist()) == [0, 0, 1, 1]
    assert set(few.image.tolist()) <= set(units.image.tolist())
    assert thinned(units, None, seed=0) is units


def test_further_rounds_end_with_the_first_that_brings_nothing_better(data, split):
    preset = replace(small("article", epochs=1, sizes=(32,) * 12), further_rounds=11)
    result = train(data, split, preset=preset)
    stages = sorted({report.stage for report in result.history})
    better = [any(r.best for r in result.history if r.stage == each) for each in stages]
    assert stages == list(range(len(stages)))
    assert better[:-1] == [True] * (len(stages) - 1)
    assert len(stages) == 12 or not better[-1]
