"""Reading network weights from files, without ever running code that a file carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

MAX_BYTES = 1 << 30
"""A ResNet50 in float32 has 0.1 GB, with its optimiser's state 0.3 GB."""

_SUFFIXES = (".safetensors", ".pth", ".pth.tar")


def load_state_dict_file(path: Path) -> dict[str, Tensor]:
    """Read named tensors from ``.safetensors``, ``.pth`` or ``.pth.tar``, on the CPU.

    The two torch formats go through ``torch.load(weights_only=True)``, which builds tensors and
    plain containers and refuses everything else. A training checkpoint (tensors under the key
    ``state_dict``) and the prefix ``module.`` of data-parallel training are taken as they come.

    Returns
    -------
    dict
        Tensor by name, shapes and dtypes as stored; independent of the file.

    Raises
    ------
    ModelError
        When the file is missing, too large, damaged, of another kind, or holds code.
    """
    if not path.name.lower().endswith(_SUFFIXES):
        raise ModelError(
            f"{path} is not a weights file: choose one that ends in {', '.join(_SUFFIXES)}."
        )
    if not path.is_file():
        raise ModelError(f"The weights file {path} does not exist: check the name and the folder.")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(
            f"{path} is too large for a network's weights (over 1 GB): choose another file."
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return _named_tensors(content, path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path) from error
    # Tensors may lie in the mapped file, which Windows then refuses to replace or delete.
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _read_torch(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds on foreign bytes, each means the same
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise ModelError(
                f"{path} holds Python code beside its weights and was not opened: "
                "ask for the weights alone, as .safetensors or a plain state_dict."
            ) from error
        raise _damaged(path) from error


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    import torch

    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise _not_weights(path)
    tensors: dict[str, Tensor] = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise _not_weights(path)
        tensors[name.removeprefix("module.")] = tensor.detach()
    return tensors


def _damaged(path: Path) -> ModelError:
    return ModelError(
        f"The weights file {path} is damaged or of another kind: copy or download it again."
    )


def _not_weights(path: Path) -> ModelError:
    return ModelError(f"{path} holds no named weights: choose the weights file of a network.")
