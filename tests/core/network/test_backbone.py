"""The network in the box is the published one, and no file can smuggle in code or damage."""

import collections
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.network import backbone as bb
from napari_sem_classify.core.network.architecture import RESNET50_V1
from napari_sem_classify.core.network.torchvision_compat import import_torchvision
from napari_sem_classify.core.network.weights_file import load_state_dict_file

torch = pytest.importorskip("torch")

CATS = range(281, 286)
ESPRESSO = 967
"""Classes of ImageNet by their usual numbers."""


@pytest.fixture(scope="module")
def network():
    return bb.load_backbone()


@pytest.fixture(scope="module")
def weights(network):
    return network.state_dict()


@pytest.fixture(scope="module")
def original():
    """What the Keras network in float32 gives; made by ``tools/check_backbone.py``."""
    return np.load(Path(__file__).with_name("keras_embeddings.npz"))


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(bb, "user_weights_folder", lambda: tmp_path)
    return tmp_path


def embed(network, tiles, stages=(2, 3, 4)):
    """Grey tiles (N, H, W), 0 to 255, to pooled stages."""
    from napari_sem_classify.core.network.torch_modules import PooledStages

    x = torch.as_tensor(np.asarray(tiles, np.float32))[:, None].expand(-1, 3, -1, -1) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (bb.IMAGENET.mean, bb.IMAGENET.std))
    with torch.inference_mode():
        return PooledStages(network, stages)((x - mean) / std)


def lowest_cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, torch.as_tensor(b)).min().item()


# --- the shipped file


def test_the_shipped_file_is_the_one_the_catalogue_names():
    path = bb.backbone_path()
    assert path.stat().st_size <= 48_000_000
    assert bb.backbone_sha256() == bb.BACKBONES[bb.DEFAULT_BACKBONE].sha256


def test_the_shipped_file_says_what_it_is_and_keeps_batch_norm_in_float32():
    import json

    from safetensors import safe_open

    with safe_open(bb.backbone_path(), "np") as file:
        card = json.loads(file.metadata()["backbone"])
        types = {
            (file.get_slice(name).get_dtype(), len(file.get_slice(name).get_shape()))
            for name in file.keys()  # noqa: SIM118 - the file is no mapping
            if not name.endswith("num_batches_tracked")
        }
    assert card["id"] == bb.DEFAULT_BACKBONE
    assert card["strides"] == "v1"
    assert bb.BACKBONES[bb.DEFAULT_BACKBONE].architecture is RESNET50_V1
    assert (tuple(card["mean"]), tuple(card["std"])) == (bb.IMAGENET.mean, bb.IMAGENET.std)
    assert "MIT" in card["licence"]
    assert types == {("F16", 4), ("F32", 1)}


def test_embeddings_agree_with_the_original_keras_network(network, original):
    ours = embed(network, original["tile"])
    assert lowest_cosine(ours, original["embeddings"][:1]) >= 0.9999


def test_embeddings_of_real_sem_tiles_agree_with_the_original_keras_network(
    shared_data, network, original
):
    from skimage.io import imread

    folder = shared_data / "nasa/images"
    corners = [imread(folder / name)[:128, :128] for name in original["images"]]
    assert len(corners) >= 4
    assert lowest_cosine(embed(network, corners), original["embeddings"][1:]) >= 0.9999


def test_v15_strides_would_not_agree_with_the_original(weights, original):
    """The comparison above can tell the two kinds of ResNet50 apart."""
    other = bb.load_backbone("resnet50-imagenet-torchvision-v1", weights=weights)
    ours = embed(other, original["tile"])
    assert lowest_cosine(ours, original["embeddings"][:1]) < 0.99


def test_the_shipped_weights_equal_an_independent_conversion(shared):
    from safetensors.numpy import load_file

    reference = load_file(shared / "weights/resnet50_imagenet_kerasv1_fp16.safetensors")
    shipped = load_file(bb.backbone_path())
    assert set(reference) - set(shipped) == {"fc.weight", "fc.bias"}
    for name, values in shipped.items():
        assert values.dtype == reference[name].dtype
        np.testing.assert_array_equal(values, reference[name], err_msg=name)


