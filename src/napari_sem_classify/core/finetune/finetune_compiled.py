"""The training step compiled by torch, where enough of a phase is left for it to pay.

A form of the network (its size, its frozen layers) takes about a minute to compile, so short phases
go on as they are. In a long one the first batches are timed; where the rest would take minutes, the
network's forward and backward are compiled on the batch at hand, held against those as they are,
and taken only where gradients agree and a step is faster. Whatever goes wrong is logged, and the
training goes on as it is. Batches of another shape (the last of an epoch) always do.
Imports torch and fastai: import this module inside functions only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from fastai.callback.core import Callback
from torch import Tensor

from napari_sem_classify.core.network.engine.compiled import use_cache_folder

if TYPE_CHECKING:
    from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork

LEAST_LEFT_S = 300.0
"""Of a phase: to compile takes about a minute, and a third of the rest is saved at best."""

LEAST_GAIN = 1.05
LARGEST_DIFFERENCE = {torch.float32: 1e-2, torch.bfloat16: 0.2, torch.float16: 0.1}
"""Of the gradients of a batch, relative. In half precision those as they are miss by as much."""

WARM_BATCHES, TIMED_BATCHES = 3, 10
_TRIES = 3
_log = logging.getLogger(__name__)


class CompiledStep(Callback):  # type: ignore[misc]
    """Looks after the first batches of a phase whether compiling pays, and does it.

    Attributes
    ----------
    least_left_s : float
        Seconds that the rest of the phase has to take.
    told : str
        What came of the last one, for a log or a benchmark.
    """

    order = 95
    least_left_s = LEAST_LEFT_S
    told = "not compiled"

    def __init__(self) -> None:
        super().__init__()
        self.decided, self.count = False, 0
        self.shape: tuple[int, ...] = ()

    def before_batch(self) -> None:
        """Time batches of one shape, then decide."""
        if self.decided or not self.training:
            return
        grey: Tensor = self.xb[0]
        if tuple(grey.shape) != self.shape:
            self.shape, self.count = tuple(grey.shape), 0
        self.count += 1
        if self.count == WARM_BATCHES:
            self.begun = _now(grey)
        elif self.count == WARM_BATCHES + TIMED_BATCHES:
            self.decided = True
            left = (self.n_epoch - self.epoch) * len(self.dls.train) - self.iter
            if left * (_now(grey) - self.begun) / TIMED_BATCHES >= self.least_left_s:
                self._try(grey)

    def after_fit(self) -> None:
        """Other phases have other forms of the network."""
        self.learn.model.fast = None

    def _try(self, grey: Tensor) -> None:
        model = self.learn.model
        try:
            found = try_compiled(model, grey)
        except Exception as error:  # no compiler, no Triton, no memory, ...
            first = str(error).strip().partition("\n")[0]
            CompiledStep.told = f"not compiled ({type(error).__name__}: {first})"
        else:
            CompiledStep.told = found.told
            if found.pays:
                model.fast = FastForward(model, found.forward, tuple(grey.shape))
        _log.info("the training step is %s", CompiledStep.told)


@dataclass(frozen=True, slots=True)
class FastForward:
    """A compiled forward for batches of one shape; other batches go as they are."""

    model: TrainedNetwork
    forward: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]

    def __call__(self, grey: Tensor) -> Tensor:
        """Logits (N, classes)."""
        if tuple(grey.shape) == self.shape:
            try:
                return self.forward(grey)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any kind: the network as it is goes on
                self.model.fast = None
                _log.info("the compiled training step is given up: %s", error)
        return self.model.as_it_is(grey)


@dataclass(frozen=True, slots=True)
class Tried:
    """A compiled forward, whether it is as good and faster, and that in words."""

    forward: Callable[[Tensor], Tensor]
    pays: bool
    told: str


def compiled_forward(model: TrainedNetwork) -> Callable[[Tensor], Tensor]:
    """The network's forward, to be compiled with its backward at the first batch of a shape."""
    use_cache_folder()
    # Dropout draws the same numbers as without.
    options: dict[str, Any] = {"fallback_random": True}
    compiled: Callable[[Tensor], Tensor] = torch.compile(
        model.as_it_is, dynamic=False, options=options
    )
    return compiled


def try_compiled(model: TrainedNetwork, grey: Tensor) -> Tried:
    """Compile forward and backward for a batch, and hold them against those as they are.

    Weights and statistics of the model are as before, and it has no gradients.

    Raises
    ------
    Exception
        Of many kinds, where torch cannot compile here.
    """
    fast = compiled_forward(model)
    begun = time.perf_counter()
    with _unchanged(model):
        _step(model, fast, grey)
        seconds = time.perf_counter() - begun
    with _unchanged(model):
        exact = _step(model, model.as_it_is, grey)
    with _unchanged(model):
        off = _difference(_step(model, fast, grey), exact)
    del exact
    if not off <= LARGEST_DIFFERENCE[model.dtype]:
        return Tried(fast, False, f"not used: its gradients are {off:.2g} off")
    with _unchanged(model):
        times = [
            min(_seconds(model, one, grey) for _ in range(_TRIES)) for one in (model.as_it_is, fast)
        ]
    gain = times[0] / times[1]
    told = f"compiled in {seconds:.0f} s: {gain:.2f} times as fast, gradients {off:.2g} off"
    return Tried(fast, gain >= LEAST_GAIN, told)


@contextmanager
def _unchanged(model: TrainedNetwork) -> Iterator[None]:
    """Put the statistics of batch-norms back, and drop gradients; random numbers stay, too."""
    before = {name: value.clone() for name, value in model.named_buffers()}
    place = next(model.parameters()).device
    try:
        with torch.random.fork_rng([place] if place.type == "cuda" else [], device_type="cuda"):
            torch.manual_seed(0)
            yield
    finally:
        with torch.no_grad():
            for name, value in model.named_buffers():
                value.copy_(before[name])
        model.zero_grad(set_to_none=True)


def _step(model: TrainedNetwork, forward: Any, grey: Tensor) -> list[Tensor]:
    """Gradients of a batch."""
    model.zero_grad(set_to_none=True)
    logits = forward(grey)
    torch.nn.functional.log_softmax(logits.float(), dim=1)[:, 0].mean().neg().backward()  # type: ignore[no-untyped-call]
    return [each.grad.clone() for each in model.parameters() if each.grad is not None]


def _difference(some: list[Tensor], others: list[Tensor]) -> float:
    """|some − others| / |others| over all gradients together."""
    apart = sum(float((a - b).double().square().sum()) for a, b in zip(some, others, strict=True))
    size = sum(float(each.double().square().sum()) for each in others)
    return float((apart / max(size, 1e-30)) ** 0.5)


def _seconds(model: TrainedNetwork, forward: Any, grey: Tensor) -> float:
    begun = _now(grey)
    _step(model, forward, grey)
    return _now(grey) - begun


def _now(grey: Tensor) -> float:
    """The time when the device is done with all that it was given."""
    if grey.device.type == "cuda":
        torch.cuda.synchronize(grey.device)
    return time.perf_counter()
