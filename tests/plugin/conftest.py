"""A viewer with the widgets in it, and small real things to work on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.plugin.app import docks

PLUGIN = docks.PLUGIN
LONG_MS = 120_000


@pytest.fixture(autouse=True)
def real_canvas():
    assert os.environ.get("QT_QPA_PLATFORM") != "offscreen", "napari's canvas needs Xvfb"


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Logs, models and features of the tests stay out of the user's folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def shelf(qapp):
    """Where the window lies that the tests share."""
    from shared_window import Shelf

    shelf = Shelf()
    yield shelf
    shelf.throw_away()


@pytest.fixture
def viewer(request, qtbot, monkeypatch):
    """The viewer as plugins get it, in the shared window.

    Tests marked `own_window` get a window of their own: those that close it or change it for good.
    So do those that ask for more windows, which are looked through for leaks all together.
    """
    more = "make_napari_viewer" in request.fixturenames
    if more or request.node.get_closest_marker("own_window"):
        yield request.getfixturevalue("make_napari_viewer_proxy")()
        return
    from napari.utils._proxies import PublicOnlyProxy

    monkeypatch.setenv("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "True")
    with request.getfixturevalue("shelf").lend(lambda: request.node.rep_call.failed) as shared:
        yield PublicOnlyProxy(shared)
        request.node.funcargs.clear()  # the test is over: what it was given may go


@pytest.fixture
def real_viewer(viewer):
    """The viewer as the test itself sees it, without the proxy that plugins get."""
    return viewer.__wrapped__


@pytest.fixture
def viewer_model():
    """A viewer without a window, as plugins get it: for what looks at layers alone."""
    from napari.components import ViewerModel
    from napari.utils._proxies import PublicOnlyProxy

    return PublicOnlyProxy(ViewerModel())


@pytest.fixture
def open_widget(real_viewer):
    """Open a widget by its name in the manifest."""

    def open_it(name):
        return docks.open_entry(real_viewer, name)

    return open_it


def until(qtbot, condition, timeout=LONG_MS):
    qtbot.waitUntil(condition, timeout=timeout)


def half_dark(rows=128, cols=256, dtype=np.uint8):
    """Dark on the left, bright on the right, with a little noise; no bar, no black pixel."""
    random = np.random.default_rng(0)
    picture = np.full((rows, cols), 60.0)
    picture[:, cols // 2 :] = 190.0
    picture += random.normal(0, 6, picture.shape)
    return np.clip(picture, 1, 254).astype(dtype)


class SlowEngine(TinyEngine):
    """Waits at each batch until the test lets it go on."""

    def __init__(self, gate):
        super().__init__(batch_size=8)
        self.gate = gate

    def embed(self, batch, intensity):
        assert self.gate.wait(LONG_MS / 1000)
        return super().embed(batch, intensity)


@pytest.fixture
def small_model(monkeypatch):
    """A two-class model on a small network, as the model form offers it.

    Give it to `ModelForm.offer`; `engine` may be exchanged before the run.
    """
    from napari_sem_classify.core.model.catalogue import ModelEntry

    class Small:
        classifier = brightness_classifier(tile_px=16, pixel_size_nm=10.0)
        entry = ModelEntry("brightness", Path("brightness"), classifier.card, "user")
        engine = TinyEngine(batch_size=8)

    small = Small()
    monkeypatch.setattr(
        "napari_sem_classify.core.model.catalogue.load_model", lambda _path: small.classifier
    )
    monkeypatch.setattr(
        "napari_sem_classify.core.model.engines.engine_for", lambda _model, **_wish: small.engine
    )
    return small