@pytest.mark.parametrize(("picture", "classes"), [("chelsea", CATS), ("coffee", [ESPRESSO])])
def test_with_its_class_layer_the_network_knows_a_cat_and_an_espresso(
    shared, network, picture, classes
):
    import skimage.data
    from skimage.transform import resize

    image = resize(getattr(skimage.data, picture)(), (224, 224), anti_aliasing=True)
    x = torch.from_numpy((image - bb.IMAGENET.mean) / bb.IMAGENET.std).float().permute(2, 0, 1)
    layer = load_state_dict_file(shared / "weights/resnet50_imagenet_kerasv1_fp16.safetensors")
    with torch.inference_mode():
        logits = network(x[None]) @ layer["fc.weight"].float().T + layer["fc.bias"].float()
    probability, number = logits.softmax(1)[0].topk(3 if picture == "chelsea" else 1)
    assert set(number.tolist()) <= set(classes)
    assert probability.sum() > 0.9


# --- the network


def test_the_network_is_frozen_in_float32_without_a_class_layer(network):
    assert not network.training
    assert isinstance(network.fc, torch.nn.Identity)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in network.parameters())
    assert {t.device.type for t in network.state_dict().values()} == {"cpu"}


@pytest.mark.parametrize("stages", [(2, 3, 4), (4,), (1, 3)])
def test_pooled_stages_have_the_sizes_the_catalogue_promises(network, stages):
    tiles = np.random.default_rng(0).uniform(0, 255, (2, 64, 96))
    features = embed(network, tiles, stages)
    assert features.shape == (2, RESNET50_V1.feature_size(stages))
    assert features.dtype == torch.float32


def test_stage_4_is_what_the_whole_network_gives(network):
    tiles = np.random.default_rng(1).uniform(0, 255, (1, 64, 64))
    x = torch.as_tensor(tiles, dtype=torch.float32)[:, None].expand(-1, 3, -1, -1) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (bb.IMAGENET.mean, bb.IMAGENET.std))
    with torch.inference_mode():
        torch.testing.assert_close(network((x - mean) / std), embed(network, tiles, (4,)))


def test_unknown_stages_are_refused(network):
    with pytest.raises(ValueError, match="stages"):
        embed(network, np.zeros((1, 64, 64)), (5,))


def test_given_weights_are_copied_not_shared(weights):
    ours = {name: tensor.clone() for name, tensor in weights.items()}
    loaded = bb.load_backbone(weights=ours)
    ours["conv1.weight"].zero_()
    torch.testing.assert_close(loaded.conv1.weight, weights["conv1.weight"])


# --- files that the user brings


def test_a_catalogue_entry_without_its_file_says_where_to_put_it(weights_folder):
    with pytest.raises(ModelError) as error:
        bb.load_backbone("resnet50-imagenet-torchvision-v2")
    assert "resnet50-11ad3fa6.pth" in str(error.value)
    assert str(weights_folder) in str(error.value)


def test_an_unknown_backbone_is_refused_with_the_names_there_are():
    with pytest.raises(ModelError, match="resnet50-imagenet-kerasv1"):
        bb.backbone_path("resnet51")


def test_a_parallel_training_checkpoint_in_the_weights_folder_is_used(
    weights_folder, network, weights
):
    """As NASA's MicroNet files come: wrapped, prefixed, with a class layer."""
    state = {f"module.{name}": tensor for name, tensor in weights.items()}
    state["module.fc.weight"] = torch.zeros(54, 2048)
    state["module.fc.bias"] = torch.zeros(54)
    info = bb.BACKBONES["resnet50-imagenet-micronet"]
    torch.save({"epoch": 3, "state_dict": state}, weights_folder / info.filename)

    loaded = bb.load_backbone(info.id)

    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert loaded.layer2[0].conv2.stride == (2, 2), "torchvision's strides"
    assert len(bb.backbone_sha256(info.id)) == 64


def test_another_file_under_torchvisions_name_is_refused(weights_folder, weights):
    info = bb.BACKBONES["resnet50-imagenet-torchvision-v1"]
    torch.save(dict(weights), weights_folder / info.filename)
    with pytest.raises(ModelError, match=r"is not ResNet50, ImageNet, torchvision V1: download"):
        bb.load_backbone(info.id)


