"""Folding changes the amount of work, not the result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_reference import reference, relative_error, small_resnet

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.backbone import IMAGENET
from napari_sem_classify.core.network.engine.fold import fold_batchnorm, fold_grey, in_two_parts
from napari_sem_classify.core.network.engine.network import (
    GREY_CENTRE,
    GreyTrunk,
    channels_on,
    network_input,
)


def test_a_folded_batchnorm_gives_what_the_two_layers_give(network):
    x = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        both = network.bn1(network.conv1(x))
        one = fold_batchnorm(network.conv1, network.bn1)(x)
    torch.testing.assert_close(one, both, rtol=1e-5, atol=1e-5)


def test_folding_leaves_the_original_layer_alone(network):
    before = network.conv1.weight.clone()
    fold_batchnorm(network.conv1, network.bn1)
    assert torch.equal(network.conv1.weight, before)


@pytest.mark.parametrize("px", [32, 33, 64])
def test_one_grey_channel_equals_three_normalised_ones_up_to_the_border(network, px):
    grey = torch.rand(2, 1, px, px, generator=torch.Generator().manual_seed(2))
    first = fold_batchnorm(network.conv1, network.bn1)
    mean = torch.tensor(IMAGENET.mean)[:, None, None]
    std = torch.tensor(IMAGENET.std)[:, None, None]
    on_grey, on_ones = fold_grey(first, IMAGENET.mean, IMAGENET.std, GREY_CENTRE)
    channels = torch.cat([grey - GREY_CENTRE, torch.ones_like(grey)], dim=1)
    with torch.inference_mode():
        expected = first((grey - mean) / std)
        folded = torch.nn.functional.conv2d(
            channels, torch.cat([on_grey, on_ones], dim=1).float(), stride=2, padding=3
        )
    assert (folded - expected).abs().max() <= 1e-5
    border = (folded - expected)[:, :, 0].abs().max()
    assert border <= 1e-5


def test_two_parts_in_bfloat16_keep_twice_the_digits():
    values = torch.rand(1000, generator=torch.Generator().manual_seed(3))
    high, low = in_two_parts(values, torch.bfloat16)
    assert (high + low - values).abs().max() <= 2.0**-16
    assert torch.equal(high, high.bfloat16().float())
    assert torch.equal(low, low.bfloat16().float())


@pytest.mark.parametrize("strides", ["v1", "v1.5"])
@pytest.mark.parametrize("stages", [(2, 3, 4), (4,), (3,), (1, 2), (4, 2)])
def test_the_folded_trunk_equals_the_plain_one(strides, stages, noise_tiles):
    network = small_resnet(strides)
    expected = reference(network, noise_tiles, IntensityRange(0, 255), 80, stages)
    trunk = GreyTrunk(network, stages)
    grey = torch.from_numpy(noise_tiles)[:, None] / 255.0 - GREY_CENTRE
    with torch.inference_mode():
        features = trunk(network_input(grey, torch.float32)).numpy()
    assert features.shape == (len(noise_tiles), trunk.feature_size)
    assert relative_error(features, expected) <= 1e-5


def test_unread_pixels_of_the_first_stage_are_not_computed(network):
    skipping = GreyTrunk(network, (2, 3, 4)).blocks[0][-1]
    pooled = GreyTrunk(network, (1, 2, 3, 4)).blocks[0][-1]
    x = torch.zeros(1, 64, 16, 16)
    assert skipping(x).shape[2:] == (8, 8)
    assert pooled(x).shape[2:] == (16, 16)


def test_a_trunk_refuses_stages_that_do_not_exist(network):
    with pytest.raises(ValueError, match="stages"):
        GreyTrunk(network, (5,))


def test_a_half_precision_trunk_is_exact_when_run_in_float32(network, noise_tiles):
    expected = reference(network, noise_tiles, IntensityRange(0, 255), 80)
    grey = torch.from_numpy(noise_tiles)[:, None] / 255.0 - GREY_CENTRE
    with torch.inference_mode():
        x = network_input(grey, torch.bfloat16).float()
        features = GreyTrunk(network, dtype=torch.bfloat16)(x).numpy()
    assert np.isfinite(features).all()
    assert relative_error(features, expected) <= 1e-3


def test_channels_that_only_make_the_first_layer_faster_change_nothing(network, noise_tiles):
    grey = torch.from_numpy(noise_tiles)[:, None] / 255.0 - GREY_CENTRE
    found = []
    with torch.inference_mode():
        for channels in (None, 8):
            trunk = GreyTrunk(network, dtype=torch.bfloat16, channels=channels)
            x = network_input(grey, torch.bfloat16, channels).float()
            assert x.shape[1] == trunk.stem.in_channels == (channels or 5)
            found.append(trunk(x))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)
    assert channels_on(torch.device("cuda"), torch.bfloat16) == 8
    assert channels_on(torch.device("cuda"), torch.float32) is None
    assert channels_on(torch.device("cpu"), torch.bfloat16) is None
