"""Working one step ahead: a thread that makes items while the caller uses the last ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from queue import Empty, Queue
from typing import TypeVar

T = TypeVar("T")


def prefetch(
    make: Callable[[Callable[[], bool]], Iterable[T]], depth: int = 2
) -> Generator[T, None, None]:
    """Yield what `make` gives, made by a thread that is at most `depth` items ahead.

    The thread starts at the first `next` and has ended when the generator ends, is closed or is
    collected. An exception in the thread is raised here, after the items made before it.

    Parameters
    ----------
    make : callable
        Called in the thread with a function that tells whether to stop; gives the items. It
        should ask between its own longer steps.
    depth : int
        Items that may wait, at least 1.
    """
    shelf: Queue[tuple[T] | BaseException | None] = Queue(max(1, depth))
    closed = threading.Event()

    def work() -> None:
        end: BaseException | None = None
        try:
            for item in make(closed.is_set):
                shelf.put((item,))
                if closed.is_set():
                    break
        except BaseException as caught:  # the caller is told
            end = caught
        shelf.put(end)

    thread = threading.Thread(target=work, name="sem-classify-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            got = shelf.get()
            if isinstance(got, BaseException):
                raise got
            if got is None:
                return
            yield got[0]
            del got  # so that the batch in use is not held twice while the next one is awaited
    finally:
        closed.set()
        while thread.is_alive():
            with suppress(Empty):
                shelf.get_nowait()  # the thread may wait for room
            thread.join(0.01)
