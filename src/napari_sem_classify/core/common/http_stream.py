"""One answer of a web server, read in a thread of its own so that it can be left at any moment.

A read that waits for a server cannot be interrupted, and a timeout a read never comes where a byte
a second does. So a thread reads ahead, and whoever takes the bytes looks at the clock and at the
wish to stop between them. Redirects are followed here: requests reads the bodies of redirects to
their end, however long these are.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from napari_sem_classify.core.common.job import Job

if TYPE_CHECKING:
    from requests import Response, Session

QUIET_S = 30.0
LEAST_BYTES = 1 << 14
"""What has to come within `QUIET_S`, or the server counts as silent: some 500 bytes a second."""
_REDIRECTS = 5
_POLL_S = 0.1
_CHUNK_BYTES = 1 << 16
_CHUNKS_AHEAD = 64


class NoAnswer(Exception):
    """The server cannot be reached, fell silent or broke off; another attempt may help."""


class Misled(Exception):
    """The server sends us somewhere else, where there is no file; `str` says where, for users."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers of an answer; its body by `chunks`, once, as it was sent."""

    status: int
    headers: Mapping[str, str]
    chunks: Callable[[], Iterator[bytes]]


@contextmanager
def asking(
    url: str, headers: Mapping[str, str], *, job: Job | None = None, quiet_s: float = QUIET_S
) -> Iterator[Answer]:
    """Ask for a file and give the answer; the connection ends with the block.

    Parameters
    ----------
    job : Job, optional
        Checked ten times a second, here and while chunks are taken.
    quiet_s : float
        Within this time the headers have to come, and of the body `LEAST_BYTES` again and again.

    Raises
    ------
    NoAnswer, Misled
        Here and while chunks are taken.
    Cancelled
        When the job was asked to stop.
    """
    reader = _Reader(url, headers, quiet_s)
    threading.Thread(target=reader.run, name="download", daemon=True).start()
    try:
        status, fields = reader.take(job, time.monotonic() + quiet_s)
        yield Answer(status, fields, lambda: _chunks(reader, job, quiet_s))
    finally:
        reader.leave()


def _chunks(reader: _Reader, job: Job | None, quiet_s: float) -> Iterator[bytes]:
    since, count = time.monotonic(), 0
    while (chunk := reader.take(job, since + quiet_s)) is not None:
        yield chunk
        count += len(chunk)
        if count >= LEAST_BYTES:
            since, count = time.monotonic(), 0
        elif time.monotonic() > since + quiet_s:
            raise NoAnswer("next to nothing came")


class _Reader:
    """Reads in its thread: first (status, headers), then chunks, None at the end, or an error."""

    def __init__(self, url: str, headers: Mapping[str, str], quiet_s: float) -> None:
        self._url, self._headers, self._quiet_s = url, headers, quiet_s
        self._items: Queue[Any] = Queue(_CHUNKS_AHEAD)
        self._left = threading.Event()
        self._connections: list[Any] = []

    def run(self) -> None:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.exceptions import HTTPError

        connections = self._connections

        class Adapter(HTTPAdapter):
            """Tells of its connections, so that they can be cut while they wait."""

            def get_connection_with_tls_context(self, *given: Any, **more: Any) -> Any:
                pool: Any = super().get_connection_with_tls_context(*given, **more)
                kind = type(pool).ConnectionCls

                def connect(*given: Any, **more: Any) -> Any:
                    connections.append(kind(*given, **more))
                    return connections[-1]

                pool.ConnectionCls = connect
                return pool

        try:
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, Adapter())
                with self._answer(session) as answer:
                    self._put((answer.status_code, answer.headers))
                    while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=False):
                        self._put(chunk)
                self._put(None)
        except (OSError, HTTPError, ValueError) as error:  # requests' own are OSErrors
            self._put(NoAnswer(str(error)))
        except Exception as error:
            self._put(error)

    def take(self, job: Job | None, deadline: float) -> Any:
        """What came next; waits for it."""
        while True:
            if job is not None:
                job.check()
            try:
                item = self._items.get(timeout=_POLL_S)
            except Empty:
                if time.monotonic() > deadline:
                    raise NoAnswer("nothing came") from None
                continue
            if isinstance(item, Exception):
                raise item
            return item

    def leave(self) -> None:
        """Cut the connection; the thread ends by itself."""
        self._left.set()
        for connection in list(self._connections):
            waiting = getattr(connection, "sock", None)
            if waiting is not None:
                with suppress(OSError):
                    waiting.shutdown(socket.SHUT_RDWR)

    def _put(self, item: Any) -> None:
        while not self._left.is_set():
            with suppress(Full):
                self._items.put(item, timeout=_POLL_S)
                return
        if not isinstance(item, Exception):
            raise NoAnswer("no one listens any more")

    def _answer(self, session: Session) -> Response:
        url, schemes = self._url, {"https"}
        if urlsplit(url).scheme == "http":
            schemes = {"http", "https"}
        for _ in range(_REDIRECTS + 1):
            if urlsplit(url).scheme not in schemes:
                raise Misled("to an address that is no safe web address")
            answer = session.get(
                url,
                headers=self._headers,
                stream=True,
                timeout=self._quiet_s,
                allow_redirects=False,
            )
            target = session.get_redirect_target(answer)
            if target is None:
                return answer
            answer.close()
            url = urljoin(url, target)
        raise Misled("from one address to the next without end")
