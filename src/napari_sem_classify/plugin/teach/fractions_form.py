"""How much of each image of the series each class covers, as the model has it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableWidgetItem, QWidget

from napari_sem_classify.core.export.quantities import TILES_NOTE, fraction_text
from napari_sem_classify.core.maps.class_map import ClassFraction
from napari_sem_classify.core.teach.learn import Learned, View
from napari_sem_classify.core.teach.looked import Sight
from napari_sem_classify.core.teach.series import fractions_of_images
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.text import as_it_is, percent_text
from napari_sem_classify.plugin.forms.dock_table import RIGHT, DockTable, square
from napari_sem_classify.plugin.forms.layout import Form, Note
from napari_sem_classify.plugin.teach.teacher import Teacher

ABOUT = (
    "Fractions of the images looked at so far, as the model has them: not corrected for its "
    "mistakes."
)


class FractionsForm:
    """A table that follows each score, from two images on."""

    def __init__(self, teacher: Teacher, form: Form, owner: QWidget) -> None:
        self._teacher = teacher
        self._counting = JobSlot(owner)
        self._of: Learned | None = None
        self.note = Note("About the fractions of the images")
        self.table = FractionTable(self.note)
        form.wide(self.note, self.table)

    def follow(self, learned: Learned | None) -> None:
        """Count anew for a model that was scored; without one there is nothing to show."""
        if learned is None:
            self._of = None
            self._counting.abandon()
            self._show({})
            return
        if learned is self._of or not learned.scored:
            return
        views, annotations = self._views(), self._teacher.book.annotations
        self._of = learned
        if len(views) < 2:
            self._show({})
            return

        def task(context: JobContext) -> dict[str, list[ClassFraction]]:
            return fractions_of_images(learned.taught, learned.lesson, views, annotations, context)

        self._counting.start(
            task, doing="counting classes", on_done=self._show, on_failed=self.note.fail
        )

    def _views(self) -> list[View]:
        """The open images of which the network saw all tiles in the way of now."""
        memory, found = self._teacher.memory, []
        for key, image in memory.images.items():
            seen = memory.looked.get(key)
            known = key in self._teacher.book.known
            if not known or seen is None or image.leading_shape or seen.asked is not None:
                continue
            sight = Sight(key, image, seen.grid)
            if seen.grid.tile == self._teacher.learner.tile_px and (
                self._teacher.learner.has_looked(sight)
            ):
                found.append((sight, seen))
        return found

    def _show(self, found: Mapping[str, Sequence[ClassFraction]]) -> None:
        names = {key: image.name for key, image in self._teacher.memory.images.items()}
        rows = {names.get(key, key): shares for key, shares in found.items()}
        tiles = any(not share.is_area for shares in rows.values() for share in shares)
        self.note.say((f"{ABOUT} {TILES_NOTE}" if tiles else ABOUT) if rows else "")
        self.table.fill(rows)


class FractionTable(DockTable):
    """A row an image, a column a class."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(
            label,
            "Fractions of the images",
            "How much of each image each class covers",
            ("Image",),
            most_rows=8,
        )
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.hide()

    def fill(self, rows: Mapping[str, Sequence[ClassFraction]]) -> None:
        """Show the fractions of some images, all with the same classes."""
        self.setVisible(bool(rows))
        if not rows:
            return
        side = self.adopt_font()
        classes = next(iter(rows.values()))
        self.setColumnCount(1 + len(classes))
        for column, share in enumerate(classes, start=1):
            header = QTableWidgetItem(square(share.colour, side), "")
            header.setToolTip(as_it_is(share.title))
            self.setHorizontalHeaderItem(column, header)
        self.setRowCount(len(rows))
        for row, (name, shares) in enumerate(rows.items()):
            self.put(row, 0, name, name)
            for column, share in enumerate(shares, start=1):
                told = f"{name}: {share.title} {fraction_text(share)}"
                self.put(row, column, percent_text(share.fraction), told).setTextAlignment(RIGHT)
        self.stretch(0, QHeaderView.ResizeMode.ResizeToContents)
        self.fit()
