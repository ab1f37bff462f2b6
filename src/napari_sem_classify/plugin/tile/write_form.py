"""Tiles as files: format, folder, and the writing itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui import widgets
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.plugin.app.jobs import JobContext, Worker
from napari_sem_classify.plugin.app.session import GridPlan
from napari_sem_classify.plugin.app.text import count_text
from napari_sem_classify.plugin.forms.layout import Form, explain, narrow
from napari_sem_classify.plugin.forms.run_form import RunForm

if TYPE_CHECKING:
    from napari_sem_classify.core.common.job import Progress

TIFF, PNG = "TIFF", "PNG"


class WriteForm:
    """Writes the tiles that are kept.

    Parameters
    ----------
    form : Form
    owner : QWidget
    source : callable
        Gives the image and the tiles laid over it; None while there are none.
    """

    def __init__(
        self,
        form: Form,
        owner: QWidget,
        source: Callable[[], tuple[SemImage, GridPlan] | None],
    ) -> None:
        self._owner = owner
        self._source = source
        self._job: Worker | None = None
        self.format = narrow(widgets.ComboBox(choices=[TIFF, PNG], value=TIFF), least=4)
        self.stretch = widgets.CheckBox(value=False, text="8 bit, stretched")
        explain(self.format, "File format", "TIFF keeps grey values as they are, PNG is smaller")
        explain(
            self.stretch,
            "8 bit, stretched",
            "Stretch the grey values over the 1 to 99 % range of the whole image",
        )
        form.row("Files", self.format, self.stretch)
        self.run_form = RunForm(form, "Write tiles…", "Write each tile as a file, with a table")
        self.run_form.started.connect(self._choose_folder)
        self.run_form.cancelled.connect(self._cancel)

    @property
    def busy(self) -> bool:
        """Whether tiles are being written."""
        return self._job is not None

    def refresh(self) -> None:
        """Allow writing where there are tiles."""
        there = self._source()
        self.run_form.allow(there is not None and bool(there[1].keep.any()), "Lay tiles first")

    def write_to(self, folder: Path) -> None:
        """Write the kept tiles into a folder, with a table that lists them."""
        there = self._source()
        if there is None or self._job is not None:
            return
        image, plan = there
        kind: Any = "png" if self.format.value == PNG else "tif"
        stretch = bool(self.stretch.value)

        def task(context: JobContext) -> int:
            from napari_sem_classify.core.tiles.tile_files import write_tiles

            count = 0
            for plane in image.planes():
                count += write_tiles(
                    image,
                    plan.grid,
                    folder,
                    format=kind,
                    keep=plan.keep,
                    stretch=stretch,
                    plane=plane,
                    job=context,
                ).count
            return count

        def done(count: int) -> None:
            self._end()
            self.run_form.message.say(f"{count_text(count)} tiles and a table are in {folder}.")

        def failed(sentence: str) -> None:
            self._end()
            self.run_form.message.fail(sentence)

        def cancelled() -> None:
            self._end()
            self.run_form.message.say("Cancelled: nothing more was written.")

        self.run_form.start()
        self._job = Worker(
            task,
            doing="writing tiles",
            parent=self._owner,
            on_done=done,
            on_failed=failed,
            on_cancelled=cancelled,
            on_progress=self._on_progress,
        )

    def stop(self) -> None:
        """Let go of work under way: for a widget that goes away."""
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._owner, "Folder for the tiles")
        if folder:
            self.write_to(Path(folder))

    def _on_progress(self, progress: Progress) -> None:
        if self._job is not None and not self._job.cancelling:
            self.run_form.tell(progress)

    def _end(self) -> None:
        self._job = None
        self.run_form.idle()
        self.refresh()

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
