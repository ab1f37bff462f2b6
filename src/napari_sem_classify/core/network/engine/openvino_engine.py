"""The engine on OpenVINO, for CPUs.

It runs the same folded trunk as the torch engine on tiles prepared by the same torch functions, so
that both see the same input.
Imports torch and openvino: import this module inside functions only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.engine import pipeline
from napari_sem_classify.core.network.engine.devices import cpu_has_bfloat16
from napari_sem_classify.core.network.engine.openvino_graph import ELEMENT_TYPES, build_model
from napari_sem_classify.core.network.engine.openvino_quiet import ov
from napari_sem_classify.core.network.engine.request_stream import RequestStream

_REQUEST_TILES_AT_224_PX = 4
_CORES_A_PREPARING_THREAD = 8
_threads_lock = threading.Lock()
_preparing, _usual_threads = 0, 1
_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


class OpenVinoEngine(pipeline.PreparingEngine):
    """A network run by OpenVINO in several requests at once, each of a fixed number of tiles.

    Parameters
    ----------
    **shared
        As for `PreparingEngine`, without the device.
    ranges : mapping of str to float, optional
        For the dtype "int8", from `quantise.activation_ranges`.
    """

    backend = "openvino"
    tiles_at_224_px: Mapping[str, int] = {"cpu": 32}

    def __init__(
        self,
        network: nn.Module,
        *,
        dtype: str = "float32",
        ranges: Mapping[str, float] | None = None,
        **shared: Any,
    ) -> None:
        if (dtype == "int8") != (ranges is not None):
            raise ValueError("8-bit arithmetic, and it alone, needs ranges")
        arithmetic = int8_companion() if dtype == "int8" else None
        device = torch.device("cpu")
        super().__init__(network, dtype=dtype, device=device, arithmetic=arithmetic, **shared)
        self._ranges = ranges
        self._map_model: tuple[tuple[int, ...], Any] | None = None
        self.request_tiles = pipeline.tiles_per_batch(_REQUEST_TILES_AT_224_PX, self.network_px)
        size = (self.request_tiles, self.network_px, self.network_px)
        model = build_model(self.trunk, size, self.arithmetic, ranges)
        # Some cores a request are faster than all cores on one request after the other.
        self._queue = ov.AsyncInferQueue(self._compiled(model, "THROUGHPUT"))
        self._queue.set_callback(_store)
        self.tiles_at_once = len(self._queue) * self.request_tiles
        # Every request should have something to do in every batch.
        self.batch_size = max(self.batch_size, 2 * self.tiles_at_once)

    @property
    def stream(self) -> RequestStream | None:
        """See `Engine`."""
        return RequestStream(self) if self.second_look is None else None

    def start(
        self,
        tiles: NDArray[Any],
        intensity: IntensityRange,
        out: NDArray[np.float32],
        done: list[None],
    ) -> None:
        """Begin with at most `request_tiles` tiles, as soon as there is a free request.

        `done` becomes longer by one when their features are in `out`.
        """
        with torch.inference_mode():
            with _few_torch_threads():
                prepared = self.prepare(tiles, intensity)
            with self.lock:
                self._start(prepared, out, done)

    def settle(self) -> None:
        """Wait until all that was begun is done; raises what a request failed with."""
        with self.lock:
            self._queue.wait_all()

    def embed_part(self, batch: NDArray[Any], intensity: IntensityRange) -> NDArray[np.float32]:
        """Features of at most `batch_size` tiles; the next are prepared while the first run."""
        with _few_torch_threads():
            return self._in_requests(len(batch), lambda part: self.prepare(batch[part], intensity))

    def run_network(self, prepared: Tensor) -> NDArray[np.float32]:
        """Features of prepared tiles, at most `batch_size`: the bare network."""
        return self._in_requests(len(prepared), lambda part: prepared[part])

    def run_often(self, prepared: Tensor, times: int) -> None:
        """The bare network on the same batch again and again, no request waiting for others."""
        features = np.empty((len(prepared), self.feature_size), dtype=np.float32)
        for start in list(range(0, len(prepared), self.request_tiles)) * times:
            part = slice(start, start + self.request_tiles)
            self._start(prepared[part], features[part])
        self._queue.wait_all()

    def _in_requests(self, count: int, prepared: Callable[[slice], Tensor]) -> NDArray[np.float32]:
        features = np.empty((count, self.feature_size), dtype=np.float32)
        try:
            for start in range(0, count, self.request_tiles):
                part = slice(start, start + self.request_tiles)
                self._start(prepared(part), features[part])
        finally:
            self._queue.wait_all()
        return features

    def run_maps(self, prepared: Tensor) -> list[Tensor]:
        """Maps of the pooled stages of one prepared block; a new block size is compiled once."""
        shape = tuple(prepared.shape)
        if self._map_model is None or self._map_model[0] != shape:
            self._map_model = None
            size = (1, shape[2], shape[3])
            model = build_model(self.trunk, size, self.arithmetic, self._ranges, maps=True)
            self._map_model = (shape, self._compiled(model, "LATENCY").create_infer_request())
        request = self._map_model[1]
        request.infer({0: _as_openvino(prepared)})
        return [torch.from_numpy(output.data) for output in request.output_tensors]

    def _compiled(self, model: Any, hint: str) -> Any:
        precision = _PRECISIONS[self.arithmetic]
        settings = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": precision}
        return ov.Core().compile_model(model, "CPU", settings)

    def _start(
        self, prepared: Tensor, out: NDArray[np.float32], done: list[None] | None = None
    ) -> None:
        padded = pipeline.pad_batch(prepared, self.request_tiles)
        tensor = _as_openvino(padded)
        # The torch tensor owns the memory: it must live until the request is done.
        self._queue.start_async({0: tensor}, userdata=(out, padded, done))


@contextmanager
def _few_torch_threads() -> Iterator[None]:
    """Keep torch's threads from waiting, at full speed, for cores on which OpenVINO computes.

    Their number is the process's, so the last one out puts it back.
    """
    global _preparing, _usual_threads
    with _threads_lock:
        if not _preparing:
            _usual_threads = torch.get_num_threads()
            torch.set_num_threads(max(1, _usual_threads // _CORES_A_PREPARING_THREAD))
        _preparing += 1
    try:
        yield
    finally:
        with _threads_lock:
            _preparing -= 1
            if not _preparing:
                torch.set_num_threads(_usual_threads)


def int8_companion() -> torch.dtype:
    """Arithmetic of the layers that 8-bit integers are too coarse for."""
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def _store(request: Any, userdata: tuple[NDArray[np.float32], Tensor, list[None] | None]) -> None:
    out, _, done = userdata
    out[:] = request.get_output_tensor(0).data[: len(out)]
    if done is not None:
        done.append(None)


def _as_openvino(tensor: Tensor) -> Any:
    """Share a channels-last torch tensor as an N × H × W × C tensor of OpenVINO."""
    rows = tensor.permute(0, 2, 3, 1)
    if tensor.dtype == torch.float32:
        return ov.Tensor(rows.numpy(), shared_memory=True)
    bits = rows.view(torch.int16).numpy().view(np.uint16)
    return ov.Tensor(bits, ov.Shape(list(rows.shape)), ELEMENT_TYPES[tensor.dtype])
