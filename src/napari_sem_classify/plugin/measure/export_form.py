"""Writing what was measured: tables, maps, figures, a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui import widgets
from qtpy.QtWidgets import QFileDialog, QLabel, QRadioButton, QWidget

from napari_sem_classify.core.export.figure import FigureLook
from napari_sem_classify.core.export.kinds import KINDS, Kind
from napari_sem_classify.core.export.measured import Measured, file_stem
from napari_sem_classify.core.export.outputs import write_export
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.text import as_it_is, shortened
from napari_sem_classify.plugin.forms.layout import (
    Form,
    Note,
    button,
    check_box,
    explain,
    narrow,
)
from napari_sem_classify.plugin.forms.run_form import RunForm

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage

ALL, ALL_TITLE = "all", "The usual files (folder)"
FIRST = "figure"
OPACITIES = [(f"{percent} %", percent) for percent in (20, 40, 60, 80, 100)]
USUAL_OPACITY = 40
ENDINGS = {".png": "PNG", ".svg": "SVG", ".pdf": "PDF"}
NOTHING = "There is no class map to write: classify the image first."

Source = Callable[[], tuple[Measured, list[Callable[[], "SemImage | None"]]] | None]


class ExportForm:
    """One row for each kind of file, how a figure looks, and the button that writes.

    `source` gives what was measured, without the images, and how to get these off the main thread;
    None where there is nothing. `copy` puts the fractions on the clipboard.
    """

    def __init__(
        self, form: Form, foot: Form, owner: QWidget, source: Source, copy: Callable[[], None]
    ) -> None:
        self._owner = owner
        self._source = source
        self._writing = JobSlot(owner)
        self.what = Note("What is written")
        form.wide(self.what)
        self.kinds: dict[str, QRadioButton] = {}
        self._add_kind(form, ALL, ALL_TITLE, "Tables, map and picture of each image, in one go")
        for kind in KINDS:
            self._add_kind(form, kind.key, kind.title, f"Write *{kind.suffixes[0]}")
        self.kinds[FIRST].setChecked(True)
        self._build_look(form)
        self.copy = button("Copy fractions", "Copy the table of fractions, for a spreadsheet")
        form.wide(self.copy)
        form.stretch()
        self.run_form = RunForm(foot, "Write…", "Choose where, and write")
        self.copy.changed.connect(lambda: copy())
        self.run_form.started.connect(self._choose)
        self.run_form.cancelled.connect(self._writing.cancel)

    def _add_kind(self, form: Form, key: str, title: str, tooltip: str) -> None:
        row = QRadioButton(title)
        explain(row, title, tooltip)
        self.kinds[key] = row
        form.wide(row)

    def _build_look(self, form: Form) -> None:
        self.legend = check_box("legend", "Legend with area fractions in a figure", value=True)
        self.scale_bar = check_box("scale bar", "Scale bar in a figure", value=True)
        self.opacity = narrow(widgets.ComboBox(choices=OPACITIES, value=USUAL_OPACITY), least=4)
        explain(self.opacity, "Opacity of the classes", "How much of the image a figure hides")
        form.row("Figure", self.legend, self.scale_bar)
        form.row("", QLabel("classes"), self.opacity)

    @property
    def chosen(self) -> str:
        """Key of the kind to write."""
        return next(key for key, row in self.kinds.items() if row.isChecked())

    @property
    def look(self) -> FigureLook:
        """What figures show."""
        percent = int(self.opacity.value)
        return FigureLook(percent / 100, bool(self.legend.value), bool(self.scale_bar.value))

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writing.running

    def refresh(self) -> None:
        """Allow writing where there is something."""
        there = self._source()
        names = [] if there is None else [each.image_name for each in there[0].maps]
        self.what.say(_of_what(names) if names else NOTHING)
        self.copy.enabled = there is not None
        self.run_form.allow(there is not None, NOTHING)

    def _choose(self) -> None:
        """Ask where to write."""
        there, key = self._source(), self.chosen
        if there is None:
            return
        maps = there[0].maps
        kind = next((each for each in KINDS if each.key == key), None)
        if kind is None:
            folder = self._ask_folder("the files")
            if folder is not None:
                self.write_usual(folder)
            return
        asked = False
        if len(maps) > 1 and not kind.for_all:
            target = self._ask_folder(kind.title)
        else:
            stem = file_stem(maps[0]) if len(maps) == 1 else f"{len(maps)} images"
            target, asked = self._ask_file(kind, stem)
        if target is not None:
            self.write(kind, target, confirmed=asked)

    def _ask_folder(self, title: str) -> Path | None:
        folder = QFileDialog.getExistingDirectory(self._owner, f"Folder for {title}")
        return Path(folder) if folder else None

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
        there, look = self._source(), self.look
        if there is None or self.busy:
            return
        measured, images = there

        def task(context: JobContext) -> list[Path]:
            from dataclasses import replace

            known = [image() for image in images] if kind.needs_image else [None] * len(images)
            whole = replace(measured, images=known, look=look)
            return write_export(kind, whole, target, confirmed=confirmed, job=context)

        self._start(task, kind.title, self._done)

    def write_usual(self, folder: Path) -> None:
        """Write tables, map and picture of each map into a folder."""
        there = self._source()
        if there is None or self.busy:
            return
        measured, images = there

        def task(context: JobContext) -> tuple[int, list[str]]:
            from napari_sem_classify.core.common.output_folder import output_folder
            from napari_sem_classify.core.export.outputs import write_outputs
            from napari_sem_classify.core.image.file_names import stem_of

            written, names = 0, Counter[tuple[str, tuple[int, ...]]]()
            with output_folder(folder) as out:
                for number, class_map in enumerate(measured.maps):
                    context.check()
                    stem = stem_of(class_map.image_name)
                    names[stem, class_map.plane] += 1
                    again = names[stem, class_map.plane]  # a map of another model
                    stem = stem if again == 1 else f"{stem} ({again})"
                    image = images[number]()
                    # With the image the files are those that the command line makes of it.
                    saved = measured.saved[number] if image is None else None
                    written += len(write_outputs(class_map, image, out, stem, saved=saved))
                return written, out.told

        def done(result: tuple[int, list[str]]) -> None:
            self.run_form.message.say(
                " ".join([f"{result[0]} files written to {folder}.", *result[1]])
            )

        self._start(task, "the results", done)

    def _start(self, task: Callable[[JobContext], Any], what: str, done: Any) -> None:
        self.run_form.start()
        message = self.run_form.message
        self._writing.start(
            task,
            doing=f"writing {what}",
            on_end=self._end,
            on_done=done,
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


def _of_what(names: list[str]) -> str:
    """Which maps are written: those ticked in *Measure*."""
    if len(names) == 1:
        return f"Of the map of {shortened(names[0])}, with what Measure says of it:"
    return f"Of the {len(names)} maps that are ticked in Measure:"
