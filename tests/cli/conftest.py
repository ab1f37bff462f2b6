"""A command line to call, and small images and models to call it on."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_sem_classify.cli import app
from napari_sem_classify.core.sample.cross_section import generate_cross_section


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run():
    """Run a command: ``run("info", path)`` gives its status, stdout and stderr."""

    def call(*arguments: object) -> Ran:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return Ran(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """What a test learns of tiles stays out of the user's cache, and out of the next test."""
    folder = tmp_path_factory.mktemp("known-tiles")
    monkeypatch.setattr(
        "napari_sem_classify.core.network.embedding_cache.default_folder", lambda: folder
    )
    return folder


@pytest.fixture(scope="session")
def small_sample():
    """A generated cross-section of 6 × 10 tiles of 64 px, without info bar."""
    return generate_cross_section((384, 640), seed=7, info_bar=False)


@pytest.fixture
def small_demo(monkeypatch):
    """The demo with a quarter of its rows and columns, for what does not depend on its size."""
    monkeypatch.setattr(
        "napari_sem_classify.core.sample.demo.generate_cross_section",
        lambda **settings: generate_cross_section((384, 512), **settings),
    )


@pytest.fixture(scope="session")
def small_image(tmp_path_factory, small_sample) -> Path:
    path = tmp_path_factory.mktemp("image") / "coating.png"
    Image.fromarray(small_sample.image).save(path)
    return path


@pytest.fixture(scope="session")
def small_labels(tmp_path_factory, small_sample) -> Path:
    path = tmp_path_factory.mktemp("labels") / "coating-labels.png"
    Image.fromarray(small_sample.truth).save(path)
    return path


@pytest.fixture
def write_tiff(tmp_path):
    """Write an array as a TIFF and give its path."""

    def write(name: str, pixels: np.ndarray) -> Path:
        path = tmp_path / name
        tifffile.imwrite(path, pixels)
        return path

    return write


@pytest.fixture
def httpserver():
    """Serve one file's content over HTTP on this machine: ``url = httpserver(content)``."""
    servers = []

    def serve(content: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/image.tif"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