def test_a_flipped_byte_is_noticed(tmp_path):
    damaged = tmp_path / "copy.safetensors"
    content = bytearray(bb.backbone_path().read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        bb.load_backbone(weights_path=damaged)


def test_a_file_changed_after_it_was_checked_is_checked_again(tmp_path):
    path = tmp_path / "copy.safetensors"
    path.write_bytes(bb.backbone_path().read_bytes())
    bb.load_backbone(weights_path=path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged"):
        bb.load_backbone(weights_path=path)


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth", "cut.pth.tar"])
def test_a_file_cut_short_is_refused(tmp_path, name):
    from safetensors.torch import save_file

    path = tmp_path / name
    tensors = {"conv1.weight": torch.ones(64, 3, 7, 7)}
    save_file(tensors, path) if name.endswith("safetensors") else torch.save(tensors, path)
    assert set(load_state_dict_file(path)) == {"conv1.weight"}
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ModelError, match="damaged"):
        load_state_dict_file(path)


class Intruder:
    """Unpickling it makes a folder."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.mkdir, (self.trace,))


@pytest.mark.parametrize("name", ["evil.pth", "evil.pth.tar", "evil.safetensors"])
@pytest.mark.parametrize("writer", [torch.save, lambda x, p: p.write_bytes(pickle.dumps(x))])
def test_a_pickle_with_code_in_it_is_refused_and_never_run(tmp_path, name, writer):
    trace, path = tmp_path / "was-here", tmp_path / name
    writer({"conv1.weight": Intruder(trace)}, path)
    with pytest.raises(ModelError) as error:
        load_state_dict_file(path)
    assert str(path) in str(error.value)
    assert not trace.exists()


def test_a_saved_network_object_is_told_apart_from_weights(tmp_path, network):
    path = tmp_path / "whole.pth"
    torch.save(network, path)
    with pytest.raises(ModelError, match="holds Python code"):
        load_state_dict_file(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, collections.OrderedDict(state_dict={})])
def test_a_torch_file_without_named_weights_is_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ModelError, match="holds no named weights"):
        load_state_dict_file(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.pkl", "is not a weights file"),
        ("weights.h5", "is not a weights file"),
        ("absent.pth", "does not exist"),
    ],
)
def test_other_kinds_of_file_and_missing_ones_are_refused(tmp_path, name, message):
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ModelError, match=message):
        load_state_dict_file(tmp_path / name)


def test_a_missing_file_is_named_when_loading_a_network(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.safetensors cannot be read"):
        bb.load_backbone(weights_path=tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("layer3.2.conv1.weight"), r"layer3\.2\.conv1\.weight is missing"),
        (lambda w: w.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}), "has another shape"),
        (lambda w: w.update({"layer5.0.bias": torch.zeros(1)}), r"also has layer5\.0\.bias"),
    ],
)
def test_weights_of_another_network_are_refused(weights, change, message):
    other = dict(weights)
    change(other)
    with pytest.raises(ModelError, match=message):
        bb.load_backbone(weights=other)


# --- imports


def run_python(code):
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_catalogue_is_there_without_loading_torch():
    result = run_python(
        "import sys;"
        "from napari_sem_classify.core.network.backbone import BACKBONES, backbone_path;"
        "backbone_path();"
        "print(sorted({'torch', 'torchvision', 'safetensors', 'napari'} & set(sys.modules)))"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_torchvision_and_fastai_import_in_a_fresh_python_from_several_threads():
    result = run_python(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from napari_sem_classify.core.network.torchvision_compat import import_torchvision\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    modules = list(pool.map(lambda _: import_torchvision(), range(4)))\n"
        "import torchvision, torchvision.models, torchvision.transforms.v2, fastai.vision.all\n"
        "print(all(module is torchvision for module in modules))\n"
    )
    assert result.stdout.strip() == "True", result.stderr


def test_importing_torchvision_twice_gives_the_same_module():
    assert import_torchvision() is import_torchvision() is sys.modules["torchvision"]


@pytest.mark.parametrize("strides_first", [True, False])
def test_the_network_is_torchvisions(strides_first):
    from napari_sem_classify.core.network.resnet import ResNet50

    import_torchvision()
    from torchvision.models import resnet50

    theirs = resnet50(weights=None)
    theirs.fc = torch.nn.Identity()
    if strides_first:  # as He 2016 and Keras have it
        for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    mine = ResNet50(strides_first=strides_first)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(mine.eval()(x), theirs.eval()(x))
    names = [name for name, _ in mine.layer2[0].named_children()]
    assert names == [name for name, _ in theirs.layer2[0].named_children()]
