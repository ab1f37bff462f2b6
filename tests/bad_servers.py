"""Web servers that do what servers should not, each a function of one connection."""

from __future__ import annotations

import gzip
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

CONTENT = random.Random(0).randbytes(600_000)
LARGER = 2 * len(CONTENT)
LOGIN = b"<html><title>Sign in to the network</title></html>"


@dataclass
class Client:
    """One connection: what was asked, and ways to answer."""

    wire: socket.socket
    number: int
    start: int | None
    own: str

    def send(self, content: bytes) -> None:
        self.wire.sendall(content)

    def head(self, status: int, *lines: str) -> None:
        self.send("\r\n".join((f"HTTP/1.1 {status} x", *lines, "", "")).encode("latin-1"))

    def whole(self, *lines: str, content: bytes = CONTENT, length: int | None = None) -> None:
        size = len(content) if length is None else length
        self.head(200, f"Content-Length: {size}", *lines)
        self.send(content)

    def rest(self, end: int, *lines: str) -> None:
        """The right answer to a range, cut at `end`."""
        start = self.start or 0
        span = f"Content-Range: bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        lines = (f"Content-Length: {len(CONTENT) - start}", 'ETag: "1"', *lines)
        self.head(206 if start else 200, *((span, *lines) if start else lines))
        self.send(CONTENT[start:end])

    def drip(self, content: bytes) -> None:
        for byte in content:
            self.send(bytes([byte]))
            time.sleep(0.05)

    def endless(self, content: bytes) -> None:
        while True:
            self.send(content)


