"""The engine on OpenVINO, for CPUs.

It runs the same folded trunk as the torch engine on tiles prepared by the same torch functions, so
that both see the same input.
Imports torch and openvino: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.engine.devices import cpu_has_bfloat16, device_title
from napari_sem_classify.core.network.engine.network import GreyTrunk
from napari_sem_classify.core.network.engine.openvino_graph import (
    ELEMENT_TYPES,
    build_map_model,
    build_model,
)
from napari_sem_classify.core.network.engine.pipeline import (
    DTYPES,
    PreparingEngine,
    pad_batch,
    tiles_per_batch,
)

_TILES_AT_224_PX = 32
_REQUEST_TILES_AT_224_PX = 4
_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


class OpenVinoEngine(PreparingEngine):
    """A ResNet run by OpenVINO in several requests at once, each of a fixed number of tiles.

    Parameters
    ----------
    network : Module
        A torchvision ResNet with bottleneck blocks, in float32 on the CPU; it is not changed.
    network_px : int
        Side of the network's input.
    stages : sequence of int
        Stages to pool.
    dtype : {"float32", "bfloat16", "float16", "int8"}
        Of the arithmetic. Features come out in float32.
    ranges : mapping of str to float, optional
        For "int8", from `quantise.activation_ranges`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        network_px: int,
        stages: Sequence[int] = (2, 3, 4),
        dtype: str = "float32",
        ranges: Mapping[str, float] | None = None,
    ) -> None:
        if (dtype == "int8") != (ranges is not None):
            raise ValueError("8-bit arithmetic, and it alone, needs ranges")
        cpu = torch.device("cpu")
        arithmetic = int8_companion() if dtype == "int8" else DTYPES[dtype]
        trunk = GreyTrunk(network, stages, arithmetic)
        super().__init__(
            trunk,
            network_px=network_px,
            dtype=dtype,
            torch_device=cpu,
            backend="openvino",
            device=device_title(cpu),
            batch_size=tiles_per_batch(_TILES_AT_224_PX, network_px),
            arithmetic=arithmetic,
        )
        self._ranges = ranges
        self._trunk = trunk
        self._map_model: tuple[tuple[int, ...], Any] | None = None
        self._request_tiles = tiles_per_batch(_REQUEST_TILES_AT_224_PX, network_px)
        model = build_model(trunk, self._request_tiles, network_px, arithmetic, ranges)
        compiled = ov.Core().compile_model(
            model,
            "CPU",
            # Some cores a request are faster than all cores on one request after the other.
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "INFERENCE_PRECISION_HINT": _PRECISIONS[arithmetic],
            },
        )
        self._queue = ov.AsyncInferQueue(compiled)
        self._queue.set_callback(_store)
        requests = len(self._queue)
        # Every request should have something to do in every batch.
        self.batch_size = max(self.batch_size, 2 * requests * self._request_tiles)

    def embed_part(self, batch: NDArray[Any], intensity: IntensityRange) -> NDArray[np.float32]:
        """Features of at most `batch_size` tiles; the next are prepared while the first run."""
        features = np.empty((len(batch), self.feature_size), dtype=np.float32)
        try:
            for start in range(0, len(batch), self._request_tiles):
                part = slice(start, start + self._request_tiles)
                self._start(self.prepare(batch[part], intensity), features[part])
        finally:
            self._queue.wait_all()
        return features

    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""
        features = np.empty((len(prepared), self.feature_size), dtype=np.float32)
        try:
            for start in range(0, len(prepared), self._request_tiles):
                part = slice(start, start + self._request_tiles)
                self._start(prepared[part], features[part])
        finally:
            self._queue.wait_all()
        return features

    def run_maps(self, prepared: Tensor) -> list[Tensor]:
        """Maps of the pooled stages of one prepared block; a new block size is compiled once."""
        shape = tuple(prepared.shape)
        if self._map_model is None or self._map_model[0] != shape:
            self._map_model = None
            model = build_map_model(self._trunk, shape[2], shape[3], self.arithmetic, self._ranges)
            compiled = ov.Core().compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": _PRECISIONS[self.arithmetic],
                },
            )
            self._map_model = (shape, compiled.create_infer_request())
        request = self._map_model[1]
        request.infer({0: _as_openvino(prepared)})
        return [torch.from_numpy(output.data) for output in request.output_tensors]

    def _start(self, prepared: Tensor, out: NDArray[np.float32]) -> None:
        padded = pad_batch(prepared, self._request_tiles)
        tensor = _as_openvino(padded)
        # The torch tensor owns the memory: it must live until the request is done.
        self._queue.start_async({0: tensor}, userdata=(out, padded))


def int8_companion() -> torch.dtype:
    """Arithmetic of the layers that 8-bit integers are too coarse for."""
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def _store(request: Any, userdata: tuple[NDArray[np.float32], Tensor]) -> None:
    out, _ = userdata
    out[:] = request.get_output_tensor(0).data[: len(out)]


def _as_openvino(tensor: Tensor) -> Any:
    """Share a channels-last torch tensor as an N × H × W × C tensor of OpenVINO."""
    rows = tensor.permute(0, 2, 3, 1)
    if tensor.dtype == torch.float32:
        return ov.Tensor(rows.numpy(), shared_memory=True)
    bits = rows.view(torch.int16).numpy().view(np.uint16)
    return ov.Tensor(bits, ov.Shape(list(rows.shape)), ELEMENT_TYPES[tensor.dtype])
