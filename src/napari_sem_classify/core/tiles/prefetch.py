"""Working one step ahead: a thread that makes items while the caller uses the last ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

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
    shelf: _Shelf[T] = _Shelf(depth)

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in make(shelf.is_closed):
                if not shelf.put(item):
                    break
        except BaseException as caught:  # the caller is told
            error = caught
        shelf.end(error)

    thread = threading.Thread(target=work, name="sem-classify-prefetch", daemon=True)
    thread.start()
    try:
        yield from shelf
    finally:
        shelf.close()
        thread.join()


class _Shelf(Generic[T]):
    """A short queue whose two ends can both be told that it is over."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = max(1, depth)
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None

    def is_closed(self) -> bool:
        return self._closed

    def put(self, item: T) -> bool:
        """Wait for room and add an item; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._depth)
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None) -> None:
        """Tell the taker that nothing more comes, and why."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Tell the maker to stop, and drop what waits."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Generator[T, None, None]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._items) or self._ended)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # so that the batch in use is not held twice while the next one is awaited
