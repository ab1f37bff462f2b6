"""The one way to an engine: by its settings, made once in a process and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_sem_classify.core.engine.base import Engine
from napari_sem_classify.core.engine.devices import cpu_has_bfloat16, find_device, has_openvino
from napari_sem_classify.core.errors import DeviceError
from napari_sem_classify.core.model.backbone import DEFAULT_BACKBONE, load_backbone

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_sem_classify.core.model.head import TileClassifier

KEPT_ENGINES = 3
BACKENDS = ("auto", "torch", "openvino")
DTYPE_NAMES = ("auto", "float32", "bfloat16", "float16")

_lock = threading.RLock()
_engines: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()


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
        Stages of the trunk to pool, 1 to 4.
    backbone_id : str
        Of `BACKBONES`; it sets the trunk's strides too.
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
    key = (network_px, tuple(stages), backbone_id, id(trunk), str(place), backend, dtype)
    with _lock:
        if key in _engines:
            _engines.move_to_end(key)
            return _engines[key]
        network = _load_network(backbone_id, trunk)
        engine = _choose(network, network_px, stages, place, backend, dtype)
        # The mapping is kept alive with the engine: its identity is part of the key.
        engine.trunk_weights = trunk  # type: ignore[attr-defined]
        _engines[key] = engine
        while len(_engines) > KEPT_ENGINES:
            _engines.popitem(last=False)
        return engine


def engine_for(classifier: TileClassifier, device: str = "auto", backend: str = "auto") -> Engine:
    """Give the engine that a model needs: its backbone or own trunk, its stages and input size.

    Raises
    ------
    DeviceError
        When the device or backend is not there.
    ModelError
        When the weights cannot be read or do not fit.
    """
    card = classifier.card
    return make_engine(
        network_px=card.network_px,
        stages=card.stages,
        backbone_id=card.backbone_id,
        trunk=classifier.trunk,
        device=device,
        backend=backend,
    )


def forget_engines() -> None:
    """Let go of the kept engines and their memory."""
    with _lock:
        _engines.clear()


def _load_network(backbone_id: str, trunk: Mapping[str, NDArray[Any]] | None) -> nn.Module:
    import numpy as np
    import torch

    weights = None
    if trunk is not None:
        weights = {name: torch.from_numpy(np.array(array)) for name, array in trunk.items()}
    return load_backbone(backbone_id, weights=weights)


def _choose(
    network: nn.Module,
    network_px: int,
    stages: Sequence[int],
    place: torch.device,
    backend: str,
    dtype: str,
) -> Engine:
    from napari_sem_classify.core.engine.torch_engine import TorchEngine

    if backend == "openvino":
        from napari_sem_classify.core.engine.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(network, network_px=network_px, stages=stages, dtype=dtype)
    return TorchEngine(
        network,
        network_px=network_px,
        stages=stages,
        device=place,
        dtype=torch_dtype(place) if dtype == "auto" else dtype,
    )


def torch_dtype(place: torch.device) -> str:
    """Fastest arithmetic of a device under torch that keeps the classes."""
    import torch

    if place.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if place.type == "cpu" and cpu_has_bfloat16():
        return "bfloat16"
    return "float32"


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
