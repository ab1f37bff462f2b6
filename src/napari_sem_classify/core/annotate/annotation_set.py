"""The annotated tiles of one or several images, and what a user does to them.

An `Annotations` value never changes: each edit gives a new one, so undo is keeping the old one.
A tile is known by its place in pixels, not by a row of some grid: annotations survive a change of
the grid, and tiles of several sizes may live side by side. Each plane of a stack is annotated by
itself and has a key of its own; the first plane's is the fingerprint, as a single image's is.

An edit raises `AnnotationError` where it names a class that is not there, or gives one a name that
is empty or taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_sem_classify.core.annotate.annotation import UNLABELLED, TileLabels
from napari_sem_classify.core.annotate.place import (
    TilePlace,
    is_of,
    plane_key,
    plane_of,
    tile_numbers,
)
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.plain_text import name_problem
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.image.specimen_guess import guess_specimen
from napari_sem_classify.core.model.card import MOST_CLASSES, OKABE_ITO, ClassInfo, default_colours
from napari_sem_classify.core.model.recipe import RecipeChoice
from napari_sem_classify.core.tiles.grid import TileGrid


@dataclass(frozen=True, slots=True)
class Mark:
    """What a user said about a tile; a correction was painted on a finished map."""

    class_name: str
    correction: bool = False


@dataclass(frozen=True, slots=True)
class ImageAnnotations:
    """The annotated tiles of one image, or of one plane of a stack.

    Attributes
    ----------
    fingerprint : str
        Of its pixels, see `fingerprint`; all planes of a stack have the same.
    path : Path or None
        Where the image was last seen.
    shape : (int, int)
        Rows and columns of the image, info bar included.
    marks : mapping of TilePlace to Mark
        In the order in which they were made.
    plane : tuple of int
        Index along the leading axes of a stack; () for its first plane and for a single image.
    said_specimen : str
        The specimen that it shows, where the user said; "" where it is to be guessed.
    """

    name: str
    fingerprint: str
    shape: tuple[int, int]
    path: Path | None = None
    marks: Mapping[TilePlace, Mark] = field(default_factory=dict)
    plane: tuple[int, ...] = ()
    said_specimen: str = ""

    @property
    def specimen(self) -> str:
        """The specimen that the image shows, as the user said or as its name has it."""
        return self.said_specimen or guess_specimen(self.path or Path(self.name))

    @property
    def key(self) -> str:
        """By which the annotations of this image or plane are asked for, see `plane_key`."""
        return plane_key(self.fingerprint, self.plane)

    @property
    def corrections(self) -> dict[TilePlace, str]:
        """Class of each tile that was painted on a map to correct it."""
        return {at: mark.class_name for at, mark in self.marks.items() if mark.correction}

    def tile_labels(self, grid: TileGrid, class_names: tuple[str, ...]) -> TileLabels:
        """The marks that lie on tiles of `grid`; marks of other places or sizes are not shown."""
        labels = np.full(grid.tile_shape, UNLABELLED, dtype=np.int64)
        number_of = {class_name: number for number, class_name in enumerate(class_names)}
        for place, tile in tile_numbers(grid, self.marks).items():
            labels.flat[tile] = number_of.get(self.marks[place].class_name, UNLABELLED)
        return TileLabels(labels, np.zeros(grid.tile_shape, dtype=bool), class_names)


@dataclass(frozen=True, slots=True)
class Annotations:
    """Classes, and the annotated tiles of all images that feed one model.

    Attributes
    ----------
    rules : {class name: share}
        Of classes that a tile takes where it contains so much of them, 0 to 1.
    looking : RecipeChoice or None
        How the network sees the tiles, where that was chosen; None for the standard way.
    """

    classes: tuple[ClassInfo, ...] = ()
    images: tuple[ImageAnnotations, ...] = ()
    rules: Mapping[str, float] = field(default_factory=dict)
    looking: RecipeChoice | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the classes."""
        return tuple(info.name for info in self.classes)

    @property
    def told_classes(self) -> tuple[ClassInfo, ...]:
        """The classes with their rules, as a model's card and its maps tell of them."""
        rules = self.rules
        return tuple(
            replace(info, contains=rules.get(info.name, info.contains)) for info in self.classes
        )

    def counts(self) -> dict[str, int]:
        """Annotated tiles of each class over all images."""
        counts = dict.fromkeys(self.class_names, 0)
        for image in self.images:
            for mark in image.marks.values():
                counts[mark.class_name] += 1
        return counts

    def with_image(self, image: SemImage, key: str) -> Annotations:
        """Take an image in, and know it again by its pixels or, where those changed, by its path.

        By its `fingerprint`, the key, the other methods know it; with `plane_key` they know each of
        its planes.
        """
        mine = self.images_of(image, key)
        images = tuple(
            replace(each, fingerprint=key, path=image.path or each.path) if each in mine else each
            for each in self.images
        )
        if not any(not each.plane for each in mine):
            images = (*images, ImageAnnotations(image.name, key, image.shape, image.path))
        return replace(self, images=images)

    def images_of(self, image: SemImage, key: str) -> tuple[ImageAnnotations, ...]:
        """What there is of an image, or of the planes of a stack.

        It is known by its fingerprint `key` or, where its pixels changed, by its path.
        """
        known = tuple(each for each in self.images if each.fingerprint == key)
        return known or tuple(
            each
            for each in self.images
            if each.path is not None and each.path == image.path and each.shape == image.shape
        )

    def of(self, key: str) -> ImageAnnotations:
        """The annotations of an image that was taken in, or of one of its planes."""
        for known in self.images:
            if known.key == key:
                return known
        for known in self.images:
            if is_of(key, known.fingerprint):
                return replace(known, plane=plane_of(key), marks={})
        raise KeyError("the image was not taken in: call with_image first")

    def with_marks(
        self, key: str, places: Iterable[TilePlace], class_name: str, correction: bool = False
    ) -> Annotations:
        """Give tiles of an image a class; what they were before is replaced."""
        self._number(class_name)
        mine = self.of(key)
        said = dict.fromkeys(places, Mark(class_name, correction))
        return self.with_tiles_of(replace(mine, marks={**mine.marks, **said}))

    def without_marks(self, key: str, places: Iterable[TilePlace]) -> Annotations:
        """Take the class away from tiles of an image; those without one stay as they are."""
        mine = self.of(key)
        gone = set(places)
        marks = {place: mark for place, mark in mine.marks.items() if place not in gone}
        same = len(marks) == len(mine.marks)
        return self if same else self.with_tiles_of(replace(mine, marks=marks))

    def with_tiles_of(self, mine: ImageAnnotations) -> Annotations:
        """Exchange the tiles of an image or plane that was taken in."""
        others = tuple(mine if each.key == mine.key else each for each in self.images)
        return replace(self, images=others if mine in others else (*others, mine))

    def with_specimen(self, fingerprint: str, specimen: str) -> Annotations:
        """Say which specimen an image shows, all its planes; "" for the guess from its name."""
        images = tuple(
            replace(each, said_specimen=specimen.strip())
            if each.fingerprint == fingerprint
            else each
            for each in self.images
        )
        return replace(self, images=images)

    def with_class(self, name: str, colour: str | None = None) -> Annotations:
        """Add a class at the end; its colour is the first of the palette that is free."""
        self._check_free(name)
        if len(self.classes) >= MOST_CLASSES:
            raise AnnotationError(f"There are {MOST_CLASSES} classes already, and no more fit in.")
        taken = {info.colour for info in self.classes}
        more = default_colours(len(OKABE_ITO) + len(self.classes) + 1)
        free = next(colour for colour in more if colour not in taken)
        return replace(self, classes=(*self.classes, ClassInfo(name, colour or free)))

    def recoloured(self, name: str, colour: str) -> Annotations:
        """Give a class another colour, ``#rrggbb``."""
        return self._with_info(self._number(name), ClassInfo(name, colour))

    def renamed(self, name: str, new_name: str) -> Annotations:
        """Give a class another name, in its marks too."""
        number = self._number(name)
        if new_name == name:
            return self
        self._check_free(new_name)
        renamed = self._with_info(number, ClassInfo(new_name, self.classes[number].colour))
        rules = {new_name if key == name else key: share for key, share in self.rules.items()}
        return replace(renamed._relabelled(name, new_name), rules=rules)

    def merged(self, name: str, into: str) -> Annotations:
        """Make all tiles of class `name` tiles of class `into`, and remove `name`."""
        self._number(into)
        return self if name == into else self._relabelled(name, into).without_class(name)

    def without_class(self, name: str) -> Annotations:
        """Remove a class and its marks."""
        number = self._number(name)
        kept = self.classes[:number] + self.classes[number + 1 :]
        rest = self._relabelled(name, None)
        return replace(rest, classes=kept, rules=self._rules_without(name))

    def with_rule(self, name: str, share: float | None) -> Annotations:
        """Let tiles that contain `share` of a class take it; None for the usual rule."""
        self._number(name)
        rules = self._rules_without(name)
        return replace(self, rules=rules if share is None else {**rules, name: share})

    def _rules_without(self, name: str) -> dict[str, float]:
        return {key: share for key, share in self.rules.items() if key != name}

    def _relabelled(self, name: str, new_name: str | None) -> Annotations:
        images = []
        for image in self.images:
            marks = {}
            for place, mark in image.marks.items():
                if mark.class_name != name:
                    marks[place] = mark
                elif new_name is not None:
                    marks[place] = replace(mark, class_name=new_name)
            images.append(replace(image, marks=marks))
        return replace(self, images=tuple(images))

    def _with_info(self, number: int, info: ClassInfo) -> Annotations:
        return replace(self, classes=(*self.classes[:number], info, *self.classes[number + 1 :]))

    def _number(self, name: str) -> int:
        if name not in self.class_names:
            raise AnnotationError(f'There is no class "{name}": add it first.')
        return self.class_names.index(name)

    def _check_free(self, name: str) -> None:
        if not name.strip():
            raise AnnotationError("A class needs a name: write one.")
        problem = name_problem(name)
        if problem:
            raise AnnotationError(f"The name of a class {problem}: choose another name.")
        if name in self.class_names:
            raise AnnotationError(f'There is a class "{name}" already: choose another name.')
