"""What all dock widgets of the plugin share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.log import log_unexpected
from napari_sem_classify.plugin.app import turns
from napari_sem_classify.plugin.app.jobs import JobSlot, SettleTimer
from napari_sem_classify.plugin.app.session import session_of, unwrapped

if TYPE_CHECKING:
    from napari.viewer import Viewer


def tell_unsaved(sentence: str) -> None:
    """Say what was not saved where the dock, which would show it, goes away.

    The whole window may go with it: then the terminal and the log file tell.
    """
    from napari.utils.notifications import show_error

    log_unexpected(OutputError(sentence), "closing the dock")
    if sys.stderr is not None:
        print(sentence, file=sys.stderr)
    show_error(sentence)


class DockWidget(QWidget):
    """A widget in napari's dock that knows its viewer and lets go of it when it is taken out.

    Attributes
    ----------
    TITLE : str
        What stands over the dock and on its tab.
    """

    TITLE: ClassVar[str] = "SEM"

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._session = session_of(self._viewer)

    def at(self, page: str) -> QWidget:
        """Turn to a page, "" for where it is; gives what a script may want to work with."""
        del page  # docks of one page have none to turn to
        return self

    def event(self, event: QEvent) -> bool:
        """Stop work when napari takes the widget out of its dock."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.stop()
        return super().event(event)

    def stop(self) -> None:
        """Let go of all work under way and of what waits to start."""
        turns.now()
        for timer in self.findChildren(SettleTimer):
            timer.stop()
        for slot in self.findChildren(JobSlot):
            slot.abandon()
