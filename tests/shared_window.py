"""One napari window for many tests: as new for each, and what a test leaves behind is found.

Opening and closing a window takes a second. A lent window is given back without docks, layers,
overlays and settings of the test before; whatever of the plugin still listens, runs or ticks then
is a fault of the plugin or of the test, and is named.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from unittest.mock import patch

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QTimer
from qtpy.QtWidgets import QApplication

from napari_sem_classify.plugin.app import session

OURS = "napari_sem_classify"
THREADS = "sem-classify: "
ENDS_WITHIN_S = 30.0
SETTINGS = ("help", "status", "title", "theme", "mouse_over_canvas")


class SharedWindow:
    """A hidden napari window, made like those of napari's own fixture.

    Attributes
    ----------
    viewer : napari.Viewer
    """

    def __init__(self):
        from app_model import Application
        from napari import Viewer
        from napari._app_model._app import NapariApplication, _napari_names
        from napari._qt._qapp_model.qactions import init_qactions
        from napari._qt.qt_viewer import QtViewer
        from napari.plugins import _initialize_plugins
        from napari.settings import get_settings

        get_settings().reset()
        app = NapariApplication("shared_app")
        app.injection_store.namespace = _napari_names
        self._app = patch.object(NapariApplication, "get_app_model", return_value=app)
        self._app.start()
        self._end_app = lambda: Application.destroy("shared_app")
        self._caches = (_initialize_plugins, init_qactions)
        for cache in self._caches:
            cache.cache_clear()
        with patch("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None):
            self.viewer = Viewer(show=False, show_welcome_screen=False)
        # napari's own fixture, where a test also asks for it, looks for windows left behind.
        QtViewer._instances.discard(self.viewer.window._qt_viewer)
        self._settings = {name: getattr(self.viewer, name) for name in SETTINGS}
        self._parts = [(part, part.model_dump()) for part in _parts(self.viewer)]
        self._overlays = set(self.viewer.canvas.overlays)
        gc.collect()

    def close(self):
        """Close the window for good."""
        gc.unfreeze()
        main = "napari._qt.qt_main_window._QtMainWindow"
        with patch(f"{main}._save_current_window_settings"):
            self.viewer.close()
        self._app.stop()
        self._end_app()
        for cache in self._caches:
            cache.cache_clear()

    @contextmanager
    def lent(self):
        """Lend the window; gives a list that afterwards names what was left behind."""
        windows, left = set(QApplication.topLevelWidgets()), []
        gc.freeze()  # looking through what was there before, too, would take half a second
        yield left
        self.clean()
        left += [f"thread {thread.name}" for thread in _threads_that_stay()]
        left += [f"listening: {each}" for each in _listeners(self.viewer)]
        left += [f"window {each!r}" for each in set(_windows()) - windows]
        left += [f"widget {each!r}" for each in QApplication.allWidgets() if _is_ours(each)]
        left += [f"timer of {each.parent()!r}" for each in _timers_that_tick()]
        left += self.differences()

    def clean(self):
        """Take out docks, layers and overlays, and turn everything back."""
        viewer = self.viewer
        assert hasattr(viewer.window, "_qt_window"), "closed: mark the test with own_window"
        _take_out_docks(viewer.window)
        settle()
        viewer.layers.clear()
        for key in set(viewer.canvas.overlays) - self._overlays:
            del viewer.canvas.overlays[key]
        viewer.canvas.overlays.scale_bar.visible = False  # shown by what is calibrated
        for part, values in self._parts:
            part.update(values)
        for name, value in self._settings.items():
            setattr(viewer, name, value)
        settle()
        session._sessions.pop(id(viewer), None)
        gc.collect()

    def differences(self):
        """What of the viewer is not as it was when it was new, in words."""
        viewer = self.viewer
        found = [f"layer {layer.name}" for layer in viewer.layers]
        found += [f"dock {name}" for name in viewer.window._wrapped_dock_widgets]
        found += [f"overlay {key}" for key in set(viewer.canvas.overlays) ^ self._overlays]
        found += [f"session of {id(viewer)}"] * (id(viewer) in session._sessions)
        for name, value in self._settings.items():
            if getattr(viewer, name) != value:
                found.append(f"{name}: {getattr(viewer, name)!r}")
        for part, values in self._parts:
            for name, value in part.model_dump().items():
                if str(value) != str(values[name]):
                    found.append(f"{type(part).__name__}.{name}: {value!r}, was {values[name]!r}")
        return found


def _parts(viewer):
    """Parts of the viewer's model that a test may turn."""
    scene, canvas = viewer.scene, viewer.canvas
    return viewer.dims, viewer.cursor, viewer.tooltip, scene.camera, canvas.grid


def _take_out_docks(window):
    for dock in list(window._wrapped_dock_widgets.values()):
        inner = dock.widget()
        window.remove_dock_widget(dock)  # where the plugin's widgets stop their work
        if inner is not None:  # not where a test has taken it out
            inner.deleteLater()


def settle():
    """Deliver what is queued, deletions too."""
    QApplication.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


def _is_ours(thing):
    return type(thing).__module__.startswith(OURS)


def _threads_that_stay():
    """Threads of jobs that do not end although their widget is gone."""
    threads = [each for each in threading.enumerate() if each.name.startswith(THREADS)]
    for thread in threads:
        thread.join(ENDS_WITHIN_S)
    return [thread for thread in threads if thread.is_alive()]


def _windows():
    """Top-level widgets that belong to nobody; those of the canvas go when vispy lets them."""
    return [
        each
        for each in QApplication.topLevelWidgets()
        if each.parent() is None
        and each.objectName() != "handled_widget"
        and type(each).__name__ != "CanvasBackendDesktop"
    ]


def _timers_that_tick():
    """Timers made since the window was lent that belong to nobody or to the plugin."""
    # By type: asking things of every kind whether they are timers wakes lazy ones up.
    found = [each for each in gc.get_objects() if issubclass(type(each), QTimer)]
    active = [timer for timer in found if isalive(timer) and timer.isActive()]
    return [timer for timer in active if timer.parent() is None or _is_ours(timer.parent())]


def _listeners(viewer):
    """Callbacks of the plugin on the viewer's events."""
    model = (viewer, viewer.layers, viewer.layers.selection, viewer.canvas, viewer.canvas.overlays)
    for source in (*model, *_parts(viewer)):
        for name, emitter in source.events.emitters.items():
            for callback in emitter.callbacks:
                owner = callback[0]() if isinstance(callback, tuple) else callback
                where = getattr(owner, "__module__", None) or type(owner).__module__
                if owner is not None and where.startswith(OURS):
                    yield f"{type(owner).__name__} to {type(source).__name__}.{name}"


class Shelf:
    """Where the window lies between tests; a test that failed or left things behind spoils it."""

    def __init__(self):
        self._window = None

    @contextmanager
    def lend(self, failed):
        """Lend the window to a test.

        Parameters
        ----------
        failed : callable
            Asked after the test whether it failed: what it left is no fault of the plugin then.

        Raises
        ------
        AssertionError
            When things are left in the window; the next test gets a new one.
        """
        if self._window is None:
            self._window = SharedWindow()
        try:
            with self._window.lent() as left:
                yield self._window.viewer
            assert failed() or not left, "left in the shared window: " + "; ".join(left)
        except BaseException:
            self.throw_away()
            raise
        if failed():  # its traceback holds on to much
            self.throw_away()

    def throw_away(self):
        """Close the window."""
        if self._window is not None:
            self._window.close()
            self._window = None
