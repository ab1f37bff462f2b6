"""Trainings of the network in the box, ResNet50: those of the other tests are of a tiny one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_training import small, train, with_fitted_head

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.engine import make_engine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def trained(one_thread, data, split):
    return train(data, split, preset=small(epochs=2), name="grains")


def test_batch_norms_go_back_and_stay_where_the_statistics_of_the_tiles_do_harm(
    data, split, monkeypatch
):
    import torch

    from napari_sem_classify.core.finetune import finetune_start
    from napari_sem_classify.core.network.backbone import load_backbone

    def spoil(model, batches, reporter):
        for name, value in model.state_dict().items():
            if "running_var" in name:
                value.fill_(1e30)  # everything looks alike now

    monkeypatch.setattr(finetune_start, "_adapt_norms", spoil)
    # Three cases of each class: of two in all nothing would be clear.
    parts = [np.array(part) for part in ([0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11])]
    follows = replace(small(), fixed_norms=False)
    job, run = with_fitted_head(data, replace(split, train=parts[0], valid=parts[1]), follows)
    photographs, network = load_backbone(), job.model.trunk.network
    assert torch.equal(network.bn1.running_var, photographs.bn1.running_var)
    job.model.train()
    job.model(torch.rand(4, 1, 32, 32))
    assert torch.equal(network.bn1.running_var, photographs.bn1.running_var)
    assert run.best is run.fitted


def test_training_moves_the_body_and_reports_every_epoch(trained, data):
    from napari_sem_classify.core.network.backbone import load_backbone

    assert [(report.epoch, report.size, report.phase) for report in trained.history] == [
        (0, 32, "fitted head"),
        (0, 32, "all layers"),
        (1, 32, "all layers"),
        (1, 32, "averaged"),
    ]
    assert all(np.isfinite(report.train_loss) for report in trained.history[1:-1])
    assert set(trained.classifier.card.class_names) == set(data.class_names)
    assert trained.classifier.card.scores["images"] == len(trained.held_out.truth)
    start = load_backbone().state_dict()
    assert set(start) == set(trained.classifier.trunk)


def test_the_article_preset_unfreezes_the_body(data, split):
    from napari_sem_classify.core.network.backbone import load_backbone

    result = train(data, split, preset=small("article", epochs=2))
    assert [report.phase for report in result.history] == ["head", "all layers"]
    if result.history[1].best:
        before = load_backbone().state_dict()["conv1.weight"].numpy()
        assert not np.array_equal(result.classifier.trunk["conv1.weight"], before)


def test_the_engine_says_what_the_trained_network_said(trained, data):
    card, head = trained.classifier.card, trained.classifier.head
    engine = make_engine(
        network_px=card.network_px,
        stages=card.stages,
        trunk=trained.classifier.trunk,
        device="cpu",
        backend="torch",
        dtype="float32",
    )
    tiles = np.array(data.tiles[trained.held_out.tile])
    features = engine.embed(tiles, IntensityRange(0.0, 255.0))
    probabilities = head.probabilities(features, card.temperature)
    assert np.abs(probabilities - trained.held_out.probabilities).max() < 1e-4
