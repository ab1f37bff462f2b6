"""The annotated images that are there: those of Teach, saved ones of open images, and files."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QObject

from napari_sem_classify.core.annotate.annotation_file import load_annotations
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.edits import merge_annotations
from napari_sem_classify.core.annotate.keeper import Kept, find_kept
from napari_sem_classify.core.common.errors import AnnotationError, SemClassifyError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.layers.layer_image import image_from_layer
from napari_sem_classify.plugin.layers.made_layers import pictures_in
from napari_sem_classify.plugin.teach.book import book_of, memory_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

LayerRef = weakref.ref[Any]


@dataclass(frozen=True, slots=True)
class FoundImage:
    """What was found of an image layer: its image, and its saved annotations."""

    layer: LayerRef
    image: SemImage
    kept: Kept


class Finder:
    """Knows all annotations that a training can take, and tells when there are others.

    `problem` says why a layer or file could not be looked at.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, owner: QObject) -> None:
        self._viewer = viewer
        self._session = session_of(viewer)
        self._book = book_of(viewer)
        self._memory = memory_of(viewer)
        self._looked: dict[str, FoundImage] = {}
        self._tried: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._files: dict[Path, Annotations] = {}
        self._reading = JobSlot(owner)
        self.problem = ""
        self._book.changed.connect(self._on_book)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._on_layers)
        self._listening = True
        # A window that is closed as a whole deletes the widget without taking it out of its dock.
        mine = weakref.ref(self)
        owner.destroyed.connect(lambda *_: _unlisten(mine()))
        self.look()

    @property
    def looking(self) -> bool:
        """Whether layers are being looked at."""
        return self._reading.running

    @property
    def has_images(self) -> bool:
        """Whether there is an image in the viewer."""
        return bool(pictures_in(self._viewer))

    def annotations(self) -> Annotations:
        """Everything that is annotated, images without any tile left out."""
        saved = [each.kept.annotations for each in self._looked.values() if self._is_open(each)]
        found = [each for each in saved if each]
        merged = merge_annotations([self._book.annotations, *found, *self._files.values()])
        marked = tuple(image for image in merged.images if image.marks)
        used = {mark.class_name for image in marked for mark in image.marks.values()}
        classes = tuple(info for info in merged.classes if info.name in used)
        return replace(merged, classes=classes, images=marked)

    def open_images(self) -> dict[str, SemImage]:
        """Images of the viewer by fingerprint, as the user corrected them."""
        found = {key: looked.image for key, looked in self._looked.items() if self._is_open(looked)}
        found |= self._memory.images
        for key in found:
            layer = self.layer_of(key)
            known = None if layer is None else self._session.images.get(layer)
            if known is not None and known.shape == found[key].shape:
                found[key] = known
        return found

    def layer_of(self, key: str, path: Path | None = None) -> Image | None:
        """The layer that shows an image, None where it is not open."""
        looked = self._looked.get(key)
        for reference in (self._memory.layers.get(key), looked and looked.layer):
            layer = reference() if reference else None
            if layer is not None and layer in self._viewer.layers:
                return layer
        if path is not None:
            for layer in pictures_in(self._viewer):
                known = self._session.images.get(layer)
                here = known.path if known is not None else layer.source.path
                if here is not None and Path(here) == path:
                    return layer
        return None

    def add_file(self, path: Path) -> int:
        """Take the annotations of a file in; gives its number of annotated images."""
        found = load_annotations(path)
        marked = tuple(image for image in found.images if image.marks)
        if not marked:
            raise AnnotationError(f"{path} holds no annotated tile: choose another file.")
        self._files[path] = replace(found, images=marked)
        self.changed.emit()
        return len(marked)

    def say_specimen(self, key: str, specimen: str) -> None:
        """Keep which specimen an image shows, where it is annotated in this viewer."""
        if any(image.fingerprint == key for image in self._book.annotations.images):
            self._book.edit(self._book.annotations.with_specimen(key, specimen))

    def look(self) -> None:
        """Look for the saved annotations of layers that were not looked at yet."""
        if self.looking:
            return
        fresh = [layer for layer in pictures_in(self._viewer) if layer not in self._tried]
        if not fresh:
            return
        self._tried.update(fresh)
        waiting = [(weakref.ref(layer), self._session.images.get(layer)) for layer in fresh]

        def done(result: tuple[list[FoundImage], str]) -> None:
            found, self.problem = result
            self._looked |= {looked.kept.key: looked for looked in found}
            self.changed.emit()
            self.look()

        def failed(sentence: str) -> None:
            self.problem = sentence
            self.changed.emit()

        task = partial(_look_at, waiting)
        doing = "looking for annotations"
        self._reading.start(task, doing=doing, on_done=done, on_failed=failed)

    def unlisten(self) -> None:
        """Hear no more of layers and annotations."""
        if not self._listening:
            return
        self._listening = False
        self._book.changed.disconnect(self._on_book)
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed):
            event.disconnect(self._on_layers)

    def _is_open(self, looked: FoundImage) -> bool:
        layer = looked.layer()
        return layer is not None and layer in self._viewer.layers

    def _on_layers(self, _event: Any = None) -> None:
        self.look()
        self.changed.emit()

    def _on_book(self) -> None:
        self.changed.emit()


def _unlisten(finder: Finder | None) -> None:
    if finder is not None:
        finder.unlisten()


def _look_at(
    layers: list[tuple[LayerRef, SemImage | None]], context: JobContext
) -> tuple[list[FoundImage], str]:
    """Read the images that are not known, and look for their annotations."""
    found, problem = [], ""
    for reference, known in layers:
        context.check()
        layer = reference()
        if layer is None:
            continue
        try:
            image = image_from_layer(layer) if known is None else known
            kept = find_kept(image)
        except SemClassifyError as error:
            problem = str(error)
            continue
        problem = problem or kept.problem
        found.append(FoundImage(reference, image, kept))
    return found, problem
