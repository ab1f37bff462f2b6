"""Trainings that are repeated, cancelled, killed, or whose window is closed."""

from __future__ import annotations

from dataclasses import make_dataclass, replace

import pytest
from small_training import same, small, train

from napari_sem_classify.core.common.errors import Cancelled
from napari_sem_classify.core.common.files import to_json
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.dataset_split import plan_split
from napari_sem_classify.core.finetune.finetune_checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_time import SCORING
from napari_sem_classify.core.image.intensity import IntensityRecipe

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


def test_the_same_seed_gives_the_same_model_and_another_another(data, split):
    first = train(data, split, seed=3).classifier
    again = train(data, split, seed=3).classifier
    other = train(data, split, seed=4)
    assert same(first, again)
    assert other.history != ()
    assert to_json(first.card.scores) == to_json(again.card.scores)


def test_a_training_killed_after_an_epoch_goes_on_to_the_same_model(
    data, split, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "napari_sem_classify.core.finetune.finetune_learner.CHECKPOINT_EVERY_S", 0.0
    )
    preset = small("article", epochs=2, sizes=(32, 40))

    class Killed(BaseException):
        pass

    def kill(report):
        if (report.stage, report.phase) == (1, "head"):
            raise Killed

    whole = train(data, split, preset=preset, seed=1)
    checkpoint = tmp_path / ".model.training.safetensors"
    with pytest.raises(Killed):
        train(data, split, preset=preset, seed=1, checkpoint=checkpoint, on_epoch=kill)
    assert checkpoint.is_file()
    seen = []
    resumed = train(data, split, preset=preset, seed=1, checkpoint=checkpoint, on_epoch=seen.append)
    assert [(report.stage, report.phase) for report in seen] == [(1, "all layers")]
    assert same(whole.classifier, resumed.classifier)
    assert [r.macro_f1 for r in whole.history] == [r.macro_f1 for r in resumed.history]


def test_only_the_same_training_goes_on_and_a_new_option_makes_another_of_it(data, split, tmp_path):
    options = FineTuneOptions(small())
    named = replace(options, name="another", device="cpu", checkpoint=tmp_path / "here")
    assert named.run_id(data, split) == options.run_id(data, split)
    more = make_dataclass("Options", [("added", int, 0)], bases=(FineTuneOptions,), frozen=True)
    others = [
        replace(options, seed=1),
        replace(options, preset=small(epochs=2)),
        replace(options, backbone_id="another"),
        replace(options, search_rate=True),
        more(small()),
    ]
    ids = {each.run_id(data, split) for each in (options, *others)}
    ids.add(options.run_id(data, replace(split, train=split.train[1:])))
    ids.add(options.run_id(replace(data, recipe=IntensityRecipe(per_tile=True)), split))
    assert len(ids) == 1 + len(others) + 2


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_used(tmp_path):
    import torch

    path = tmp_path / "run.safetensors"
    write_checkpoint(path, Checkpoint("mine", {"stage": 0}, {"model.x": torch.ones(2)}))
    assert read_checkpoint(path, "mine").position == {"stage": 0}
    assert read_checkpoint(path, "other") is None
    path.write_bytes(path.read_bytes()[:20])
    assert read_checkpoint(path, "mine") is None
    assert read_checkpoint(tmp_path / "none", "mine") is None


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(
    data, split, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "napari_sem_classify.core.finetune.finetune_learner.CHECKPOINT_EVERY_S", 0.0
    )
    result = train(data, split, checkpoint=tmp_path / "gone" / "run.safetensors")
    assert any("could not be kept on the way" in note for note in result.notes)


def test_cancel_stops_within_a_batch_and_keeps_the_best_so_far(data, split):
    cancel = Job()
    losses = []

    def after(loss):
        losses.append(loss)
        if len(losses) == 2:
            cancel.cancel()

    result = train(data, split, preset=small(epochs=50), job=cancel, on_batch=after)
    assert len(losses) == 2
    assert result.cancelled
    assert result.classifier.card.record["stopped_early"]


@pytest.mark.parametrize("test_part", [False, True])
@pytest.mark.parametrize("after_tiles", [1, 7])
def test_cancel_in_the_scoring_at_the_end_keeps_the_best_model_with_the_score_of_its_epoch(
    data, test_part, after_tiles, tmp_path
):
    split = plan_split(data.labels, data.class_names, data.pairs, test=test_part)
    cancel, scored = Job(), []

    def stop(progress):
        if progress.stage == SCORING and progress.done >= after_tiles:
            scored.append(progress.done)
            cancel.cancel()

    result = train(data, split, batch_size=2, job=cancel.telling(stop))
    assert len(scored) == 1
    assert result.cancelled
    assert sorted(result.held_out.image) == sorted(split.valid)
    best = max(report.macro_f1 for report in result.history)
    assert result.classifier.card.scores["macro_f1"] == pytest.approx(best, abs=1e-6)
    assert "also chose" in result.classifier.card.scores["method"]
    told = any("before the images kept for the last test" in note for note in result.notes)
    assert told == test_part


def test_a_window_closed_in_the_scoring_at_the_end_gives_no_model(data, split):
    class Closed(Job):
        @property
        def cancelled(self):
            if super().cancelled:
                raise Cancelled("closed")
            return False

    cancel = Closed()

    def close(progress):
        if progress.stage == SCORING:
            cancel.cancel()

    with pytest.raises(Cancelled):
        train(data, split, job=cancel.telling(close))


def test_cancel_before_there_is_any_model_gives_none(data, split):
    cancel = Job()
    cancel.cancel()
    for name in ("sem", "article"):
        with pytest.raises(Cancelled):
            train(data, split, preset=small(name), job=cancel)
