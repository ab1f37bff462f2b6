"""Writing what was measured: tables, maps, figures, a report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtGui import QAction, QActionGroup
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_sem_classify.core.export.figure import FigureLook
from napari_sem_classify.core.export.kinds import KINDS, Kind
from napari_sem_classify.core.export.measured import Measured, file_stem
from napari_sem_classify.core.export.outputs import write_export
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.text import as_it_is, shortened
from napari_sem_classify.plugin.forms.layout import Form, pop_below
from napari_sem_classify.plugin.forms.run_form import RunForm

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage

OPACITIES = (20, 40, 60, 80, 100)
USUAL_OPACITY = 40
ENDINGS = {".png": "PNG", ".svg": "SVG", ".pdf": "PDF"}


class ExportForm:
    """A button with a menu of all that can be written.

    `source` gives what was measured, without the images, and how to get these off the main thread;
    None where there is nothing. `copy` puts the fractions on the clipboard.
    """

    def __init__(
        self,
        form: Form,
        owner: QWidget,
        source: Callable[[], tuple[Measured, list[Callable[[], SemImage | None]]] | None],
        copy: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._source = source
        self._writing = JobSlot(owner)
        self.run_form = RunForm(
            form, "Export ▾", "Write tables, class map, polygons, figure or report"
        )
        self.menu = QMenu(owner)
        self.menu.setToolTipsVisible(True)
        self.actions: dict[str, QAction | None] = {}
        for kind in KINDS:
            action = self.menu.addAction(f"{kind.title}…")
            action.triggered.connect(partial(self._choose, kind))
            self.actions[kind.key] = action
        self.menu.addSeparator()
        self._build_look()
        self.menu.addAction("Copy fractions").triggered.connect(lambda _=False: copy())
        self.run_form.started.connect(self._on_button)
        self.run_form.cancelled.connect(self._writing.cancel)

    def _build_look(self) -> None:
        look = self.menu.addMenu("Figure shows")
        self.legend = look.addAction("Legend with area fractions")
        self.scale_bar = look.addAction("Scale bar")
        for action in (self.legend, self.scale_bar):
            action.setCheckable(True)
            action.setChecked(True)
        opacity = look.addMenu("Opacity of the classes")
        self.opacity = QActionGroup(opacity)
        for percent in OPACITIES:
            action = opacity.addAction(f"{percent} %")
            action.setCheckable(True)
            action.setChecked(percent == USUAL_OPACITY)
            action.setData(percent)
            self.opacity.addAction(action)

    @property
    def look(self) -> FigureLook:
        """What figures show."""
        chosen = self.opacity.checkedAction()
        percent = USUAL_OPACITY if chosen is None else int(chosen.data())
        return FigureLook(percent / 100, self.legend.isChecked(), self.scale_bar.isChecked())

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writing.running

    def refresh(self) -> None:
        """Allow writing where there is something."""
        self.run_form.allow(self._source() is not None, "There is no class map to write")

    def _on_button(self) -> None:
        pop_below(self.menu, self.run_form.button.native)

    def _choose(self, kind: Kind, _checked: bool = False) -> None:
        there = self._source()
        if there is None:
            return
        maps = there[0].maps
        if len(maps) > 1 and not kind.for_all:
            folder = QFileDialog.getExistingDirectory(self._owner, f"Folder for {kind.title}")
            target, asked = (Path(folder) if folder else None), False
        else:
            stem = file_stem(maps[0]) if len(maps) == 1 else f"{len(maps)} images"
            target, asked = self._ask_file(kind, stem)
        if target is not None:
            self.write(kind, target, confirmed=asked)

    def _ask_file(self, kind: Kind, stem: str) -> tuple[Path | None, bool]:
        """A file, and whether the dialog asked about just this name if there is one already."""
        endings = kind.suffixes
        # Of ".figure.png" only ".png" is asked for.
        known = [f".{suffix.rpartition('.')[2]}" for suffix in endings]
        filters = ";;".join(f"{ENDINGS.get(each, kind.title)} (*{each})" for each in known)
        name, _ = QFileDialog.getSaveFileName(
            self._owner, kind.title, f"{stem}{endings[0]}", filters
        )
        if not name:
            return None, False
        path = Path(name)
        whole = path.suffix.lower() in known
        return (path if whole else Path(f"{name}{endings[0]}")), whole

    def write(self, kind: Kind, target: Path, *, confirmed: bool = False) -> None:
        """Write one kind to a file, or a folder of files, off the main thread.

        `confirmed` tells that the user said that a file of that name may be replaced.
        """
        there = self._source()
        if there is None or self.busy:
            return
        measured, images = there
        look = self.look

        def task(context: JobContext) -> list[Path]:
            from dataclasses import replace

            known = [image() for image in images] if kind.needs_image else [None] * len(images)
            whole = replace(measured, images=known, look=look)
            return write_export(kind, whole, target, confirmed=confirmed, job=context)

        self.run_form.start()
        message = self.run_form.message
        self._writing.start(
            task,
            doing=f"writing {kind.title}",
            on_end=self._end,
            on_done=self._done,
            on_failed=message.fail,
            on_cancelled=lambda: message.say("Cancelled: nothing more was written."),
            on_progress=self.run_form.tell,
        )

    def _done(self, written: list[Path]) -> None:
        if len(written) == 1:
            self.run_form.message.say(f"Written: {shortened(written[0].name)}")
        else:
            folder = shortened(written[0].parent.name)
            self.run_form.message.say(f"{len(written)} files written to {folder}.")
        self.run_form.message.setToolTip(as_it_is("\n".join(map(str, written[:20]))))

    def _end(self) -> None:
        self.run_form.idle()
        self.refresh()
