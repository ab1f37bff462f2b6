"""Tiles as files: format, folder, and the writing itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui import widgets
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.session import GridPlan
from napari_sem_classify.plugin.app.text import counted
from napari_sem_classify.plugin.forms.layout import Form, check_box, explain, narrow
from napari_sem_classify.plugin.forms.mosaic_row import MosaicRow
from napari_sem_classify.plugin.forms.run_form import RunForm

TIFF, PNG = "TIFF", "PNG"


class WriteForm:
    """Writes the tiles that are kept.

    `source` gives the image and the tiles laid over it; None while there are none.
    """

    def __init__(
        self,
        form: Form,
        foot: Form,
        owner: QWidget,
        source: Callable[[], tuple[SemImage, GridPlan] | None],
    ) -> None:
        self._owner = owner
        self._source = source
        self._writing = JobSlot(owner)
        self.format = narrow(widgets.ComboBox(choices=[TIFF, PNG], value=TIFF), least=4)
        explain(self.format, "File format", "TIFF keeps grey values as they are, PNG is smaller")
        self.stretch = check_box(
            "8 bit, stretched",
            "Stretch the grey values over the 1 to 99 % range of the whole image",
        )
        form.row("Files", self.format)
        form.row("", self.stretch)
        self.mosaic = MosaicRow(form)
        self.run_form = RunForm(foot, "Write tiles…", "Write each tile as a file, with a table")
        self.run_form.started.connect(self._choose_folder)
        self.run_form.cancelled.connect(self._writing.cancel)

    @property
    def busy(self) -> bool:
        """Whether tiles are being written."""
        return self._writing.running

    def refresh(self) -> None:
        """Allow writing where there are tiles."""
        there = self._source()
        self.run_form.allow(there is not None and bool(there[1].keep.any()), "Lay tiles first")

    def write_to(self, folder: Path) -> None:
        """Write the kept tiles into a folder, with a table that lists them."""
        there = self._source()
        if there is None or self.busy:
            return
        image, plan = there
        kind: Any = "png" if self.format.value == PNG else "tif"
        stretch, recipe = bool(self.stretch.value), self.mosaic.over

        def task(context: JobContext) -> tuple[int, str]:
            from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
            from napari_sem_classify.core.tiles.tile_files import write_tiles

            written = [
                write_tiles(
                    PlaneTiles(image, plan.grid, plan.keep, plane),
                    folder,
                    format=kind,
                    stretch=stretch,
                    recipe=recipe,
                    job=context,
                )
                for plane in image.planes()
            ]
            renamed = next((each.renamed for each in written if each.renamed), "")
            return sum(each.count for each in written), renamed

        def done(result: tuple[int, str]) -> None:
            told = f"{counted(result[0], 'tile')} and a table are in {folder}."
            message.say(f"{told} {result[1]}".strip())

        message = self.run_form.message
        self.run_form.start()
        self._writing.start(
            task,
            doing="writing tiles",
            on_end=self._end,
            on_done=done,
            on_failed=message.fail,
            on_cancelled=lambda: message.say("Cancelled: nothing more was written."),
            on_progress=self.run_form.tell,
        )

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._owner, "Folder for the tiles")
        if folder:
            self.write_to(Path(folder))

    def _end(self) -> None:
        self.run_form.idle()
        self.refresh()
