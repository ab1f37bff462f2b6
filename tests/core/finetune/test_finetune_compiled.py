"""A compiled training step: taken where it pays, and never the end of a training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_training import small, train

from napari_sem_classify.core.finetune import finetune_compiled
from napari_sem_classify.core.finetune.finetune_compiled import CompiledStep, Tried, try_compiled
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE
from napari_sem_classify.core.network.engine.compiled import COMPILE_VARIABLE

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


@pytest.fixture
def at_once(monkeypatch):
    """Phases are long enough from their second batch on."""
    monkeypatch.setenv(COMPILE_VARIABLE, "1")
    monkeypatch.setattr(CompiledStep, "least_left_s", 0.0)
    monkeypatch.setattr(finetune_compiled, "WARM_BATCHES", 1)
    monkeypatch.setattr(finetune_compiled, "TIMED_BATCHES", 1)


def losses_of(data, split):
    losses = []
    train(data, split, preset=small(epochs=2), on_batch=losses.append)
    return losses


@pytest.fixture(scope="module")
def expected(one_thread, tiny_by_default, data, split):
    return losses_of(data, split)


def stands_in(monkeypatch, forward_of):
    """Have `forward_of` a model in place of what torch would compile; gives the shapes it sees."""
    shapes = []

    def tried(model, grey):
        def forward(some):
            assert model.training
            shapes.append(tuple(some.shape))
            return forward_of(model, some)

        return Tried(forward, True, "compiled")

    monkeypatch.setattr(finetune_compiled, "try_compiled", tried)
    return shapes


def test_batches_of_one_shape_go_through_it_and_the_others_as_they_are(
    at_once, expected, data, split, monkeypatch
):
    shapes = stands_in(monkeypatch, lambda model, grey: model.as_it_is(grey))
    assert losses_of(data, split) == expected
    assert len(shapes) >= 2
    assert len(set(shapes)) == 1
    assert len(shapes) < len(expected)


def test_a_training_goes_on_as_it_is_where_torch_cannot_compile(
    at_once, expected, data, split, monkeypatch
):
    def cannot(model, grey):
        raise RuntimeError("Failed to find C compiler\nset CC")

    monkeypatch.setattr(finetune_compiled, "try_compiled", cannot)
    assert losses_of(data, split) == expected
    assert CompiledStep.told == "not compiled (RuntimeError: Failed to find C compiler)"


def test_a_training_goes_on_as_it_is_where_what_was_compiled_fails(
    at_once, expected, data, split, monkeypatch
):
    def fails(model, grey):
        raise ValueError("a guard")

    shapes = stands_in(monkeypatch, fails)
    assert losses_of(data, split) == expected
    assert len(shapes) <= 2  # once a phase


def test_short_phases_are_not_compiled(expected, at_once, data, split, monkeypatch):
    monkeypatch.setattr(CompiledStep, "least_left_s", 300.0)
    shapes = stands_in(monkeypatch, lambda model, grey: model.as_it_is(grey))
    assert losses_of(data, split) == expected
    assert not shapes


@pytest.mark.slow
def test_gradients_are_those_of_the_network_as_it_is_which_stays_what_it_was(own_cache):
    pytest.importorskip("torch._inductor")
    torch.manual_seed(0)
    model = TrainedNetwork(DEFAULT_BACKBONE, 3, stages=(2, 3), dropout=0.5, fixed_norms=False)
    model.to(memory_format=torch.channels_last).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = try_compiled(model, torch.rand(8, 1, 32, 32))
    assert "gradients" in found.told
    assert "not used" not in found.told
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert all(each.grad is None for each in model.parameters())
