"""The one way to an engine: by its settings, made once in a process and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_info, load_backbone
from napari_sem_classify.core.network.engine.base import Engine
from napari_sem_classify.core.network.engine.devices import (
    cpu_has_bfloat16,
    find_device,
    has_openvino,
)
from napari_sem_classify.core.network.engine.trial import Maker, Setting, fastest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_sem_classify.core.network.engine.pipeline import PreparingEngine

KEPT_ENGINES = 4
BACKENDS = ("auto", "torch", "openvino")
DTYPE_NAMES = ("auto", "float32", "bfloat16", "float16")

_lock = threading.RLock()
_engines: OrderedDict[tuple[Any, ...], tuple[Engine, Any]] = OrderedDict()


def make_engine(
    *,
    network_px: int,
    stages: Sequence[int] = (2, 3, 4),
    backbone_id: str = DEFAULT_BACKBONE,
    trunk: Mapping[str, NDArray[Any]] | None = None,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
) -> Engine:
    """Give an engine with these settings, making it when the process has none yet.

    Takes seconds the first time (torch is imported, weights are read): call it off the main thread
    of a viewer. The last few engines are kept, so that asking again costs nothing.

    Parameters
    ----------
    network_px : int
        Side of the network's input; tiles of any size are resized to it.
    stages : sequence of int
        Stages of the trunk to pool, from 1.
    backbone_id : str
        Of `BACKBONES`; it sets the network's form and the scaling of its input.
    trunk : mapping of str to ndarray, optional
        Fine-tuned weights by torchvision's names, instead of the backbone's own. Engines are
        kept by the mapping's identity: do not change it in place.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    backend : {"auto", "torch", "openvino"}
    dtype : {"auto", "float32", "bfloat16", "float16"}
        Of the network's arithmetic. "auto" takes the fastest that keeps the classes.

    Raises
    ------
    DeviceError
        When the device or backend is not there.
    ModelError
        When the weights cannot be read or do not fit.
    """
    if backend not in BACKENDS:
        raise DeviceError(f"{backend!r} is no backend: choose {', '.join(BACKENDS)}.")
    if dtype not in DTYPE_NAMES:
        raise DeviceError(f"{dtype!r} is no arithmetic: choose {', '.join(DTYPE_NAMES)}.")
    place = find_device(device)
    if backend == "openvino":
        _require_openvino(place)

    def made() -> Engine:
        network = load_network(backbone_id, trunk)
        scaling = backbone_info(backbone_id).scaling
        make = _maker(network, place, network_px=network_px, stages=stages, scaling=scaling)
        wanted = _candidates(place, backend, dtype)
        return make(wanted[0]) if len(wanted) == 1 else fastest(wanted, make, network_px)

    key = (network_px, tuple(stages), backbone_id, id(trunk), str(place), backend, dtype)
    return keep_engine(key, trunk, made)


def keep_engine(
    key: tuple[Any, ...], trunk: Mapping[str, NDArray[Any]] | None, make: Callable[[], Engine]
) -> Engine:
    """The kept engine of a key, made where there is none; the last few are kept.

    The key holds the identity of `trunk`, which is kept alive with the engine.
    """
    with _lock:
        if key in _engines:
            _engines.move_to_end(key)
            return _engines[key][0]
        engine = make()
        _engines[key] = (engine, trunk)
        while len(_engines) > KEPT_ENGINES:
            _engines.popitem(last=False)
        return engine


def forget_engines() -> None:
    """Let go of the kept engines and their memory."""
    with _lock:
        _engines.clear()


def load_network(backbone_id: str, trunk: Mapping[str, NDArray[Any]] | None) -> nn.Module:
    """Load a backbone in float32, or with it a fine-tuned model's own weights."""
    import numpy as np
    import torch

    weights = None
    if trunk is not None:
        weights = {name: torch.from_numpy(np.array(array)) for name, array in trunk.items()}
    return load_backbone(backbone_id, weights=weights)


def _maker(network: nn.Module, place: torch.device, **seen: Any) -> Maker:
    """How an engine of a setting is made; `seen` is what all have of network and input."""

    def make(setting: Setting) -> PreparingEngine:
        if setting.backend == "openvino":
            from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(network, dtype=setting.dtype, **seen)
        from napari_sem_classify.core.network.engine.torch_engine import TorchEngine

        return TorchEngine(network, dtype=setting.dtype, device=place, **seen)

    return make


def _candidates(place: torch.device, backend: str, dtype: str) -> list[Setting]:
    """Settings worth a trial on a device, the likeliest first."""
    import torch

    if dtype != "auto":
        dtypes = [dtype]
    elif place.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        dtypes = ["bfloat16" if native else "float16"]
    elif place.type == "cpu" and cpu_has_bfloat16():
        dtypes = ["bfloat16", "float32"]
    else:
        dtypes = ["float32"]
    backends = [backend]
    if backend == "auto":
        backends = ["openvino", "torch"] if place.type == "cpu" and has_openvino() else ["torch"]
    return [Setting(name, kind) for kind in dtypes for name in backends]


def _require_openvino(place: torch.device) -> None:
    if place.type != "cpu":
        raise DeviceError(
            "OpenVINO is used on the CPU alone: choose the device cpu or the backend torch."
        )
    if not has_openvino():
        raise DeviceError(
            "OpenVINO is not installed: run pip install 'napari-sem-classify[cpu]', "
            "or choose the backend torch."
        )
