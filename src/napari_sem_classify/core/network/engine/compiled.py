"""The network compiled by torch in the background, while it already works as it is.

Compiling takes from seconds to minutes, and needs a C++ compiler or Triton. So the network starts
as it is; a thread compiles it for the batch size that is asked for, tries the result on real
tiles, and puts it in its place only where it gives the same features in less time. Whatever goes
wrong there is logged and changes nothing. What was compiled is kept in the user's cache folder.

CUDA graphs are left out: torch keeps them for each thread, and here one thread compiles and others
run; for batches of hundreds of tiles the starts of the kernels that they save are a small part.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

COMPILE_VARIABLE = "SEM_CLASSIFY_COMPILE"
"""Environment variable: 0 never compiles, 1 compiles on every device; else on NVIDIA GPUs."""

MOST_SHAPES = 3
LARGEST_ERROR = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Relative error of a tile's features against the network as it is; bfloat16 gives its rounding."""

_TRIES = 3
_log = logging.getLogger(__name__)


def compiles_on(device: torch.device) -> bool:
    """Whether the network is compiled on a device."""
    wish = os.environ.get(COMPILE_VARIABLE, "").strip()
    return wish == "1" or (wish != "0" and device.type == "cuda")


class CompiledInBackground:
    """A network that is called like the one it is made of, and becomes faster after a while.

    Parameters
    ----------
    network : Module
        On its device, in inference mode: called with a batch, gives features (N, D).
    busy : Lock
        Held by whoever calls this; taken for the comparison, so that both are timed alone.
    """

    def __init__(self, network: nn.Module, busy: threading.Lock) -> None:
        self._network, self._busy = network, busy
        self._compiled: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}
        self._seen: set[tuple[int, ...]] = set()
        self._tried: set[tuple[int, ...]] = set()
        self._thread: threading.Thread | None = None
        self._failed = False

    def __call__(self, batch: Tensor) -> Tensor:
        """Features of a batch."""
        shape = tuple(batch.shape)
        compiled = self._compiled.get(shape)
        if compiled is not None:
            try:
                return compiled(batch)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any kind: the network as it is goes on
                self._give_up(error)
        elif shape in self._seen:
            self._start(batch)
        self._seen.add(shape)  # what comes once, the last batch for one, is not worth it
        result: Tensor = self._network(batch)
        return result

    @property
    def in_use(self) -> bool:
        """Whether the compiled network is in use, for any batch size."""
        return bool(self._compiled)

    def settle(self) -> None:
        """Wait until nothing is being compiled."""
        if self._thread is not None:
            self._thread.join()

    def _start(self, batch: Tensor) -> None:
        running = self._thread is not None and self._thread.is_alive()
        full = len(self._tried) >= MOST_SHAPES or tuple(batch.shape) in self._tried
        if self._failed or running or full:
            return
        self._tried.add(tuple(batch.shape))
        work = partial(self._work, batch.clone(memory_format=torch.preserve_format))
        self._thread = threading.Thread(target=work, name="sem-classify-compile", daemon=True)
        self._thread.start()

    def _work(self, batch: Tensor) -> None:
        from platformdirs import user_cache_path

        try:
            folder = user_cache_path("napari-sem-classify", appauthor=False) / "compiled"
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
            start = time.perf_counter()
            options: dict[str, Any] = {"freezing": True} if batch.device.type == "cpu" else {}
            compiled = torch.compile(self._network, dynamic=False, fullgraph=True, options=options)
            with torch.inference_mode():
                compiled(batch)  # compiles
                with self._busy:
                    self._swap_if_better(compiled, batch, time.perf_counter() - start)
        except Exception as error:  # no compiler, no Triton, no memory, ...
            self._give_up(error)

    def _swap_if_better(self, compiled: Any, batch: Tensor, seconds: float) -> None:
        exact, got = self._network(batch), compiled(batch)
        error = float(((got - exact).norm(dim=1) / exact.norm(dim=1).clamp(min=1e-9)).max())
        if not error <= LARGEST_ERROR[batch.dtype]:
            _log.warning("the compiled network differs by %.2g: it is not used", error)
            return
        before = min(_seconds(self._network, batch) for _ in range(_TRIES))
        after = min(_seconds(compiled, batch) for _ in range(_TRIES))
        told = "network compiled in %.0f s for %d tiles: %.2f times as fast as before"
        _log.info(told, seconds, len(batch), before / after)
        if after < before:
            self._compiled[tuple(batch.shape)] = compiled

    def _give_up(self, error: Exception) -> None:
        self._failed = True
        self._compiled.clear()
        first = str(error).strip().partition("\n")[0]
        _log.info("the network is not compiled (%s: %s)", type(error).__name__, first)


def _seconds(network: Any, batch: Tensor) -> float:
    start = time.perf_counter()
    network(batch)[:1].cpu()  # waits for a GPU
    return time.perf_counter() - start
