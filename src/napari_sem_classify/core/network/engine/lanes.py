"""Work that a device does in order, several rows of it beside one another.

The narrow border to CUDA's streams, events and pinned memory: all that is above it runs the same
way on a processor without them.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor


class Mark(Protocol):
    """A place in a lane."""

    def reached(self) -> None:
        """Wait until the work before it is done."""
        ...


class Lane(Protocol):
    """Work that is done in the order in which it is given."""

    def run(self, work: Callable[[], object]) -> None:
        """Give work to the device: it may be done after this returns."""
        ...

    def mark(self) -> Mark:
        """The place behind all work so far."""
        ...

    def after(self, mark: Mark) -> None:
        """Let work from now on wait for another lane's mark; the caller does not wait."""
        ...

    def room(self, size: int) -> Tensor:
        """Bytes of the device's memory, for this lane's work before all."""
        ...


class Lanes(Protocol):
    """A device's lanes, and memory that they share with the computer."""

    def lane(self) -> Lane:
        """A new lane, behind all that the device was given so far."""
        ...

    def pinned(self, size: int) -> Tensor:
        """Bytes in the computer's memory that the device copies from and to by itself."""
        ...


class HostLanes:
    """A processor does its work at once."""

    def lane(self) -> Lane:
        """See `Lanes`."""
        return _HostLane()

    def pinned(self, size: int) -> Tensor:
        """See `Lanes`."""
        return torch.empty(size, dtype=torch.uint8)


class CudaLanes:
    """Streams of an NVIDIA GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def lane(self) -> Lane:
        """See `Lanes`."""
        return _CudaLane(self.device)

    def pinned(self, size: int) -> Tensor:
        """See `Lanes`."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def lanes_of(device: torch.device) -> Lanes:
    """The lanes of a device."""
    return CudaLanes(device) if device.type == "cuda" else HostLanes()


class _Done:
    def reached(self) -> None:
        pass


class _HostLane:
    def run(self, work: Callable[[], object]) -> None:
        work()

    def mark(self) -> Mark:
        return _Done()

    def after(self, mark: Mark) -> None:
        mark.reached()

    def room(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)


class _CudaMark:
    def __init__(self, event: torch.cuda.Event) -> None:
        self.event = event

    def reached(self) -> None:
        self.event.synchronize()


class _CudaLane:
    def __init__(self, device: torch.device) -> None:
        self._device = device
        stream: Any = torch.cuda.Stream  # torch does not tell the types
        self._stream = stream(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))  # weights on their way there

    def run(self, work: Callable[[], object]) -> None:
        with torch.cuda.stream(self._stream):
            work()

    def mark(self) -> Mark:
        # Whoever waits for it sleeps: a thread that spins would take the processor from the reader.
        make: Any = torch.cuda.Event
        event = make(blocking=True)
        event.record(self._stream)
        return _CudaMark(event)

    def after(self, mark: Mark) -> None:
        assert isinstance(mark, _CudaMark)
        self._stream.wait_event(mark.event)

    def room(self, size: int) -> Tensor:
        with torch.cuda.stream(self._stream):  # the allocator keeps memory by stream
            return torch.empty(size, dtype=torch.uint8, device=self._device)
