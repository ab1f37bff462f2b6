"""The docks of a viewer: one of each, tabbed, opened by several entries of the menu.

napari makes a widget for each entry and a dock for each widget. An entry here opens the dock it
stands for at its page, or brings it to the front where it is there already, and then takes itself
out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_sem_classify.plugin.app.camera import keep_whole, whole_view
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.app.session import unwrapped

if TYPE_CHECKING:
    from napari.viewer import Viewer

PLUGIN = "napari-sem-classify"


class Entry(QWidget):
    """What napari makes for an entry of its menu.

    Attributes
    ----------
    KIND : type
        The dock it opens.
    PAGE : str
        Where it opens it, "" for where it is.
    opened : QWidget
        The dock, or the page where that is a form of its own.
    """

    KIND: ClassVar[type[DockWidget]]
    PAGE: ClassVar[str] = ""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self.opened = show_dock(self._viewer, self.KIND).at(self.PAGE)
        self._going = SettleTimer(self, 0, self._go)

    def event(self, event: QEvent | None) -> bool:
        """Go as soon as napari has made a dock for this, which is never seen."""
        dock = self.parent()
        new = event is not None and event.type() == QEvent.Type.ParentChange
        if new and isinstance(dock, QDockWidget):
            dock.hide()
            self._going.start()
        return super().event(event)

    def _go(self) -> None:
        dock = self.parent()
        if isinstance(dock, QDockWidget):
            self._viewer.window.remove_dock_widget(dock)
        self.deleteLater()


def open_entry(viewer: Viewer, name: str) -> Any:
    """Do what an entry of the menu does; gives what it opened."""
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
