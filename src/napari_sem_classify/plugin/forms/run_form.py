"""The one big button, how far the work is, and how it ended."""

from __future__ import annotations

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QSizePolicy

from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.plugin.app.text import duration_text
from napari_sem_classify.plugin.forms.layout import Form, Note, explain


class RunForm:
    """A button that becomes *Cancel* while work is under way."""

    started = Signal()
    cancelled = Signal()

    def __init__(self, form: Form, title: str, tooltip: str) -> None:
        self._title = title
        self._tooltip = tooltip
        self.running = False
        self.button = widgets.PushButton(text=title)
        self.button.native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.native.setMinimumHeight(round(1.4 * self.button.native.sizeHint().height()))
        self.bar = widgets.ProgressBar(value=0, min=0, max=100)
        self.bar.native.setTextVisible(False)
        explain(self.bar, "Progress", "How much of the work is done")
        self.left = Note("Time left")
        self.message = Note("Result of the last run")
        form.wide(self.button, self.bar, self.left, self.message)
        self.button.changed.connect(self._on_button)
        self.idle()

    def allow(self, ready: bool, why_not: str = "") -> None:
        """Let the user start, or tell in the tooltip why not yet."""
        if not self.running:
            self.button.enabled = ready
            explain(self.button, self._title, self._tooltip if ready else why_not)

    def start(self) -> None:
        """Show that work is under way."""
        self.running = True
        self.message.say("")
        self.button.text = "Cancel"
        self.button.enabled = True
        explain(self.button, "Cancel", "Stop; nothing that was there before changes")
        self.bar.native.setRange(0, 0)
        self.bar.native.setVisible(True)
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
        self.button.text = "Cancelling…"
        self.button.enabled = False
        self.left.say("cancelling…")

    def idle(self) -> None:
        """Show that no work is under way."""
        self.running = False
        self.button.text = self._title
        self.button.enabled = True
        explain(self.button, self._title, self._tooltip)
        self.bar.native.setVisible(False)
        self.left.say("")

    def _on_button(self) -> None:
        if self.running:
            self.cancelling()
            self.cancelled.emit()
        else:
            self.started.emit()
