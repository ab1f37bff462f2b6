"""The annotated tiles of one or several images, and what a user does to them.

An `Annotations` value never changes: each edit gives a new one, so undo is keeping the old one.
A tile is known by its place in pixels, not by a row of some grid: annotations survive a change of
the grid, and tiles of several sizes may live side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.errors import AnnotationError
from napari_sem_classify.core.image import SemImage
from napari_sem_classify.core.model.card import OKABE_ITO, ClassInfo, default_colours
from napari_sem_classify.core.teaching.annotation import UNLABELLED, TileLabels
from napari_sem_classify.core.tiles import Area, TileGrid

TilePlace = tuple[int, int, int]
"""First row, first column and side of a tile, in pixels of the image file."""

_SAMPLES, _SAMPLE_PX = 8, 64


@dataclass(frozen=True, slots=True)
class Mark:
    """What a user said about a tile.

    Attributes
    ----------
    class_name : str
    correction : bool
        Whether it was painted on a finished map to correct it.
    """

    class_name: str
    correction: bool = False


@dataclass(frozen=True, slots=True)
class ImageAnnotations:
    """The annotated tiles of one image.

    Attributes
    ----------
    name : str
    fingerprint : str
        Of its pixels, see `fingerprint`.
    path : Path or None
        Where the image was last seen.
    shape : (int, int)
        Rows and columns of the image, info bar included.
    marks : mapping of TilePlace to Mark
        In the order in which they were made.
    """

    name: str
    fingerprint: str
    shape: tuple[int, int]
    path: Path | None = None
    marks: Mapping[TilePlace, Mark] = field(default_factory=dict)

    def tile_labels(self, grid: TileGrid, class_names: tuple[str, ...]) -> TileLabels:
        """The marks that lie on tiles of `grid`; marks of other places or sizes are not shown."""
        labels = np.full(grid.tile_shape, UNLABELLED, dtype=np.int64)
        row_of = {int(top): row for row, top in enumerate(grid.row_starts())}
        col_of = {int(left): col for col, left in enumerate(grid.col_starts())}
        number_of = {class_name: number for number, class_name in enumerate(class_names)}
        for (y, x, size), mark in self.marks.items():
            if size == grid.tile and y in row_of and x in col_of and mark.class_name in number_of:
                labels[row_of[y], col_of[x]] = number_of[mark.class_name]
        return TileLabels(labels, np.zeros(grid.tile_shape, dtype=bool), class_names)


@dataclass(frozen=True, slots=True)
class Annotations:
    """Classes, and the annotated tiles of all images that feed one model.

    Attributes
    ----------
    classes : tuple of ClassInfo
    images : tuple of ImageAnnotations
    rules : {class name: share}
        Of classes that a tile takes where it contains so much of them, 0 to 1.
    """

    classes: tuple[ClassInfo, ...] = ()
    images: tuple[ImageAnnotations, ...] = ()
    rules: Mapping[str, float] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the classes."""
        return tuple(info.name for info in self.classes)

    def counts(self) -> dict[str, int]:
        """Annotated tiles of each class over all images."""
        counts = dict.fromkeys(self.class_names, 0)
        for image in self.images:
            for mark in image.marks.values():
                counts[mark.class_name] += 1
        return counts

    def with_image(self, image: SemImage, key: str) -> Annotations:
        """Take an image in, and know it again by its pixels or, where those changed, by its path.

        Parameters
        ----------
        image : SemImage
        key : str
            Its `fingerprint`, by which the other methods know it.
        """
        number = self._find(image, key)
        if number is None:
            mine = ImageAnnotations(image.name, key, image.shape, image.path)
            return replace(self, images=(*self.images, mine))
        known = self.images[number]
        return self._with(number, replace(known, fingerprint=key, path=image.path or known.path))

    def of(self, key: str) -> ImageAnnotations:
        """The annotations of an image that was taken in."""
        return self.images[self._image_number(key)]

    def with_marks(
        self, key: str, places: Iterable[TilePlace], class_name: str, correction: bool = False
    ) -> Annotations:
        """Give tiles of an image a class; what they were before is replaced.

        Raises
        ------
        AnnotationError
            When there is no such class.
        """
        self._number(class_name)
        mark = Mark(class_name, correction)
        number = self._image_number(key)
        marks = {**self.images[number].marks, **dict.fromkeys(places, mark)}
        return self._with(number, replace(self.images[number], marks=marks))

    def without_marks(self, key: str, places: Iterable[TilePlace]) -> Annotations:
        """Take the class away from tiles of an image; those without one stay as they are."""
        number = self._image_number(key)
        gone = set(places)
        kept = self.images[number].marks.items()
        marks = {place: mark for place, mark in kept if place not in gone}
        return self._with(number, replace(self.images[number], marks=marks))

    def with_class(self, name: str, colour: str | None = None) -> Annotations:
        """Add a class at the end; its colour is the first of the palette that is free.

        Raises
        ------
        AnnotationError
            When the name is empty or taken.
        """
        self._check_free(name)
        taken = {info.colour for info in self.classes}
        more = default_colours(len(OKABE_ITO) + len(self.classes) + 1)
        free = next(colour for colour in more if colour not in taken)
        return replace(self, classes=(*self.classes, ClassInfo(name, colour or free)))

    def recoloured(self, name: str, colour: str) -> Annotations:
        """Give a class another colour, ``#rrggbb``."""
        return self._with_info(self._number(name), ClassInfo(name, colour))

    def renamed(self, name: str, new_name: str) -> Annotations:
        """Give a class another name, in its marks too.

        Raises
        ------
        AnnotationError
            When there is no such class, or the new name is empty or taken.
        """
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
        number = self._number(name)
        if name == into:
            return self
        kept = self.classes[:number] + self.classes[number + 1 :]
        merged = self._relabelled(name, into)
        return replace(merged, classes=kept, rules=self._rules_without(name))

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

    def _with(self, number: int, mine: ImageAnnotations) -> Annotations:
        return replace(self, images=(*self.images[:number], mine, *self.images[number + 1 :]))

    def _find(self, image: SemImage, key: str) -> int | None:
        for number, known in enumerate(self.images):
            if known.fingerprint == key:
                return number
        for number, known in enumerate(self.images):
            same_place = known.path is not None and known.path == image.path
            if same_place and known.shape == image.shape:
                return number
        return None

    def _image_number(self, key: str) -> int:
        for number, known in enumerate(self.images):
            if known.fingerprint == key:
                return number
        raise KeyError("the image was not taken in: call with_image first")

    def _number(self, name: str) -> int:
        if name not in self.class_names:
            raise AnnotationError(f'There is no class "{name}": add it first.')
        return self.class_names.index(name)

    def _check_free(self, name: str) -> None:
        if not name.strip():
            raise AnnotationError("A class needs a name: write one.")
        if name in self.class_names:
            raise AnnotationError(f'There is a class "{name}" already: choose another name.')


def fingerprint(image: SemImage) -> str:
    """Name an image by a bounded sample of its pixels: a moved or copied file is known again.

    Returns
    -------
    str
        64 hexadecimal digits, from the shape, the type and 64 small windows of the first plane.

    Raises
    ------
    ImageError
        When the file cannot be read.
    """
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    plane = (0,) * len(image.leading_shape)
    for window in _windows(image.shape):
        digest.update(np.ascontiguousarray(image.read(window, plane)).tobytes())
    return digest.hexdigest()


def _windows(shape: tuple[int, int]) -> Iterable[Area]:
    def starts(length: int) -> NDArray[np.int64]:
        last = max(0, length - _SAMPLE_PX)
        return np.unique(np.linspace(0, last, _SAMPLES).astype(np.int64))

    rows, cols = shape
    for top in starts(rows).tolist():
        for left in starts(cols).tolist():
            yield Area(top, min(top + _SAMPLE_PX, rows), left, min(left + _SAMPLE_PX, cols))
