"""The docks of a viewer: one of each, tabbed, opened by several entries of the menu.

napari makes a widget for each entry and a dock for each widget. An entry here opens the dock it
stands for at its page, or brings it to the front where it is there already, and then takes itself
out again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_sem_classify.plugin.app.camera import keep_whole, whole_view
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.get_ready import get_ready
from napari_sem_classify.plugin.app.session import unwrapped

if TYPE_CHECKING:
    from napari.viewer import Viewer

PLUGIN = "napari-sem-classify"
LOOK_MS = 10


class Entry(QWidget):
    """What napari makes for an entry of its menu.

    The window goes on while the modules of the dock are read beside it; then the dock opens.

    Attributes
    ----------
    PAGE : str
        Where it opens the dock, "" for where it is.
    """

    PAGE: ClassVar[str] = ""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._opened: QWidget | None = None
        self._reading = threading.Thread(target=_read, args=(self.kind,), daemon=True)
        self._reading.start()
        self._looking = QTimer(self)
        self._looking.setInterval(LOOK_MS)
        self._looking.timeout.connect(self._look)

    @staticmethod
    def kind() -> type[DockWidget]:
        """The dock it opens; reads its modules."""
        raise NotImplementedError

    @property
    def done(self) -> bool:
        """Whether the dock is there."""
        return self._opened is not None

    @property
    def opened(self) -> QWidget:
        """The dock, or the page where that is a form of its own; opened now where it is not yet."""
        if self._opened is None:
            self._opened = show_dock(self._viewer, self.kind()).at(self.PAGE)
            get_ready(self._opened)
        return self._opened

    def event(self, event: QEvent | None) -> bool:
        """Go as soon as napari has made a dock for this, which is never seen."""
        dock = self.parent()
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if isinstance(dock, QDockWidget):
                dock.hide()
                self._looking.start()
            else:  # taken out meanwhile
                self._looking.stop()
        return super().event(event)

    def _look(self) -> None:
        if self._reading.is_alive():
            return
        self._looking.stop()
        # napari's dock goes first: the other takes its place among the tabs.
        dock = self.parent()
        if isinstance(dock, QDockWidget):
            self._viewer.window.remove_dock_widget(dock)
        assert self.opened is not None
        self.deleteLater()


def _read(kind: Callable[[], object]) -> None:
    """Read the modules of a dock; what is wrong with them is told where it is opened."""
    with contextlib.suppress(Exception):
        kind()


def open_entry(viewer: Viewer, name: str) -> Any:
    """Do what an entry of the menu does, at once; gives what it opened."""
    return unwrapped(viewer).window.add_plugin_dock_widget(PLUGIN, name)[1].opened


def show_dock(viewer: Viewer, kind: type[DockWidget]) -> DockWidget:
    """Bring the dock of a kind to the front, made where there is none yet."""
    there = docks_of(viewer)
    for widget in there:
        if type(widget) is kind:
            _raise(widget.parent())
            return widget
    # The first dock takes room from the canvas: an image seen whole would be cut at its sides.
    seen = None if there else whole_view(viewer)
    widget = kind(viewer)
    dock = viewer.window.add_dock_widget(widget, name=kind.TITLE)
    dock.setWindowTitle(kind.TITLE.removeprefix("SEM "))  # on the tab: four fit side by side
    beside = next((each.parent() for each in there if _may_share(each.parent(), dock)), None)
    if beside is not None:
        dock.parent().tabifyDockWidget(beside, dock)
    _raise(dock)
    if seen is not None:
        keep_whole(viewer, widget, seen)
    return widget


def docks_of(viewer: Viewer) -> list[DockWidget]:
    """The docks of the plugin that are open in a viewer."""
    widgets = [unwrapped(viewer).window.dock_widgets[name] for name in _names(viewer)]
    return [widget for widget in widgets if isinstance(widget, DockWidget)]


def _names(viewer: Viewer) -> list[str]:
    return list(unwrapped(viewer).window.dock_widgets)


def _may_share(one: Any, other: Any) -> bool:
    """Whether two docks may be tabs of one another: both in the same border of the window."""
    main = other.parent()
    if not isinstance(one, QDockWidget) or not isinstance(main, QMainWindow) or one.isFloating():
        return False
    return main.dockWidgetArea(one) == main.dockWidgetArea(other)


def _raise(dock: Any) -> None:
    if isinstance(dock, QDockWidget):
        dock.show()
        dock.raise_()
