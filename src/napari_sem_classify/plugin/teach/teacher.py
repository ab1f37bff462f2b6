"""Keeps the annotations, the layers and the model of one viewer in step."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_sem_classify.core.class_map import ClassMap
from napari_sem_classify.core.errors import GridError
from napari_sem_classify.core.image import SemImage
from napari_sem_classify.core.teaching.annotation import TileLabels
from napari_sem_classify.core.teaching.annotation_set import ImageAnnotations, TilePlace
from napari_sem_classify.core.tiles import TileGrid
from napari_sem_classify.plugin.jobs import Job
from napari_sem_classify.plugin.teach.annotation_layer import AnnotationLayer, KeyAction, place_of
from napari_sem_classify.plugin.teach.book import Book, book_of
from napari_sem_classify.plugin.teach.correction_marks import CorrectionMarks
from napari_sem_classify.plugin.teach.keeper import Kept, find_kept
from napari_sem_classify.plugin.teach.learner import Learner
from napari_sem_classify.plugin.teach.learning import tile_numbers
from napari_sem_classify.plugin.teach.map_layer import TaughtMaps
from napari_sem_classify.plugin.teach.memory import memory_of
from napari_sem_classify.plugin.text import count_text

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


class Teacher:
    """Follows one image at a time; all annotated images feed the model.

    Attributes
    ----------
    changed : signal
        Something that the user sees is another than before.
    opened : signal
        The annotations of the image in view were looked for.
    book : Book
    learner : Learner
    painting : AnnotationLayer
    maps : TaughtMaps
    layer, image, grid, key
        The image in view, its tiles and its fingerprint; None until they are known.
    keys : {key: action}
        Bound to the annotation layer and the maps.
    problem, kept_problem : str
        For the user; "" where there is nothing to say.
    """

    changed = Signal()
    opened = Signal()

    def __init__(self, viewer: ViewerModel, owner: QObject) -> None:
        self._viewer = viewer
        self._owner = owner
        self.book: Book = book_of(viewer)
        self.memory = memory_of(viewer)
        self.learner = Learner(self.book, self.memory, owner)
        self.painting = AnnotationLayer(viewer)
        self.maps = TaughtMaps(viewer)
        self._correction_marks = CorrectionMarks(viewer)
        self.layer: Image | None = None
        self.image: SemImage | None = None
        self.grid: TileGrid | None = None
        self.key: str | None = None
        self.keys: dict[str, KeyAction] = {}
        self.problem = self.kept_problem = ""
        self._opening: Job | None = None
        # Painted while the image was read anew, after a change of its scale for one.
        self._early: dict[TilePlace, int | None] = {}
        self.book.changed.connect(self._on_book)
        self.painting.painted.connect(self._on_painted)
        self.maps.corrected.connect(self._on_corrected)
        self.learner.drawn.connect(self._on_drawn)
        self.learner.changed.connect(self._on_learner)

    @property
    def here(self) -> ImageAnnotations | None:
        """The annotations of the image in view."""
        return None if self.key is None else self.book.annotations.of(self.key)

    # ------------------------------------------------------------------ image and tiles

    def use(self, layer: Image | None, image: SemImage | None, tile_px: int) -> None:
        """Follow another image, or the same one with other tiles."""
        self.problem = ""
        if layer is not self.layer:
            self._leave()
            self.layer = layer
        self.grid = None
        if image is not None:
            try:
                self.grid = TileGrid(image.area, tile_px, tile_px)
            except GridError as error:
                self.problem = str(error)
        fresh = image is not self.image
        if image is not None and self.image is not None and image.data is not self.image.data:
            self.key = None  # other pixels, perhaps: nothing is annotated until they are known
            if image.shape != self.image.shape:
                self.painting.let_go()
        self.image = image
        if image is not None and fresh:
            self._open(image)
        self.learner.follow(self.key, image, self.grid)
        self.show()
        self.changed.emit()

    def _leave(self) -> None:
        self._stop_opening()
        self.painting.let_go()
        self.maps.stop()
        self._early = {}
        self.image = self.key = None

    def _open(self, image: SemImage) -> None:
        """Look for what was annotated before; until then nothing can be painted."""
        self._stop_opening()

        def done(kept: Kept) -> None:
            self._opening = None
            self._opened(image, kept)

        def failed(sentence: str) -> None:
            self._opening = None
            self.problem = sentence
            self.changed.emit()

        self._opening = Job(
            lambda _context: find_kept(image),
            doing="looking for annotations",
            parent=self._owner,
            on_done=done,
            on_failed=failed,
        )

    def _opened(self, image: SemImage, kept: Kept) -> None:
        if self.layer is None:
            return
        self.kept_problem = kept.problem
        self.memory.keeper.opened(kept)
        self.memory.images[kept.key] = image
        self.memory.layers[kept.key] = weakref.ref(self.layer)
        self.key = kept.key
        self.learner.follow(self.key, image, self.grid)
        early, self._early = self._early, {}
        self.book.take_in(image, kept.key, kept.annotations)
        self.opened.emit()
        if early:
            self._on_painted(early)

    def forget(self, layer: Layer) -> None:
        """Hear that a layer was removed: of a closed image only what was annotated is kept."""
        for key, reference in list(self.memory.layers.items()):
            if reference() is layer:
                del self.memory.layers[key]
                self.memory.images.pop(key, None)
                looked = self.memory.looked.get(key)
                if looked is not None:
                    self.memory.looked[key] = looked.only(self._marked(key, looked.grid))
        if layer is self.layer:
            self.use(None, None, 0)
        elif layer is self.painting.layer:
            self.painting.let_go()
            self.changed.emit()

    def _marked(self, key: str, grid: TileGrid) -> NDArray[np.int64]:
        found = tile_numbers(grid, self.book.annotations.of(key).marks)
        return np.array(list(found.values()), dtype=np.int64)

    # ------------------------------------------------------------------ annotating

    def mark(self, place: TilePlace, class_name: str) -> None:
        """Annotate one tile of the image in view."""
        if self.key is not None:
            self.book.mark(self.key, {place: class_name})

    def take_drawn(self, found: TileLabels, before: dict[TilePlace, str]) -> dict[TilePlace, str]:
        """Annotate tiles as another layer has them, and take back what it said before.

        Tiles that were annotated otherwise since then stay as they are.

        Returns
        -------
        dict
            What the layer says now, for the next call.
        """
        key, grid = self.key, self.grid
        if key is None or grid is None:
            return before
        annotations = self.book.annotations
        for name in found.class_names:
            if name not in annotations.class_names:
                annotations = annotations.with_class(name)
        rows, cols = np.nonzero(found.labels >= 0)
        now = {
            place_of(grid, int(row), int(col)): found.class_names[found.labels[row, col]]
            for row, col in zip(rows, cols, strict=True)
        }
        marks = annotations.of(key).marks
        gone = [
            at
            for at, name in before.items()
            if at not in now and at in marks and marks[at].class_name == name
        ]
        annotations = annotations.without_marks(key, gone)
        for name in dict.fromkeys(found.class_names):
            places = [at for at, said in now.items() if said == name and before.get(at) != name]
            annotations = annotations.with_marks(key, places, name)
        self.book.edit(annotations, join="layer")
        return now

    def counted(self) -> str:
        """How many tiles are annotated, in how many images, and how many are not used."""
        images = self.book.annotations.images
        size = self.learner.tile_px
        used = [sum(1 for place in image.marks if place[2] == size) for image in images]
        others = sum(len(image.marks) for image in images) - sum(used)
        if not sum(used) + others:
            return ""
        words = [f"{count_text(sum(used))} tiles"]
        several = sum(1 for count in used if count)
        if several > 1:
            words.append(f"{several} images")
        corrections = sum(1 for image in images for mark in image.marks.values() if mark.correction)
        if corrections:
            words.append("1 correction" if corrections == 1 else f"{corrections} corrections")
        if others:
            words.append(f"{count_text(others)} of another tile size are not used")
        return " · ".join(words)

    def _on_painted(self, painted: dict[TilePlace, int | None]) -> None:
        if self.key is None:
            self._early.update(painted)
            return
        names = self.book.annotations.class_names
        marks = {at: None if n is None else names[n] for at, n in painted.items()}
        self.book.mark(self.key, marks)
        self.show()  # what could not be taken is taken off the layer
        self.changed.emit()

    def _on_corrected(self, tiles: dict[TilePlace, tuple[str, str] | None]) -> None:
        self.problem = self.maps.problem
        if self.key is None or not tiles:
            self.changed.emit()
            return
        annotations = self.book.annotations
        known = annotations.of(self.key).marks
        gone = [at for at, said in tiles.items() if said is None and _is_correction(known, at)]
        annotations = annotations.without_marks(self.key, gone)
        for at, said in tiles.items():
            if said is None:
                continue
            name, colour = said
            if name not in annotations.class_names:
                taken = colour in {info.colour for info in annotations.classes}
                annotations = annotations.with_class(name, None if taken else colour)
            annotations = annotations.with_marks(self.key, [at], name, correction=True)
        self.book.edit(annotations)

    # ------------------------------------------------------------------ layers

    def show(self) -> None:
        """Show the annotations, in their layer or in a new one, and the corrections."""
        here, layer, grid = self.here, self.layer, self.grid
        if here is None or layer is None or grid is None or layer not in self._viewer.layers:
            return
        classes = self.book.annotations.classes
        if classes:
            labels = here.tile_labels(grid, self.book.annotations.class_names).labels
            before = self.painting.layer
            self.painting.show(layer, grid, labels, classes)
            if self.painting.layer is not before:
                self.painting.bind(self.keys)
        self.maps.follow(layer, grid, here, self.keys)
        self._correction_marks.show(layer, here, classes)

    def bind(self) -> None:
        """Bind the keys again, after they or the layers changed."""
        self.painting.bind(self.keys)
        here = self.here
        if self.layer is not None and here is not None:
            self.maps.follow(self.layer, self.grid, here, self.keys)

    def _on_drawn(self, class_map: ClassMap) -> None:
        self.maps.draw(class_map)

    def _on_book(self) -> None:
        self.memory.keeper.save(self.book.annotations)
        self.learner.changed_annotations()
        self.show()
        self.changed.emit()

    def _on_learner(self) -> None:
        self.changed.emit()

    # ------------------------------------------------------------------ end

    def _stop_opening(self) -> None:
        if self._opening is not None:
            self._opening.abandon()
            self._opening = None

    def stop(self) -> None:
        """Let go of all work and layers; what was annotated is written first."""
        self.painting.sync()
        self.book.changed.disconnect(self._on_book)
        self.learner.stop()
        self._stop_opening()
        self.memory.keeper.flush()
        self.painting.let_go()
        self.maps.stop()


def _is_correction(marks: Any, place: TilePlace) -> bool:
    return place in marks and marks[place].correction
