"""What outlives the widget with its viewer: the annotations, and what was seen of their images."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.history import History
from napari_sem_classify.core.annotate.keeper import Keeper
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.recipe import STANDARD, Recipe, RecipeChoice
from napari_sem_classify.core.teach.looked import SeenTiles
from napari_sem_classify.core.teach.turned import SeenCopies
from napari_sem_classify.plugin.app.session import helper_of
from napari_sem_classify.plugin.app.text import count_text, counted

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class Book(History):
    """Annotations of all images of one viewer."""

    changed = Signal(Annotations)
    """Classes or tiles are others than before; tells what they were."""

    def _set(self, annotations: Annotations) -> None:
        before = self.annotations
        super()._set(annotations)
        self.changed.emit(before)

    def counted(self, tile_px: int) -> str:
        """How many tiles are annotated, of how many images and planes; how many are not used."""
        images = self.annotations.images
        used = [sum(1 for place in image.marks if place[2] == tile_px) for image in images]
        others = sum(len(image.marks) for image in images) - sum(used)
        if not sum(used) + others:
            return ""
        words = [counted(sum(used), "tile")]
        with_tiles = [image for image, count in zip(images, used, strict=True) if count]
        several = len({image.fingerprint for image in with_tiles})
        if several > 1:
            words.append(f"{several} images")
        if len(with_tiles) > several:
            words.append(f"{len(with_tiles)} planes")
        corrections = sum(1 for image in images for mark in image.marks.values() if mark.correction)
        if corrections:
            words.append("1 correction" if corrections == 1 else f"{corrections} corrections")
        if others:
            words.append(f"{count_text(others)} of another tile size are not used")
        return " · ".join(words)


def book_of(viewer: ViewerModel) -> Book:
    """The viewer's annotations."""
    return helper_of(viewer, Book)


@dataclass(eq=False)
class Memory:
    """Images by their fingerprint, and what the network saw in them.

    Attributes
    ----------
    looked : {key of the image or plane: SeenTiles}
        Of planes of a stack that are out of view only the annotated tiles.
    copies : {key of the image or plane: SeenCopies}
        Of annotated tiles, as they would look with other settings of the microscope.
    images : {fingerprint: SemImage}
        Those that are open.
    layers : {fingerprint: weak reference to the image layer}
    recipe : Recipe
        How the network looks at tiles.
    choice : RecipeChoice or None
        How that was found, where it was asked for.
    """

    keeper: Keeper = field(default_factory=Keeper)
    looked: dict[str, SeenTiles] = field(default_factory=dict)
    copies: dict[str, SeenCopies] = field(default_factory=dict)
    images: dict[str, SemImage] = field(default_factory=dict)
    layers: dict[str, weakref.ref[Layer]] = field(default_factory=dict)
    recipe: Recipe = STANDARD
    choice: RecipeChoice | None = None


def memory_of(viewer: ViewerModel) -> Memory:
    """The viewer's memory, made on first use."""
    return helper_of(viewer, Memory)
