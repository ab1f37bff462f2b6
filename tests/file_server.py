"""A web server of files for tests of downloads: ranges, versions, and cuts on demand."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves `files` by path; cuts each answer after the bytes in `cuts`, one by one.

    `asked` holds path and range of every request; with a `status` all requests get that answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.version, self.cuts, self.status = '"1"', [], None
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if server.status is not None or self.path not in server.files:
            self.send_response(server.status or 404)
            self.end_headers()
            return
        content = server.files[self.path]
        first, size = 0, len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and self.headers.get("If-Range") == server.version:
            first = int(wanted[1])
            self.send_response(416 if first >= size else 206)
            span = "*" if first >= size else f"{first}-{size - 1}"
            self.send_header("Content-Range", f"bytes {span}/{size}")
        else:
            self.send_response(200)
        self.send_header("ETag", server.version)
        self.send_header("Content-Length", str(max(0, size - first)))
        self.end_headers()
        end = first + server.cuts.pop(0) if server.cuts else size
        self.wfile.write(content[first:end])

    def log_message(self, *_args):
        pass


@contextmanager
def serving() -> Iterator[FileServer]:
    """Give a running server."""
    server = FileServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
