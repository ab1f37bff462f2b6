"""Keeps the annotations, the layers and the model of one viewer in step."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_sem_classify.core.annotate.annotation_set import Annotations, ImageAnnotations
from napari_sem_classify.core.annotate.edits import with_corrections_of, with_stroke
from napari_sem_classify.core.annotate.keeper import Kept, find_kept
from napari_sem_classify.core.annotate.place import (
    TilePlace,
    full_plane,
    has_plane,
    is_of,
    plane_key,
    tile_numbers,
)
from napari_sem_classify.core.common.errors import GridError, SemClassifyError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.recipe import RecipeChoice
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.dock import tell_unsaved
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.layers.annotation_layer import AnnotationLayer, KeyAction, Painted
from napari_sem_classify.plugin.layers.layer_image import plane_at
from napari_sem_classify.plugin.teach.book import Book, book_of, memory_of
from napari_sem_classify.plugin.teach.correction_marks import show_corrections
from napari_sem_classify.plugin.teach.learner import Learner
from napari_sem_classify.plugin.teach.map_layer import TaughtMaps
from napari_sem_classify.plugin.teach.start import Start

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


WATCH_MS = 400

Corrections = dict[TilePlace, tuple[str, str] | None]


class Teacher:
    """Follows one image at a time; all annotated images and planes feed the model.

    Attributes
    ----------
    annotated : signal
        Tiles or classes are others than before.
    changed : signal
        Something else that the user sees is another than before.
    opened : signal
        The annotations of the image in view were looked for.
    started : signal
        Another model is taught, or a new one.
    layer, image, grid, fingerprint
        The image in view, its tiles and its fingerprint; None until they are known.
    plane : tuple of int
        Which plane of a stack is in view, () of a single image.
    keys : {key: action}
        Bound to the annotation layer and the maps.
    problem, kept_problem : str
        For the user; "" where there is nothing to say.
    """

    annotated = Signal()
    changed = Signal()
    opened = Signal()
    started = Signal()

    def __init__(self, viewer: ViewerModel, owner: QObject) -> None:
        self._viewer = viewer
        self.book: Book = book_of(viewer)
        self.memory = memory_of(viewer)
        self.learner = Learner(self.book, self.memory, owner)
        self.painting = AnnotationLayer(viewer)
        self.maps = TaughtMaps(viewer)
        self.layer: Image | None = None
        self.image: SemImage | None = None
        self.grid: TileGrid | None = None
        self.fingerprint: str | None = None
        self.plane: tuple[int, ...] = ()
        self.keys: dict[str, KeyAction] = {}
        self.problem = self.kept_problem = ""
        self._opening = JobSlot(owner)
        # Painted while the image was read anew, after a change of its scale for one: it was known
        # by the fingerprint `_known_as` until then.
        self._early: Painted = {}
        self._early_corrections: dict[tuple[int, ...], Corrections] = {}
        self._known_as: str | None = None
        self._drawn_from: Lesson | None = None
        self._kept_choice: RecipeChoice | None = self.memory.choice
        self._saving_told: tuple[str, str] = ("", "")
        self._watch = QTimer(owner)
        self._watch.setInterval(WATCH_MS)
        self._watch.timeout.connect(self._look_at_saving)
        self._watch.start()
        self.book.changed.connect(self._on_book)
        self.painting.painted.connect(self._on_painted)
        self.maps.corrected.connect(self._on_corrected)
        self.learner.drawn.connect(self._on_drawn)
        self.learner.changed.connect(self._on_learner)

    @property
    def key(self) -> str | None:
        """Of the image, or the plane of the stack, in view; None until it is known."""
        return None if self.fingerprint is None else plane_key(self.fingerprint, self.plane)

    @property
    def here(self) -> ImageAnnotations | None:
        """The annotations of the image in view."""
        return None if self.key is None else self.book.annotations.of(self.key)

    # ------------------------------------------------------------------ image and tiles

    def settle(self) -> None:
        """Take up the strokes made so far, before anything else is done."""
        self.painting.sync()
        self.maps.sync()

    def use(self, layer: Image | None, image: SemImage | None, tile_px: int) -> None:
        """Follow another image, or the same one with other tiles."""
        self.settle()
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
            # Other pixels, perhaps: nothing is annotated until then.
            self._known_as, self.fingerprint = self.fingerprint or self._known_as, None
            if image.shape != self.image.shape:
                self.painting.let_go()
        self.image = image
        self.plane = self._plane_in_view()
        if image is not None and fresh:
            self._open(image)
        self._follow()

    def start_from(self, start: Start | None) -> None:
        """Teach a model of a file further, with its classes, or a new one."""
        self.settle()
        if start is not None:
            try:
                self.book.edit(start.with_classes(self.book.annotations))
            except SemClassifyError as error:
                self._fail(str(error))
                return
        self._drawn_from = None  # by another model, whatever it learned from
        self.learner.use_start(start)
        self.started.emit()

    def _follow(self) -> None:
        self.learner.follow(self.key, self.image, self.grid)
        self.show()
        self.changed.emit()

    def turn(self) -> bool:
        """Follow the viewer's slider to another plane; False where it is the same one."""
        plane = self._plane_in_view()
        if plane == self.plane:
            return False
        self.settle()  # strokes that were just made belong to the plane that was left
        before = self.key
        self.plane = plane
        if before is not None:
            self._keep_annotated(before)
        self.problem = ""
        self._follow()
        return True

    def _plane_in_view(self) -> tuple[int, ...]:
        if self.layer is None or self.image is None:
            return ()
        return plane_at(self.layer, self._viewer.dims.point, self.image.leading_shape)

    def _keep_annotated(self, key: str) -> None:
        """Of what the network saw keep the annotated tiles; the rest can be had again."""
        looked = self.memory.looked.get(key)
        if looked is None:
            return
        images = self.book.annotations.images
        if not any(is_of(key, each.fingerprint) for each in images):
            del self.memory.looked[key]  # looked at for another image, and never in view here
            return
        found = tile_numbers(looked.grid, self.book.annotations.of(key).marks)
        self.memory.looked[key] = looked.only(np.array(list(found.values()), dtype=np.int64))

    def _leave(self) -> None:
        self._opening.abandon()
        self._take_early()
        self.painting.let_go()
        self.maps.stop()
        self.image = self.fingerprint = self._known_as = None
        self.plane = ()

    def _open(self, image: SemImage) -> None:
        """Look for what was annotated before; until then nothing can be painted."""
        self._opening.start(
            lambda _context: find_kept(image),
            doing="looking for annotations",
            on_done=lambda kept: self._opened(image, kept),
            on_failed=self._fail,
        )

    def _fail(self, sentence: str) -> None:
        self.problem = sentence
        self.changed.emit()

    def _opened(self, image: SemImage, kept: Kept) -> None:
        if self.layer is None:
            return
        self.kept_problem = kept.problem
        self.memory.keeper.opened(kept)
        self.memory.images[kept.key] = image
        self.memory.layers[kept.key] = weakref.ref(self.layer)
        self.fingerprint = kept.key
        found = None if kept.annotations is None else kept.annotations.looking
        if found is not None and self.memory.choice is None:
            self.memory.recipe, self.memory.choice = found.recipe, found
            self._kept_choice = found
        self.learner.follow(self.key, image, self.grid)
        self.book.take_in(image, kept.key, kept.annotations)
        self._show_corrections()
        self.opened.emit()
        self._take_early()

    def _take_early(self) -> None:
        """Annotate what was painted while the image was not known."""
        painted, self._early = self._early, {}
        corrected, self._early_corrections = self._early_corrections, {}
        self.fingerprint = self.fingerprint or self._known_as
        if self.fingerprint is None:
            return
        if painted:
            self._on_painted(painted)
        for plane, tiles in corrected.items():
            key = plane_key(self.fingerprint, plane)
            self.book.edit(with_corrections_of(self.book.annotations, key, tiles))

    def forget(self, layer: Layer) -> None:
        """Hear that a layer was removed: of a closed image only what was annotated is kept."""
        self.settle()
        for key, reference in list(self.memory.layers.items()):
            if reference() is layer:
                del self.memory.layers[key]
                self.memory.images.pop(key, None)
                for seen in [each for each in self.memory.looked if is_of(each, key)]:
                    self._keep_annotated(seen)
        if layer is self.layer:
            self.use(None, None, 0)
        elif layer is self.painting.layer:
            self.painting.let_go()
            self.changed.emit()

    # ------------------------------------------------------------------ annotating

    def _on_painted(self, painted: Painted) -> None:
        if self.fingerprint is None:
            for plane, tiles in painted.items():
                self._early.setdefault(plane, {}).update(tiles)
            return
        before = self.book.annotations
        annotations, names = before, before.class_names
        for plane, tiles in painted.items():
            said = {at: name for at, name in tiles.items() if name is None or name in names}
            annotations = with_stroke(annotations, plane_key(self.fingerprint, plane), said)
        self.book.edit(annotations)
        if self.book.annotations is before:
            self.show()  # what could not be taken is taken off the layer
            self.changed.emit()

    def _on_corrected(self, tiles: Corrections) -> None:
        self.problem = self.maps.problem
        if self.key is None:
            self._early_corrections.setdefault(self.plane, {}).update(tiles)
        if self.key is None or not tiles:
            self.changed.emit()
            return
        self.book.edit(with_corrections_of(self.book.annotations, self.key, tiles))

    # ------------------------------------------------------------------ layers

    def show(self) -> None:
        """Show the annotations, in their layer or in a new one, and the corrections."""
        self._show_annotations()
        self._show_corrections()

    def _show_annotations(self) -> None:
        self.painting.sync()  # a stroke under way must not be drawn over
        annotations, layer, grid, image = self.book.annotations, self.layer, self.grid, self.image
        if layer is None or grid is None or image is None or layer not in self._viewer.layers:
            return
        if self.key is None or not annotations.classes:
            return
        labels = {
            full_plane(image, each.plane): each.tile_labels(grid, annotations.class_names).labels
            for each in annotations.images
            if each.fingerprint == self.fingerprint and has_plane(image, each.plane)
        }
        before = self.painting.layer
        self.painting.show(layer, grid, labels, annotations.classes, image.leading_shape)
        if self.painting.layer is not before:
            self.painting.bind(self.keys)

    def _show_corrections(self) -> None:
        here, layer, grid = self.here, self.layer, self.grid
        if here is None or layer is None or grid is None or layer not in self._viewer.layers:
            return
        self._follow_maps(here)
        show_corrections(self._viewer, layer, here, self.book.annotations.classes)

    def bind(self) -> None:
        """Bind the keys again, after they or the layers changed."""
        self.painting.bind(self.keys)
        here = self.here
        if self.layer is not None and here is not None:
            self._follow_maps(here)

    def _follow_maps(self, here: ImageAnnotations) -> None:
        leading = () if self.image is None else self.image.leading_shape
        self.maps.follow(self.layer, self.grid, here, self.keys, self.plane, leading)

    def _on_drawn(self, class_map: ClassMap) -> None:
        learned, before = self.learner.learned, self._drawn_from
        lesson = None if learned is None else learned.lesson
        same = lesson is not None and before is not None and lesson.teaches_as(before)
        self._drawn_from = lesson
        self.maps.draw(class_map, alone=not same)

    @property
    def annotations(self) -> Annotations:
        """What is kept: the annotations, and the way of looking that was chosen for them."""
        return replace(self.book.annotations, looking=self.memory.choice)

    def _on_book(self, before: Annotations) -> None:
        self.memory.keeper.save(self.annotations)
        self.learner.changed_annotations()
        self._show_annotations()
        if self._corrected(before) != self._corrected(self.book.annotations):
            self._show_corrections()
        self.annotated.emit()

    def _corrected(self, annotations: Annotations) -> object:
        """What the maps and the marks of corrections show of annotations."""
        mine = [image.corrections for image in annotations.images if image.key == self.key]
        return annotations.classes, mine

    def _on_learner(self) -> None:
        if self.memory.choice is not self._kept_choice:
            self._kept_choice = self.memory.choice
            self.memory.keeper.save(self.annotations)
        self.changed.emit()

    def _look_at_saving(self) -> None:
        """Tell how saving went, and take in what another window or program annotated."""
        keeper = self.memory.keeper
        for before, after in keeper.take_news():
            self.settle()
            self.book.follow(before, after)
        told = keeper.problem, keeper.note
        if told != self._saving_told:
            self._saving_told = told
            self.changed.emit()

    # ------------------------------------------------------------------ end

    def stop(self) -> None:
        """Let go of all work and layers; what was annotated is written first."""
        self.settle()
        self._take_early()
        self.book.changed.disconnect(self._on_book)
        self.learner.stop()
        self._opening.abandon()
        self._watch.stop()
        keeper = self.memory.keeper
        keeper.flush()
        if keeper.problem:
            tell_unsaved(keeper.problem)
        self.painting.let_go()
        self.maps.stop()