@contextmanager
def answering(behaviour: Callable[[Client], None], port: int = 0) -> Iterator[str]:
    """Give the address of a server that answers each connection so."""
    listener = socket.create_server(("127.0.0.1", port))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    wires = []

    def answer(wire: socket.socket, number: int) -> None:
        with wire, suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += wire.recv(4096)
            start = None
            for line in asked.decode("latin-1").splitlines():
                if line.lower().startswith("range: bytes="):
                    start = int(line[13:].strip("-"))
            behaviour(Client(wire, number, start, address))
            wire.shutdown(socket.SHUT_WR)

    def listen() -> None:
        with suppress(OSError):
            while True:
                wire, _ = listener.accept()
                wires.append(wire)
                threading.Thread(target=answer, args=(wire, len(wires)), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield address
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for wire in wires:
            with suppress(OSError):
                wire.close()


def good(client: Client) -> None:
    """What a server should do, ranges and all."""
    if (client.start or 0) < len(CONTENT):
        client.rest(len(CONTENT))
    else:
        client.head(416, f"Content-Range: bytes */{len(CONTENT)}", "Content-Length: 0")


def _chunked(client: Client, *lines: str, end: bytes = b"0\r\n\r\n", size: str = "") -> None:
    client.head(200, "Transfer-Encoding: chunked", *lines)
    for at in range(0, len(CONTENT), 50_000):
        part = CONTENT[at : at + 50_000]
        client.send(f"{size or hex(len(part))[2:]}\r\n".encode() + part + b"\r\n")
    client.send(end)


def _to(place: str, status: int = 302, *lines: str) -> Callable[[Client], None]:
    return lambda client: client.head(
        status, f"Location: {place.format(client=client)}", "Content-Length: 0", *lines
    )


def _wrong_range(client: Client) -> None:
    if client.start is None:
        client.rest(300_000)
    else:
        client.head(206, "Content-Range: bytes 5-104/600000", "Content-Length: 100", 'ETag: "1"')
        client.send(CONTENT[5:105])


def _always_416(client: Client) -> None:
    if client.number == 1:
        client.rest(300_000)
    else:
        client.head(416, "Content-Range: bytes */12", "Content-Length: 0")


def _portal_later(client: Client) -> None:
    if client.number == 1:
        client.rest(400_000)
    else:
        client.whole("Content-Type: text/html; charset=utf-8", content=LOGIN)


def _new_version(client: Client) -> None:
    client.head(200, f'ETag: "{client.number}"', f"Content-Length: {len(CONTENT)}")
    client.send(CONTENT[: 1000 * client.number])


def _redirect_with_endless_body(client: Client) -> None:
    client.head(302, f"Location: {client.own}/again")
    client.endless(b"x" * 65536)


def _drip_after_head(client: Client) -> None:
    client.head(200, f"Content-Length: {len(CONTENT)}", 'ETag: "1"')
    client.drip(CONTENT)


def _endless(*lines: str) -> Callable[[Client], None]:
    def behaviour(client: Client) -> None:
        client.head(200, *lines)
        client.endless(b"x" * 65536)

    return behaviour


def _many_headers(client: Client) -> None:
    client.send(b"HTTP/1.1 200 OK\r\n")
    client.endless(b"X-More: " + b"y" * 1000 + b"\r\n")


def _continues(client: Client) -> None:
    client.endless(b"HTTP/1.1 100 Continue\r\n\r\n")


def _packed_bomb(client: Client) -> None:
    client.whole("Content-Encoding: gzip", content=gzip.compress(bytes(50_000_000)))


SERVERS: dict[str, Callable[[Client], None]] = {
    "good": good,
    "ignores ranges": lambda client: client.whole('ETag: "1"'),
    "ignores ranges and cuts": lambda client: client.whole(
        'ETag: "1"', content=CONTENT[: 60_000 * (client.number % 7)], length=len(CONTENT)
    ),
    "cuts at changing places": lambda client: client.rest(90_000 * client.number),
    "brings a little each time": lambda client: client.rest((client.start or 0) + 100),
    "cuts without a version": lambda client: client.whole(
        content=CONTENT[:300_000], length=len(CONTENT)
    ),
    "has a new version each time": _new_version,
    "weak version only": lambda client: client.whole(
        'ETag: W/"1"', content=CONTENT[:300_000], length=len(CONTENT)
    ),
    "has a version of no end": lambda client: client.whole(
        f'ETag: "{"v" * 20_000}"', content=CONTENT[:300_000], length=len(CONTENT)
    ),
    "claims more than it sends": lambda client: client.whole(length=LARGER, content=CONTENT),
    "claims a terabyte": lambda client: client.whole(length=10**12),
    "claims less than it has": lambda client: client.whole(length=1000),
    "claims nonsense": lambda client: (
        client.head(200, "Content-Length: -5"),
        client.send(CONTENT),
    ),
    "claims two sizes": lambda client: (
        client.head(200, "Content-Length: 10", "Content-Length: 20"),
        client.send(CONTENT),
    ),
    "claims no size": lambda client: (client.head(200), client.send(CONTENT)),
    "claims no size and cuts": lambda client: (client.head(200), client.send(CONTENT[:-9])),
    "sends another file": lambda client: client.whole(content=CONTENT[::-1]),
    "sends nothing": lambda client: client.whole(content=b""),
    "sends a page to sign in": lambda client: client.whole(
        "Content-Type: text/html", content=LOGIN
    ),
    "sends that page later": _portal_later,
    "sends that page without a type": lambda client: client.whole(content=LOGIN),
    "redirects to a file": _to("file:///etc/passwd"),
    "redirects to ftp": _to("ftp://127.0.0.1/x"),
    "redirects to data": _to("data:text/plain,hello"),
    "redirects to itself": _to("{client.own}/"),
    "redirects on and on": _to("{client.own}/{client.number}", 307),
    "redirects to nowhere": _to("http://[", 301),
    "redirects without a place": lambda client: client.head(302, "Content-Length: 0"),
    "redirects with an endless body": _redirect_with_endless_body,
    "packs the file": lambda client: client.whole(
        "Content-Encoding: gzip", content=gzip.compress(CONTENT)
    ),
    "sends a packed bomb": _packed_bomb,
    "sends in chunks": lambda client: _chunked(client, 'ETag: "1"'),
    "cuts in chunks": lambda client: _chunked(client, 'ETag: "1"', end=b""),
    "lies in chunks": lambda client: _chunked(client, 'ETag: "1"', size="ffffffffff"),
    "has no sense in chunks": lambda client: _chunked(client, size="zz"),
    "drips": _drip_after_head,
    "drips its headers": lambda client: client.drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10**6),
    "never ends": _endless(),
    "never ends, in one chunk": _endless("Transfer-Encoding: chunked", "", "ffffffffffff"),
    "sends headers for ever": _many_headers,
    "says go on for ever": _continues,
    "says nothing": lambda client: time.sleep(5),
    "says nothing after the headers": lambda client: (
        client.head(200, f"Content-Length: {len(CONTENT)}"),
        time.sleep(5),
    ),
    "closes at once": lambda client: None,
    "speaks no HTTP": lambda client: client.send(b"\x00\xff" * 500 + b"\r\n\r\n"),
    "gives a wrong range": _wrong_range,
    "knows no range": _always_416,
    "is busy": lambda client: client.head(503, "Retry-After: 0", "Content-Length: 0"),
    "is busy for a day": lambda client: client.head(429, "Retry-After: 86400"),
    "is busy until a date": lambda client: client.head(
        503, "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT"
    ),
    "is busy for no time": lambda client: client.head(429, "Retry-After: -\u00b2"),
    "has a fault": lambda client: client.head(500, "Content-Length: 0"),
    "is gone": lambda client: client.head(404, "Content-Length: 0"),
    "wants a password": lambda client: client.head(401, "WWW-Authenticate: Basic"),
}
"""By what they do, in words."""

WELL = {
    "good",
    "ignores ranges",
    "cuts at changing places",
    "claims nonsense",
    "claims no size",
    "sends in chunks",
}
"""Those from which the file comes all the same."""

SILENT = {
    "redirects with an endless body",
    "drips",
    "drips its headers",
    "sends headers for ever",
    "says go on for ever",
    "says nothing",
    "says nothing after the headers",
}
"""Those that are left after some time."""
