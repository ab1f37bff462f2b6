"""The images of a series: which there are, how many tiles each has, and stepping through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QWidget

from napari_sem_classify.core.image.specimen_guess import guess_specimen
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.forms.advanced_fold import FoldButton
from napari_sem_classify.plugin.forms.image_table import ImageRow, ImageTable, image_rows
from napari_sem_classify.plugin.forms.layout import Form, Note, explain
from napari_sem_classify.plugin.layers.made_layers import pictures_in
from napari_sem_classify.plugin.teach.teacher import Teacher

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

NOT_THERE = "{name} is not open, and its file is not where it was: open the image itself."


class SeriesForm:
    """A line that steps through the open images, and the table of all that are annotated.

    Attributes
    ----------
    table : ImageTable
    where : Note
        "3 of 5".
    open_wanted : signal
        The path of an annotated image that is not open and was clicked.
    """

    open_wanted = Signal(Path)

    def __init__(self, viewer: ViewerModel, teacher: Teacher, form: Form) -> None:
        self._viewer, self._teacher = viewer, teacher
        self._layers: dict[str, Image] = {}
        self._pictures: dict[int, QIcon] = {}
        self.fold = FoldButton("Images", "Images of the series", "All images, and their tiles")
        self.where = Note("Which of the open images is in view")
        self.back = _step("‹", "Image before", "Go to the image before this one")
        self.forward = _step("›", "Next image", "Go to the next image that is open")
        self._head = QWidget()
        line = QHBoxLayout(self._head)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.fold)
        line.addWidget(self.where, 1)
        line.addWidget(self.back)
        line.addWidget(self.forward)
        self.table = ImageTable(self.where)
        self.problem = Note("Problem with the series")
        form.wide(self._head, self.table, self.problem)
        self.fold.turn(True)
        self.fold.turned.connect(self._arrange)
        self.back.clicked.connect(lambda: self._go(-1))
        self.forward.clicked.connect(lambda: self._go(1))
        self.table.picked.connect(self._on_picked)

    def refresh(self) -> None:
        """Bring the line and the table up to date."""
        layers = self._open()
        self._layers = self._keys_of(layers)
        told = {row.key: row for row in image_rows(self._teacher.book.annotations.images)}
        rows = [
            replace(
                told.pop(key, _empty_row(key, layer)),
                current=layer is self._teacher.layer,
                picture=self._picture(layer),
            )
            for key, layer in self._layers.items()
        ]
        self.table.show_rows([*rows, *told.values()])
        at = layers.index(self._teacher.layer) if self._teacher.layer in layers else -1
        self.where.say(f"{at + 1} of {len(layers)}" if at >= 0 else "")
        self.back.setEnabled(at > 0)
        self.forward.setEnabled(0 <= at < len(layers) - 1)
        self._arrange()

    def _arrange(self) -> None:
        several = self.table.rowCount() > 1
        self._head.setVisible(several)
        self.table.setVisible(several and self.fold.open)

    def _open(self) -> Sequence[Image]:
        """The open images, in the order in which they were opened."""
        return pictures_in(self._viewer)

    def _keys_of(self, layers: Sequence[Image]) -> dict[str, Image]:
        """The open images by their fingerprint, or by their name until that is known."""
        known = {
            id(layer): key
            for key, reference in self._teacher.memory.layers.items()
            if (layer := reference()) is not None
        }
        return {known.get(id(layer), f"layer {layer.name}"): layer for layer in layers}

    def _picture(self, layer: Image) -> QIcon:
        """A small picture of an image, as napari made it for its list."""
        if id(layer) not in self._pictures:
            thumbnail = np.ascontiguousarray(layer.thumbnail[..., :4], dtype=np.uint8)
            rows, cols = thumbnail.shape[:2]
            kind = QImage.Format.Format_RGBA8888
            image = QImage(thumbnail.tobytes(), cols, rows, 4 * cols, kind)
            self._pictures[id(layer)] = QIcon(QPixmap.fromImage(image))
        return self._pictures[id(layer)]

    def _go(self, step: int) -> None:
        layers = self._open()
        if self._teacher.layer in layers:
            at = layers.index(self._teacher.layer) + step
            if 0 <= at < len(layers):
                self._show(layers[at])

    def _show(self, layer: Image) -> None:
        """Let all docks work on an image."""
        self.problem.say("")
        self._viewer.layers.selection.active = layer
        session_of(self._viewer).choose_image(layer)

    def _on_picked(self, key: str) -> None:
        layer = self._layers.get(key)
        if layer is not None:
            self._show(layer)
            return
        images = self._teacher.book.annotations.images
        mine = next((each for each in images if each.fingerprint == key), None)
        if mine is not None and mine.path is not None and mine.path.is_file():
            self.open_wanted.emit(mine.path)
        elif mine is not None:
            self.problem.fail(NOT_THERE.format(name=mine.name))


def _empty_row(key: str, layer: Image) -> ImageRow:
    path = layer.source.path
    specimen = guess_specimen(Path(path or layer.name))
    return ImageRow(key, layer.name, specimen, 0, f"{layer.name}: no tile annotated yet")


def _step(text: str, name: str, tooltip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    explain(button, name, tooltip)
    return button
