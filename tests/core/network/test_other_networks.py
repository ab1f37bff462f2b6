"""A network of another form, or with another scaling of its input, works everywhere by its row."""

from __future__ import annotations

import pytest
import torch
from engine_reference import reference, relative_error, with_fixed_weights
from tiny_backbone import SIZES, TINY, known_backbone, tiny_resnet

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.backbone import Scaling, load_backbone
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.network.engine.devices import has_openvino

PX = 64
RANGE = IntensityRange(0, 255)
OWN = Scaling((0.3, 0.5, 0.6), (0.5, 0.25, 0.125))
needs_openvino = pytest.mark.skipif(not has_openvino(), reason="needs the extra 'cpu' (OpenVINO)")


def plain_resnet():
    """Blocks of two 3 × 3 convolutions, as in ResNet18."""
    from torchvision.models.resnet import BasicBlock, ResNet

    network = ResNet(BasicBlock, [1, 2, 1, 1])
    network.fc = torch.nn.Identity()
    return network


FORMS = {"bottleneck": (tiny_resnet, SIZES), "plain": (plain_resnet, (64, 128, 256, 512))}


@pytest.fixture(params=FORMS)
def info(request, tmp_path):
    build, sizes = FORMS[request.param]
    with known_backbone(
        tmp_path, build=build, sizes=sizes, fill=with_fixed_weights, scaling=OWN
    ) as info:
        yield info


@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("stages", [(2, 3, 4), (1, 4)])
def test_both_backends_see_what_the_network_sees(info, backend, stages, noise_tiles):
    engine = make_engine(
        network_px=PX,
        stages=stages,
        backbone_id=TINY,
        device="cpu",
        backend=backend,
        dtype="float32",
    )
    assert engine.feature_size == info.architecture.feature_size(stages)
    expected = reference(load_backbone(TINY), noise_tiles, RANGE, PX, stages, OWN)
    assert relative_error(engine.embed(noise_tiles, RANGE), expected) <= 1e-4


@needs_openvino
def test_eight_bits_come_near(info, noise_tiles):
    from napari_sem_classify.core.network.engine.network import GreyTrunk, network_input
    from napari_sem_classify.core.network.engine.openvino_engine import (
        OpenVinoEngine,
        int8_companion,
    )
    from napari_sem_classify.core.network.engine.prepare import stretch_and_resize
    from napari_sem_classify.core.network.engine.quantise import activation_ranges

    network = load_backbone(TINY)
    trunk = GreyTrunk(network, dtype=int8_companion(), scaling=OWN)
    grey = stretch_and_resize(torch.from_numpy(noise_tiles), RANGE, PX)
    batch = network_input(grey, int8_companion()).float()
    ranges = activation_ranges(trunk, [batch])
    engine = OpenVinoEngine(network, network_px=PX, scaling=OWN, dtype="int8", ranges=ranges)
    expected = reference(network, noise_tiles, RANGE, PX, (2, 3, 4), OWN)
    assert 1e-5 < relative_error(engine.embed(noise_tiles, RANGE), expected) < 0.2


def test_a_training_moves_all_of_it_and_sees_the_same(info, noise_tiles):
    from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork, layer_groups

    model = TrainedNetwork(TINY, 2, stages=(2, 3, 4), dropout=0.0, fixed_norms=True).eval()
    grey = torch.from_numpy(noise_tiles).float()[:, None] / 255
    with torch.inference_mode():
        features = model.features(grey).numpy()
    expected = reference(load_backbone(TINY), noise_tiles, RANGE, noise_tiles.shape[1], scaling=OWN)
    assert relative_error(features, expected) <= 1e-4
    groups = layer_groups(model)
    assert len(groups) == 1 + len(info.architecture.stages)
    assert sum(map(len, groups)) == len(list(model.parameters()))
