"""The keys of Teach: 1 to 9 for the classes, Ctrl+Z and Ctrl+Shift+Z."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sem_classify.plugin.layers.annotation_layer import MAX_KEYS, KeyAction
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.teach.class_table import ClassTable
from napari_sem_classify.plugin.teach.guide import Guide
from napari_sem_classify.plugin.teach.teacher import Teacher

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ClassKeys:
    """What the keys do; `take_up` takes up all that was drawn so far, before anything else."""

    def __init__(
        self,
        viewer: ViewerModel,
        teacher: Teacher,
        table: ClassTable,
        guide: Guide,
        take_up: Callable[[], None],
    ) -> None:
        self._viewer, self._teacher = viewer, teacher
        self._table, self._guide, self._take_up = table, guide, take_up

    def actions(self) -> dict[str, KeyAction]:
        """What each key does."""
        keys: dict[str, KeyAction] = {
            str(number + 1): partial(self.press, number) for number in range(MAX_KEYS)
        }
        return keys | {"Control-Z": self.undo, "Control-Shift-Z": self.redo}

    def press(self, number: int) -> None:
        """A class key (from 0): annotate the tile of the tour, else paint with the class."""
        self._take_up()
        classes = self._teacher.book.annotations.classes
        if number >= len(classes):
            return
        if self._guide.tour.active:
            self._guide.annotate(classes[number].name)
            return
        active = self._viewer.layers.selection.active
        if active is not None and active is not self._teacher.painting.layer:
            _choose_on_map(active, classes[number].name)
        else:
            self._table.choose(number)

    def undo(self) -> None:
        """Take the last step back, a stroke under way too."""
        self._take_up()
        self._teacher.book.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        self._take_up()
        self._teacher.book.redo()


def _choose_on_map(layer: Any, name: str) -> None:
    """Correct with a class on a finished map, whose numbers are its own."""
    ours = layer.metadata.get(METADATA_KEY, {}).get("classes", [])
    names = [each["name"] for each in ours]
    if name in names:
        layer.selected_label = names.index(name) + 1
        layer.mode = "paint"
