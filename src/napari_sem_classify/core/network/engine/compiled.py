"""The network compiled by torch in the background, while it already works as it is.

Compiling takes from seconds to minutes, and needs a C++ compiler or Triton. So the network starts
as it is; a thread compiles it for the batch size that is asked for, tries the result on real
tiles, and puts it in its place only where it is as exact and takes less time. Whatever goes
wrong there is logged and changes nothing. What was compiled is kept in the user's cache folder.
While it compiles it takes Python and the device from the work, so it begins only when there has
been work for about as long as it may take: one image is done sooner without.

The network is traced once and handed to inductor, without dynamo: dynamo's compiled functions look
at the state of the thread that calls them (number of threads, autocast, gradients), and where it is
not that of the thread that compiled, they compile again in the middle of the work or fall back.
What inductor gives runs the same kernels whoever calls. Its traces also have no limit of eight
networks in a process.

CUDA graphs are left out: for batches of hundreds of tiles the starts of the kernels that they save
are hidden behind the work on the batch before.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import atexit
import copy
import ctypes
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

COMPILE_VARIABLE = "SEM_CLASSIFY_COMPILE"
"""Environment variable: 0 never compiles, 1 compiles on every device; else on NVIDIA GPUs."""

MOST_SHAPES = 3
LARGEST_ERROR = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Relative error of a tile's features that is always allowed."""

ALLOWED_ERROR = 1.5
"""Else so many times the error that the network as it is has in this arithmetic."""

COMPILE_AFTER_S = 10.0
"""Of work."""

_TRIES = 3
_LONGEST_BATCH_S = 1.0
_EXACT_TILES = 8
_SWITCH_S = 2e-4
_END_S = 3.0
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

    Attributes
    ----------
    after_s : float
        Seconds of work after which it compiles.
    state : str
        What came of it, for a log or a benchmark.
    """

    def __init__(self, network: nn.Module, busy: threading.Lock) -> None:
        self._network, self._busy = network, busy
        self._compiled: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}
        self._seen: set[tuple[int, ...]] = set()
        self._tried: set[tuple[int, ...]] = set()
        self._thread: threading.Thread | None = None
        self._failed = False
        self._worked, self._last = 0.0, time.perf_counter()
        self.after_s = COMPILE_AFTER_S
        self.state = "not compiled yet"

    def __call__(self, batch: Tensor) -> Tensor:
        """Features of a batch."""
        shape = tuple(batch.shape)
        now = time.perf_counter()
        # Between two images nothing may be done for hours.
        self._worked += min(now - self._last, _LONGEST_BATCH_S)
        self._last = now
        compiled = self._compiled.get(shape)
        if compiled is not None:
            try:
                return compiled(batch)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any kind: the network as it is goes on
                self._give_up(error)
        elif shape in self._seen and self._worked >= self.after_s:
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
        atexit.register(_end, self._thread)

    def _work(self, batch: Tensor) -> None:
        try:
            start = time.perf_counter()
            with torch.inference_mode():
                with _switching_often():
                    compiled = compile_network(self._network, batch)
                    compiled(batch)  # the first call builds what is left to build
                seconds = time.perf_counter() - start
                with self._busy:
                    self._swap_if_better(compiled, batch, seconds)
        except Exception as error:  # no compiler, no Triton, no memory, ...
            self._give_up(error)

    def _swap_if_better(
        self, compiled: Callable[[Tensor], Tensor], batch: Tensor, seconds: float
    ) -> None:
        some = batch[:_EXACT_TILES]
        exact = copy.deepcopy(self._network).double()(some.double())
        usual = _error(self._network(batch)[:_EXACT_TILES], exact)
        error = _error(compiled(batch)[:_EXACT_TILES], exact)
        if not error <= max(LARGEST_ERROR[batch.dtype], ALLOWED_ERROR * usual):
            self.state = f"not used: its features are {error:.2g} off, as it is {usual:.2g}"
            _log.warning("the compiled network is %s", self.state)
            return
        before = min(_seconds(self._network, batch) for _ in range(_TRIES))
        after = min(_seconds(compiled, batch) for _ in range(_TRIES))
        told = f"in {seconds:.0f} s for {len(batch)} tiles: {before / after:.2f} times as fast"
        _log.info("network compiled %s as before", told)
        self.state = f"compiled {told}"
        if after < before:
            self._compiled[tuple(batch.shape)] = compiled

    def _give_up(self, error: Exception) -> None:
        self._failed = True
        self._compiled.clear()
        first = str(error).strip().partition("\n")[0]
        self.state = f"not compiled ({type(error).__name__}: {first})"
        _log.info("the network is %s", self.state)


def compile_network(network: nn.Module, batch: Tensor) -> Callable[[Tensor], Tensor]:
    """A network compiled for one shape of batch; takes seconds to minutes.

    Raises
    ------
    Exception
        Of many kinds, where torch cannot compile here.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    use_cache_folder()
    # Freezing packs the weights for a CPU; a GPU takes them as they are.
    options: dict[str, Any] = {"freezing": True} if batch.device.type == "cpu" else {}
    # Unlike `symbolic_trace`, which changes what every thread's modules do while it traces.
    traced = make_fx(network)(batch)
    compiled: Callable[[Tensor], Tensor] = torch._inductor.compile(traced, [batch], options=options)
    return compiled


def use_cache_folder() -> None:
    """Have torch keep what it compiles in the user's cache folder."""
    from platformdirs import user_cache_path

    folder = user_cache_path("napari-sem-classify", appauthor=False) / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def _end(thread: threading.Thread) -> None:
    """Have a thread that compiles end before Python does.

    Python stops threads where they are, and one that is inside torch's C++ takes the program with
    it. One that waits for a compiler does not hear, and does no harm.
    """
    if thread.is_alive() and thread.ident is not None:
        wish = ctypes.py_object(SystemExit)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), wish)
        thread.join(_END_S)


@contextmanager
def _switching_often() -> Iterator[None]:
    """Let the thread that works on tiles have its turn soon.

    Compiling is Python for the most part, and each operation on the tiles has to wait until Python
    is free: by Python's own rule up to 5 ms, a hundred times a batch.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, _SWITCH_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _error(features: Tensor, exact: Tensor) -> float:
    """Largest over the tiles of |features − exact| / |exact|."""
    return float(((features - exact).norm(dim=1) / exact.norm(dim=1).clamp(min=1e-9)).max())


def _seconds(network: Any, batch: Tensor) -> float:
    start = time.perf_counter()
    network(batch)[:1].cpu()  # waits for a GPU
    return time.perf_counter() - start
