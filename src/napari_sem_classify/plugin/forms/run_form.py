"""The one big button, how far the work is, and how it ended."""

from __future__ import annotations

from magicgui import widgets
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.plugin.app.text import duration_text
from napari_sem_classify.plugin.forms.layout import Form, Note, button, enlarge, explain


class RunForm:
    """A button that starts the work, and one beside the progress bar that cancels it.

    Attributes
    ----------
    button, stop : PushButton
        Start and cancel.
    message : Note
        How the last run ended.
    left : Note
        How far the work is.
    """

    started = Signal()
    cancelled = Signal()

    def __init__(self, form: Form, title: str, tooltip: str) -> None:
        self._title = title
        self._tooltip = tooltip
        self._ready, self._why_not = True, ""
        self.running = False
        self.message = Note("Result of the last run")
        self.left = Note("Time left")
        self.bar = widgets.ProgressBar(value=0, min=0, max=100)
        self.bar.native.setTextVisible(False)
        explain(self.bar, "Progress", "How much of the work is done")
        self.stop = button("Cancel", "Stop; nothing that was there before changes")
        self.button = widgets.PushButton(text=title)
        enlarge(self.button)
        self._once = _SecondClick(self.button.native)
        form.wide(self.message, self.left)
        self._bar_row = form.row("", self.bar, self.stop)
        form.wide(self.button)
        self.button.changed.connect(self._on_start)
        self.stop.changed.connect(self._on_stop)
        self.idle()

    def allow(self, ready: bool, why_not: str = "") -> None:
        """Let the user start, or tell in the tooltip why not yet."""
        self._ready, self._why_not = ready, why_not
        if not self.running:
            self.button.enabled = ready
            explain(self.button, self._title, self._tooltip if ready else why_not)

    def start(self) -> None:
        """Show that work is under way."""
        self.running = True
        self.message.say("")
        self.button.enabled = False
        explain(self.button, self._title, "Under way")
        self.stop.enabled = True
        self.bar.native.setRange(0, 0)
        self._bar_row.setVisible(True)
        self.left.say("getting ready…")

    def tell(self, progress: Progress) -> None:
        """Show how far the work is."""
        if not self.running or progress.total == 0:
            self.left.say(f"{progress.stage}…")
            return
        self.bar.native.setRange(0, 100)
        self.bar.native.setValue(int(100 * progress.fraction))
        remaining = progress.remaining_s
        left = "" if remaining is None else f" · {duration_text(remaining)} left"
        self.left.say(f"{100 * progress.fraction:.0f} %{left}")

    def cancelling(self) -> None:
        """Show that the wish to stop was heard."""
        self.stop.enabled = False
        self.left.say("cancelling…")

    def idle(self) -> None:
        """Show that no work is under way."""
        self.running = False
        self.allow(self._ready, self._why_not)
        self._bar_row.setVisible(False)
        self.left.say("")

    def _on_start(self) -> None:
        if not self.running:
            self.started.emit()

    def _on_stop(self) -> None:
        if self.running:
            self.cancelling()
            self.cancelled.emit()


class _SecondClick(QObject):
    """Swallows the second click of a double-click: people double-click, and mean once."""

    def __init__(self, button: QWidget) -> None:
        super().__init__(button)
        button.installEventFilter(self)

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        return event is not None and event.type() == QEvent.Type.MouseButtonDblClick
