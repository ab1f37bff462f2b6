"""What came of each image: a table of those done, a table of failures, and what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices, QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QHeaderView, QLabel, QWidget

from napari_sem_classify.core.batch.batch_outcome import ImageOutcome
from napari_sem_classify.core.batch.batch_report import PAGE
from napari_sem_classify.core.model.transfer import estimate_of
from napari_sem_classify.plugin.app.text import counted, percent_text
from napari_sem_classify.plugin.forms.dock_table import DockTable
from napari_sem_classify.plugin.forms.layout import Form, Note, button

MOST_ROWS = 6
NAME_LETTERS = 8
TITLE = (
    "Double-click an image to open it with its map. What you correct there, scale or bar, counts "
    "when you run again; only these images are done anew."
)
NONE_YET = "What comes of each image is listed here as the batch runs, and opened from here."
DONE, EARLIER = "✓", "earlier"
PAGE_ENDING = Path(PAGE).suffix  # its name may be another where the user has a file of that name


class OutcomeForm:
    """Results of a batch; `opened` tells the outcome that the user wants to see in the viewer."""

    opened = Signal(object)

    def __init__(self, form: Form) -> None:
        self._seen = 0
        self._rows: list[ImageOutcome] = []
        self._page: Path | None = None
        self._out: Path | None = None
        self.open_url: Callable[[QUrl], object] = QDesktopServices.openUrl
        self.title = Note("Images done")
        self.done = OutcomeTable(
            self.title,
            ("Image", "Largest class", "Like learned", ""),
            "Double-click an image to open it with its map",
        )
        self.failed_title = Note("Files that could not be used")
        self.failed = OutcomeTable(
            self.failed_title,
            ("File", "Problem"),
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
        self.report.changed.connect(lambda: self._open_place(self._page))
        self.folder.changed.connect(lambda: self._open_place(self._out))
        self.done.activated.connect(lambda index: self._on_open(index.row()))
        self.clear()

    def clear(self) -> None:
        """Show nothing: before a run."""
        self._seen, self._rows, self._page, self._out = 0, [], None, None
        for table in (self.done, self.failed):
            table.setRowCount(0)
            table.hide()
        self.title.say(NONE_YET)
        self.failed_title.say("")
        self._row.hide()

    def show(self, outcomes: Sequence[ImageOutcome]) -> None:
        """Add what is new since the last look; a batch only ever grows."""
        for outcome in outcomes[self._seen :]:
            if outcome.problem:
                self.failed.add((outcome.path.name, outcome.problem), str(outcome.path))
            else:
                self._rows.append(outcome)
                self._add(outcome)
        self._seen = len(outcomes)
        bad = self.failed.rowCount()
        if outcomes:
            self.title.say(TITLE if self._rows else "")
        if bad:
            self.failed_title.warn(f"{counted(bad, 'file')} could not be used:")

    def finish(self, files: Sequence[Path]) -> None:
        """Offer what was written."""
        self._out = files[0].parent
        self._page = next((path for path in files if path.suffix == PAGE_ENDING), None)
        self.report.enabled = self._page is not None
        self._row.show()

    def sort(self) -> None:
        """Show first what is unlike what the model learned: once no more rows come."""
        self._rows.sort(key=lambda outcome: estimate_of(outcome.judgement))
        self.done.setRowCount(0)
        for outcome in self._rows:
            self._add(outcome)

    def _add(self, outcome: ImageOutcome) -> None:
        state = EARLIER if outcome.resumed else DONE
        when = "Finished by an earlier run" if outcome.resumed else "Done"
        about = f"{when}: {outcome.note}\n{outcome.renamed}".rstrip()
        judged = outcome.judgement
        largest = largest_class(outcome)
        parts = (outcome.path, about, largest, judged.sentence, "Double-click opens it.")
        told = (outcome.path.name, largest, judged.short, state)
        tooltip = "\n".join(str(part) for part in parts if part)
        self.done.add(told, tooltip)

    def _open_place(self, path: Path | None) -> None:
        if path is not None:
            self.open_url(QUrl.fromLocalFile(str(path.absolute())))

    def _on_open(self, row: int) -> None:
        if 0 <= row < len(self._rows):
            self.opened.emit(self._rows[row])


def largest_class(outcome: ImageOutcome) -> str:
    """The class that covers most of an image: "coating 58.4 %"; of a stack of its first plane."""
    shares = [
        (each["fraction"], each["name"], each.get("contains") is not None)
        for plane in outcome.planes[:1]
        for each in plane["classes"]
        if each["fraction"] is not None
    ]
    if not shares:
        return ""
    fraction, name, in_tiles = max(shares, key=lambda share: share[0])
    return (
        f"tiles with {name} {percent_text(fraction)}"
        if in_tiles
        else f"{name} {percent_text(fraction)}"
    )


class OutcomeTable(DockTable):
    """Rows that come one by one; scrolls beyond a few. With `wrap` its last column has sentences.

    It has the name of its label.
    """

    def __init__(
        self, label: QLabel, headers: Sequence[str], tooltip: str, wrap: bool = False
    ) -> None:
        super().__init__(label, label.accessibleName(), tooltip, headers, most_rows=MOST_ROWS)
        self.setShowGrid(wrap)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(wrap)
        self.stretch(1 if wrap else 0, QHeaderView.ResizeMode.ResizeToContents)
        if wrap:
            self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        self.hide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the second column to the tooltips where it would cut the names."""
        super().resizeEvent(event)
        self._fit_width()

    def _fit_width(self) -> None:
        if self.wordWrap():
            return
        header = self.horizontalHeader()
        others = [
            max(self.sizeHintForColumn(column), header.sectionSizeHint(column))
            for column in range(1, self.columnCount())
        ]
        name = NAME_LETTERS * self.fontMetrics().averageCharWidth()
        self.setColumnHidden(1, name + sum(others) > self.viewport().width())

    def add(self, texts: Sequence[str], tooltip: str) -> None:
        """Add a row at the end."""
        row = self.rowCount()
        self.insertRow(row)
        for column, text in enumerate(texts):
            self.put(row, column, text, f"{text}\n{tooltip}" if self.wordWrap() else tooltip)
        self.fit()
        self._fit_width()
        self.show()
        self.scrollToBottom()
