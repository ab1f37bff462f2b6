"""What a training does with a minute, a coffee or a night. No training is run here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_pace import PACES, PLANNED, paced, plan_training
from napari_sem_classify.core.finetune.finetune_presets import SEM, Stage
from napari_sem_classify.core.finetune.finetune_time import tile_work
from napari_sem_classify.core.finetune.finetune_trial import parts_of

LAPTOP = 3 * tile_work(128) / 0.1
"""A tenth of a second there and back for a tile of 128 px."""

PROGRESSIVE = replace(
    SEM,
    stages=(
        Stage(64, 0, 8, 1e-3, 1e-3),
        Stage(128, 0, 6, 1e-3, 1e-3),
        Stage(224, 0, 4, 1e-3, 1e-3),
    ),
)


def plan(name, tiles, n_classes=3, rate=LAPTOP, full=PROGRESSIVE):
    return plan_training(PACES[name], parts_of(tiles), n_classes, full, device="cpu", rate=rate)


@pytest.mark.parametrize("tiles", [50, 600, 5000, 100_000])
@pytest.mark.parametrize("name", ["minute", "coffee"])
def test_however_many_tiles_there_are_the_plan_fits_the_time(name, tiles):
    made = plan(name, tiles)
    assert made.seconds <= PLANNED * PACES[name].seconds
    assert made.tiles <= tiles
    assert made.preset.stages[-1].size <= 224


def test_more_time_never_means_less_training():
    work = [sum(s.epochs * s.size for s in plan(name, 600).preset.stages) for name in PACES]
    assert work == sorted(work)
    assert plan("coffee", 50).preset == PROGRESSIVE  # all of it, and no more


def test_epochs_go_first_then_tiles_then_the_largest_size():
    sizes, tiles = [], []
    for rate in (LAPTOP * 100, LAPTOP, LAPTOP / 4, LAPTOP / 16):
        made = plan("minute", 600, rate=rate)
        sizes.append(made.preset.stages[-1].size)
        tiles.append(made.tiles)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 224
    assert sizes[-1] < 224
    assert tiles[0] == parts_of(600)[0] > tiles[1]


def test_where_no_training_fits_the_head_alone_is_planned_and_told():
    made = plan("minute", 600, n_classes=12, rate=LAPTOP / 8)
    assert made.preset.epochs == 0
    assert "the fitted head alone" in made.sentence()
    slow = plan("minute", 600, n_classes=12, rate=LAPTOP / 1000)
    assert slow.seconds > 60  # not even that fits: so much is told


def test_only_a_night_looks_for_a_rate_and_goes_on_as_long_as_it_helps():
    night, coffee = plan("overnight", 600), plan("coffee", 600)
    assert night.preset.further_rounds == 3
    assert len(night.preset.stages) == 6
    assert {stage.size for stage in night.preset.stages[-4:]} == {224}
    assert coffee.preset.further_rounds == 0
    assert paced(FineTuneOptions(), night).search_rate
    assert not paced(FineTuneOptions(search_rate=True), coffee).search_rate
    assert "up to 3 further rounds while they help" in night.sentence()
    assert paced(FineTuneOptions(), night).time == "overnight"


def test_the_plan_is_told_in_a_sentence():
    made = replace(plan("coffee", 200), seconds=48.0)
    assert made.sentence() == "About 48 s: 64 → 128 → 224 px, 8 + 6 + 4 epochs of 130 tiles."
