"""Fine-tuning: real trainings of a few steps at 32 px."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_training import small, train, with_fitted_head

from napari_sem_classify.core.common.errors import DatasetError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.dataset_split import plan_split
from napari_sem_classify.core.evaluate.evaluate import evaluate_images
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import (
    ARTICLE,
    SEM,
    make_preset,
)
from napari_sem_classify.core.finetune.finetune_time import SCORING, SHARES
from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.core.model.file import save_model
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE
from napari_sem_classify.core.network.engine import make_engine

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


# --- presets


def test_the_article_preset_is_the_articles_schedule():
    told = [
        (s.size, s.epochs_frozen, s.epochs_unfrozen, s.lr_frozen, s.lr_unfrozen)
        for s in ARTICLE.stages
    ]
    assert told == [(64, 10, 5, 5e-3, 1e-3), (128, 10, 5, 1e-3, 1e-3), (224, 10, 5, 5e-4, 1e-3)]


def test_sizes_and_epochs_can_be_chosen_and_all_layers_always_learn():
    preset = make_preset("article", sizes=[32, 48, 64, 96], epochs=3)
    assert [s.size for s in preset.stages] == [32, 48, 64, 96]
    assert {(s.epochs_frozen, s.epochs_unfrozen) for s in preset.stages} == {(2, 1)}
    assert all(s.epochs_unfrozen == 1 for s in make_preset("article", epochs=1).stages)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "best"}, "no preset 'best'"),
        ({"sizes": [8]}, "32 to 1024 px"),
        ({"epochs": 0}, "0 epochs"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(settings, told):
    with pytest.raises(DatasetError, match=told):
        make_preset(**settings)


# --- batches


def test_drawing_by_class_evens_out_an_imbalance():
    from napari_sem_classify.core.finetune.finetune_data import draw_units

    labels = np.repeat([0, 1], [500, 10])  # 50 to 1
    shares = []
    for balance in (0.0, 0.5, 1.0):
        drawn = labels[draw_units(labels, balance, np.random.default_rng(0))]
        shares.append(np.bincount(drawn).tolist())
    assert shares[0] == [500, 10]
    assert shares[1] == pytest.approx([447, 63], abs=1)
    assert shares[2] == [255, 255]


# --- the model


def test_batch_norms_that_follow_take_the_statistics_of_the_tiles_before_training(data, split):
    import torch

    from napari_sem_classify.core.network.backbone import load_backbone

    job, run = with_fitted_head(data, split, replace(small(), fixed_norms=False))
    photographs, network = load_backbone(), job.model.trunk.network
    assert not torch.allclose(network.bn1.running_mean, photographs.bn1.running_mean)
    assert torch.equal(network.conv1.weight, photographs.conv1.weight)
    assert [report.phase for report in run.history] == ["fitted head"]
    assert run.best.macro_f1 == run.history[0].macro_f1


def test_the_notes_and_the_card_say_what_is_kept_beside_the_fitted_head(data, split):
    result = train(data, split)
    [said] = [note for note in result.notes if "kept" in note]
    assert said in result.classifier.card.record["notes"]
    assert "macro-F1" in said
    assert "fitted head" in said.casefold()
    kept = result.history[-1]
    assert (kept.phase, kept.best) == ("averaged", True)
    assert kept.share == result.classifier.card.record["share_of_trained_weights"]
    assert kept.choice_loss <= result.history[0].choice_loss


def test_weights_between_start_and_end_are_tried_and_the_best_of_them_kept(data, split):
    import torch

    from napari_sem_classify.core.finetune.finetune_start import average_with_start
    from napari_sem_classify.core.network.backbone import load_backbone

    job, run = with_fitted_head(data, split)
    start = job.model.head.linear.bias.detach().clone()
    with torch.no_grad():
        job.model.head.linear.bias += 1.0
        job.model.trunk.network.conv1.weight += 0.01
    run.plain = run.start
    run.fitted = replace(run.fitted, losses=run.fitted.losses + 100)
    valid = job._loaders(0)[1]
    average_with_start(job.model, DEFAULT_BACKBONE, valid, run, stage=0, epoch=0)
    assert run.best_share in SHARES
    assert [report.phase for report in run.history] == ["fitted head", "averaged"]
    assert torch.allclose(run.best_state["head.linear.bias"], start + run.best_share)
    moved = run.best_state["trunk.network.conv1.weight"] - load_backbone().conv1.weight
    assert torch.allclose(moved, torch.full_like(moved, 0.01 * run.best_share), atol=1e-5)


def test_a_batch_norm_head_becomes_a_plain_head():
    import torch

    from napari_sem_classify.core.finetune.finetune_network import LinearHead

    torch.manual_seed(0)
    module = LinearHead(6, 3, dropout=0.5, fixed=False)
    for _ in range(20):
        module(torch.randn(16, 6) * 3 + 1)
    module.eval()
    features = torch.randn(5, 6)
    expected = module(features).detach().numpy()
    head = module.to_head()
    assert np.allclose(head.logits(features.numpy()), expected, atol=1e-5)
    again = LinearHead(6, 3, dropout=0.5, fixed=True).eval()
    again.start_from(head)
    assert np.allclose(again(features).detach().numpy(), expected, atol=1e-5)


def test_the_saved_model_scores_the_same_images_alike(trained, source, tmp_path):
    path = save_model(tmp_path / "grains", trained.classifier)
    classifier = load_model(path)
    engine = make_engine(
        network_px=classifier.card.network_px,
        stages=classifier.card.stages,
        trunk=classifier.trunk,
        device="cpu",
        backend="torch",
        dtype="float32",
    )
    found = evaluate_images(read_listing(source), classifier, engine=engine)
    held = [found.paths.index(p) for p in _paths_of(trained, source)]
    # The set's tiles were resized twice, the engine resizes once: alike, not equal.
    assert np.abs(found.probabilities[held] - trained.held_out.probabilities).max() < 0.15
    assert len(found.truth) == 12
    learned = len(classifier.card.record["learned_from"])
    assert any(note.startswith(f"{learned} of the 12 images") for note in found.notes)


def _paths_of(trained, source):
    listing = read_listing(source)
    return [str(listing.records[image].path) for image in trained.held_out.image]


# --- progress, patience and further choices


def test_progress_counts_every_batch_once(data, split):
    readings = []
    train(data, split, preset=small("article", epochs=2), job=Job(readings.append))
    last = [each for each in readings if each.stage == "Training at 32 px"][-1]
    assert last.done == last.total


def test_progress_counts_every_tile_that_is_scored_at_the_end_once(data):
    import torch

    from napari_sem_classify.core.finetune.finetune_data import units_of
    from napari_sem_classify.core.finetune.finetune_turned import turned_cases

    split = plan_split(data.labels, data.class_names, data.pairs, test=True)
    readings = []
    train(data, split, job=Job(readings.append))
    last = readings[-1]
    assert last.stage == SCORING
    turned = turned_cases(data, units_of(data, split.valid), torch.device("cpu")).units
    valid, test = (int(np.isin(data.tile_image, part).sum()) for part in (split.valid, split.test))
    # Of so few cases the weights on one line are tried.
    tiles = len(SHARES) * (valid + int(turned.count.sum())) + valid + test
    assert (last.done, last.total) == (tiles, tiles)


def test_patience_ends_a_phase_that_gets_no_better(data, split):
    result = train(data, split, preset=small(epochs=12, patience=2))
    since_best = [report.best for report in result.history[:-1]][::-1]
    assert len(result.history) < 12
    assert not any(since_best[:2])


def test_mixup_trains_too(data, split):
    result = train(data, split, preset=small(mixup=0.4))
    assert np.isfinite(result.history[1].train_loss)


def test_a_rate_is_looked_for_without_touching_the_weights(data, split):
    import torch

    from napari_sem_classify.core.finetune.finetune import _Training
    from napari_sem_classify.core.finetune.finetune_rate import find_rate

    job = _Training(
        data, split, FineTuneOptions(small("article"), batch_size=4), torch.device("cpu")
    )
    learner = job._learner(0)
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    find_rate(learner, batches=6)
    assert all(torch.equal(before[name], v) for name, v in job.model.state_dict().items())


def test_the_rate_is_taken_from_the_falling_part_of_the_loss():
    from napari_sem_classify.core.finetune.finetune_rate import steepest

    rates = np.geomspace(1e-6, 1, 60)
    losses = 2.0 + np.tanh(-(np.log10(rates) + 4) * 2) + np.maximum(0, np.log10(rates) + 1) * 9
    assert 1e-5 < steepest(rates, losses) < 1e-1
    assert steepest(rates, np.full(60, np.nan)) is None


def test_a_third_part_is_scored_where_there_is_one(data):
    split = plan_split(data.labels, data.class_names, data.pairs, test=True)
    result = train(data, split)
    assert sorted(result.held_out.image) == sorted(split.test)
    assert "also chose" not in result.classifier.card.scores["method"]


def test_the_default_preset_starts_from_the_exact_head():
    assert SEM.head_first
    assert not ARTICLE.head_first
