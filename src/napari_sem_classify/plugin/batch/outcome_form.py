"""What came of each image: a table of those done, a table of failures, and what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QHBoxLayout, QHeaderView, QLabel, QWidget

from napari_sem_classify.core.batch.batch_outcome import ImageOutcome
from napari_sem_classify.core.batch.batch_report import PAGE
from napari_sem_classify.plugin.app.text import percent_text
from napari_sem_classify.plugin.forms.dock_table import DockTable
from napari_sem_classify.plugin.forms.layout import Form, Note, button

MOST_ROWS = 6
DONE, EARLIER = "✓", "earlier"


class OutcomeForm:
    """Results of a batch.

    Attributes
    ----------
    opened : signal
        The outcome of an image that the user wants to see in the viewer.
    done, failed : OutcomeTable
    """

    opened = Signal(object)

    def __init__(self, form: Form) -> None:
        self._outcomes: list[ImageOutcome] = []
        self._rows: list[ImageOutcome] = []
        self._files: tuple[Path, ...] = ()
        self._out: Path | None = None
        self.open_url: Callable[[QUrl], object] = QDesktopServices.openUrl
        self.title = Note("Images done")
        self.done = OutcomeTable(
            self.title,
            ("Image", "Largest class", ""),
            "Images done",
            "Double-click an image to open it with its map",
        )
        self.failed_title = Note("Files that could not be used")
        self.failed = OutcomeTable(
            self.failed_title,
            ("File", "Problem"),
            "Files that could not be used",
            "Files that could not be used, and why",
            wrap=True,
        )
        self.report = button("Open report", "Open the report of all images in the web browser")
        self.folder = button("Open folder", "Show the folder with all that was written")
        self._row = QWidget()
        line = QHBoxLayout(self._row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.report.native)
        line.addWidget(self.folder.native)
        form.wide(self._row, self.title, self.done, self.failed_title, self.failed)
        self.report.changed.connect(self._open_report)
        self.folder.changed.connect(self._open_folder)
        self.done.cellDoubleClicked.connect(self._on_open)
        self.done.activated.connect(lambda index: self._on_open(index.row()))
        self.clear()

    def clear(self) -> None:
        """Show nothing: before a run."""
        self._outcomes, self._rows, self._files, self._out = [], [], (), None
        for table in (self.done, self.failed):
            table.setRowCount(0)
            table.hide()
        self.title.say("")
        self.failed_title.say("")
        self._row.hide()

    def show(self, outcomes: Sequence[ImageOutcome]) -> None:
        """Add what is new since the last look; a batch only ever grows."""
        for outcome in outcomes[len(self._outcomes) :]:
            if outcome.problem:
                self.failed.add((outcome.path.name, outcome.problem), str(outcome.path))
            else:
                self._rows.append(outcome)
                state = EARLIER if outcome.resumed else DONE
                when = "Finished by an earlier run" if outcome.resumed else "Done"
                tooltip = f"{outcome.path}\n{when}: {outcome.note}\nDouble-click opens it."
                self.done.add((outcome.path.name, largest_class(outcome), state), tooltip)
        self._outcomes = list(outcomes)
        bad = self.failed.rowCount()
        if self._rows:
            self.title.say("Double-click an image to open it with its map:")
        if bad:
            one = "1 file" if bad == 1 else f"{bad} files"
            self.failed_title.warn(f"{one} could not be used:")

    def finish(self, files: Sequence[Path], out: Path | None) -> None:
        """Offer what was written."""
        self._files, self._out = tuple(files), out
        self._row.setVisible(out is not None)
        self.report.enabled = any(path.name == PAGE for path in files)

    def _open_report(self) -> None:
        for path in self._files:
            if path.name == PAGE:
                self.open_url(QUrl.fromLocalFile(str(path.absolute())))

    def _open_folder(self) -> None:
        if self._out is not None:
            self.open_url(QUrl.fromLocalFile(str(self._out.absolute())))

    def _on_open(self, row: int, _column: int = 0) -> None:
        if 0 <= row < len(self._rows):
            self.opened.emit(self._rows[row])


def largest_class(outcome: ImageOutcome) -> str:
    """The class that covers most of an image: "coating 58.4 %"; of a stack of its first plane."""
    if not outcome.planes:
        return ""
    shares = [each for each in outcome.planes[0]["classes"] if each["fraction"] is not None]
    if not shares:
        return ""
    most = max(shares, key=lambda share: share["fraction"])
    return f"{most['name']} {percent_text(most['fraction'])}"


class OutcomeTable(DockTable):
    """Rows that come one by one; scrolls up and down beyond a few.

    Parameters
    ----------
    label, headers, name, tooltip
        As of a `DockTable`.
    wrap : bool
        Whether the second column holds sentences.
    """

    def __init__(
        self, label: QLabel, headers: Sequence[str], name: str, tooltip: str, wrap: bool = False
    ) -> None:
        super().__init__(label, name, tooltip, headers, most_rows=MOST_ROWS)
        self.setShowGrid(wrap)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(wrap)
        self.stretch(1 if wrap else 0, QHeaderView.ResizeMode.ResizeToContents)
        if wrap:
            self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        self.hide()

    def add(self, texts: Sequence[str], tooltip: str) -> None:
        """Add a row at the end."""
        row = self.rowCount()
        self.insertRow(row)
        for column, text in enumerate(texts):
            self.put(row, column, text, f"{text}\n{tooltip}" if self.wordWrap() else tooltip)
        self.fit()
        self.show()
        self.scrollToBottom()
