"""What to learn from: annotated images, or a folder or table of labelled ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sem_classify.core.annotate.annotation_file import SUFFIX
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.evaluate.dataset import Listing, RowCrop, read_listing
from napari_sem_classify.core.finetune.annotated_images import tile_sizes
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.app.text import as_it_is, count_text
from napari_sem_classify.plugin.finetune.chosen import AnnotatedChoice, Choice, FolderChoice
from napari_sem_classify.plugin.finetune.finder import Finder
from napari_sem_classify.plugin.forms.image_table import ImageTable, image_rows
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, narrow, slim

if TYPE_CHECKING:
    from napari.components import ViewerModel

IMAGES, FOLDER = "annotated images", "folder or table"
NO_IMAGES = (
    "Open an SEM image and annotate some tiles of each class in Teach, or choose a folder of "
    "images in class folders. Or try it on the sample."
)
NOT_ANNOTATED = "No tile is annotated yet: annotate tiles of two or more classes in Teach."
NO_FOLDER = "Choose a folder with a folder of images for each class, or a CSV of path and class."
LIST_TOOLTIP = (
    "Images to learn from, uncheck those to leave out; and the specimens that they show: whole "
    "ones are held out to score the model"
)
USUAL_MOST = 1000
TILE_PX = 128


class DataForm:
    """Choice of the data; `teach_wanted` once the user pressed the button that leads there."""

    changed = Signal()
    teach_wanted = Signal()

    def __init__(self, viewer: ViewerModel, form: Form, owner: QWidget) -> None:
        self._owner = owner
        self._reading = JobSlot(owner)
        self._listing: Listing | None = None
        self._unchecked: set[str] = set()
        self._specimens: dict[str, str] = {}
        self.finder = Finder(viewer, owner)
        self._build(form)
        self._connect()
        self.refresh()

    def _build(self, form: Form) -> None:
        self.source = narrow(widgets.ComboBox(choices=[IMAGES, FOLDER], value=IMAGES))
        explain(self.source, "Learn from", "Tiles annotated in Teach, or images sorted by class")
        form.row("From", self.source)
        self.empty = Note("What to do first")
        self.sample = button("Open the sample", "Open a generated image, to try it on")
        self.teach = button("Open Teach", "Annotate tiles of the image there")
        self.problem = Note("Problem with the data")
        form.wide(self.empty, self.sample, self.teach, self.problem)
        self.list = ImageTable(self.problem, LIST_TOOLTIP)
        self.add = button("Add annotations…", "Add annotations of other images, saved by Teach")
        form.wide(self.list, self.add)
        self.tile = narrow(widgets.ComboBox(choices=[]), least=6)
        explain(self.tile, "Tile size", "Annotated tiles of this size are learned from")
        self._tile_row = form.row("Tile", self.tile)
        self.most = slim(widgets.SpinBox(value=USUAL_MOST, min=10, max=100_000, step=100))
        explain(self.most, "Tiles of a class at most", "Of more a random sample is drawn")
        self._most_row = form.row("Up to", self.most, widgets.Label(value="a class"))
        tooltip = "A folder that holds a folder for each class"
        self.folder = button("Folder…", tooltip, "Choose folder")
        tooltip = "A CSV with the columns path, class and maybe group"
        self.table = button("Table…", tooltip, "Choose table")
        self._folder_row = form.row("Images", self.folder, self.table)
        self.where = Note("Folder or table")
        form.wide(self.where)
        self.cut = widgets.CheckBox(value=False, text="cut into tiles of")
        explain(self.cut, "Cut into tiles", "Learn from tiles of the images, not whole images")
        self.cut_px = slim(widgets.SpinBox(value=TILE_PX, min=8, max=16384), longest="00000")
        explain(self.cut_px, "Tile size in px", "Side of the tiles in pixels of the images")
        self._cut_row = form.row("Tile", self.cut, self.cut_px, widgets.Label(value="px"))
        self.rows = widgets.LineEdit(value="")
        self.rows.native.setPlaceholderText("without info bar")
        usage = "Rows of every image to use, as 130:893 or 0:81%; left empty the info bar is found"
        explain(self.rows, "Rows to use", usage)
        self._rows_row = form.row("Rows", self.rows)

    def _connect(self) -> None:
        self.finder.changed.connect(self.refresh)
        self.source.changed.connect(self.refresh)
        self.teach.changed.connect(self.teach_wanted.emit)
        self.list.checked.connect(self._on_checked)
        self.list.said.connect(self._on_specimen)
        self.add.changed.connect(self._choose_annotations)
        self.folder.changed.connect(self._choose_folder)
        self.table.changed.connect(self._choose_table)
        for control in (self.tile, self.most, self.cut, self.cut_px, self.rows):
            control.changed.connect(self._on_control)

    # ------------------------------------------------------------------ what is chosen

    @property
    def choice(self) -> Choice | None:
        """What to learn from."""
        if self.source.value == FOLDER:
            return self._folder_choice()
        annotations = self._checked(self._annotations())
        if not annotations.images or self.tile.value is None:
            return None
        return AnnotatedChoice(
            annotations, int(self.tile.value), self.finder.open_images(), int(self.most.value)
        )

    def _folder_choice(self) -> FolderChoice | None:
        if self._listing is None:
            return None
        try:
            crop = RowCrop.parse(self.rows.value) if self.rows.value.strip() else None
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return None
        tile = int(self.cut_px.value) if self.cut.value else None
        return FolderChoice(self._listing, tile, crop)

    def _annotations(self) -> Annotations:
        """What is annotated, with the specimens as they were changed here."""
        annotations = self.finder.annotations()
        for key, specimen in self._specimens.items():
            annotations = annotations.with_specimen(key, specimen)
        return annotations

    def _checked(self, annotations: Annotations) -> Annotations:
        out = self._unchecked
        kept = tuple(each for each in annotations.images if each.fingerprint not in out)
        return replace(annotations, images=kept)

    # ------------------------------------------------------------------ what the user sees

    def refresh(self) -> None:
        """Bring everything up to date with the viewer."""
        images = self.source.value == IMAGES
        annotations = self._annotations() if images else Annotations()
        some = bool(annotations.images)
        self.problem.fail(self.finder.problem if images else "")
        self._tell_empty(images, some)
        self.sample.native.setVisible(images and not some and not self.finder.has_images)
        self.teach.native.setVisible(images and not some and self.finder.has_images)
        self.list.setVisible(some)
        self.add.native.setVisible(images)
        self._tile_row.setVisible(some)
        self._most_row.setVisible(some)
        for row in (self._folder_row, self._cut_row, self._rows_row):
            row.setVisible(not images)
        self.where.setVisible(not images and bool(self.where.said))
        if images:
            self._fill(annotations)
        self.changed.emit()

    def _tell_empty(self, images: bool, some: bool) -> None:
        if not images:
            self.empty.say(NO_FOLDER if self._listing is None and not self._reading.running else "")
        elif some:
            self.empty.say("")
        elif self.finder.looking:
            self.empty.say("Looking for annotations…")
        else:
            self.empty.say(NOT_ANNOTATED if self.finder.has_images else NO_IMAGES)

    def _fill(self, annotations: Annotations) -> None:
        sizes, before = dict(tile_sizes(annotations.images)), self.tile.value
        choices = [(f"{px} px ({count_text(n)} tiles)", px) for px, n in sizes.items()]
        with self.tile.changed.blocked():
            self.tile.choices = choices
            if before in sizes:
                self.tile.value = before
        self._list(annotations)

    def _list(self, annotations: Annotations) -> None:
        size = self.tile.value
        sized = [
            replace(image, marks={at: mark for at, mark in image.marks.items() if at[2] == size})
            for image in annotations.images
        ]
        self.list.show_rows(
            [replace(row, checked=row.key not in self._unchecked) for row in image_rows(sized)]
        )

    def set_enabled(self, enabled: bool) -> None:
        """Let the data be chosen, or not while it is learned from."""
        picks = (self.source, self.add, self.folder, self.table)
        for control in (*picks, self.tile, self.most, self.cut, self.cut_px, self.rows):
            control.enabled = enabled
        self.list.setEnabled(enabled)

    # ------------------------------------------------------------------ what the user does

    def _on_control(self) -> None:
        if self.source.value == IMAGES:
            self._list(self._annotations())
        self.problem.say("")
        self.changed.emit()

    def _on_specimen(self, key: str, specimen: str) -> None:
        self._specimens[key] = specimen
        self.finder.say_specimen(key, specimen)
        self.refresh()

    def _on_checked(self, key: str, wanted: bool) -> None:
        if wanted:
            self._unchecked.discard(key)
        else:
            self._unchecked.add(key)
        self.changed.emit()

    def _choose_annotations(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(
            self._owner, "Annotations of other images", "", f"Annotations (*{SUFFIX})"
        )
        for path in paths:
            self.add_annotations(Path(path))

    def add_annotations(self, path: Path) -> None:
        """Add the annotated images of a file."""
        try:
            self.finder.add_file(path)
        except SemClassifyError as error:
            self.problem.fail(str(error))

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self._owner, "Folder of class folders")
        if path:
            self.use_folder(Path(path))

    def _choose_table(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self._owner, "Table of images", "", "Tables (*.csv *.tsv *.txt)"
        )
        if path:
            self.use_folder(Path(path))

    def use_folder(self, path: Path) -> None:
        """List the images of a folder or table."""
        self._listing = None
        with self.source.changed.blocked():
            self.source.value = FOLDER

        def done(listing: Listing) -> None:
            self._listing = listing
            self.where.setToolTip(as_it_is(listing.source))
            self.where.say(" ".join([listing.source.name, *listing.notes]))
            self.refresh()

        def failed(sentence: str) -> None:
            self.where.say("")
            self.refresh()
            self.problem.fail(sentence)

        self.where.say(f"Listing the images of {path.name}…")
        self._reading.start(
            lambda _context: read_listing(path),
            doing="listing images",
            on_done=done,
            on_failed=failed,
        )
        self.refresh()

    def stop(self) -> None:
        """Hear no more of the viewer: for a widget that goes away."""
        self.finder.changed.disconnect(self.refresh)
        self.finder.unlisten()
