"""The annotated tiles of one or several images, and what a user does to them.

An `Annotations` value never changes: each edit gives a new one, so undo is keeping the old one.
A tile is known by its place in pixels, not by a row of some grid: annotations survive a change of
the grid, and tiles of several sizes may live side by side. Each plane of a stack is annotated by
itself and has a key of its own; the first plane's is the fingerprint, as a single image's is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import UNLABELLED, TileLabels
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import ArrayLike, SemImage
from napari_sem_classify.core.model.card import OKABE_ITO, ClassInfo, default_colours
from napari_sem_classify.core.model.recipe import RecipeChoice
from napari_sem_classify.core.tiles.grid import TileGrid

TilePlace = tuple[int, int, int]
"""First row, first column and side of a tile, in pixels of the image file."""

_SAMPLES, _SAMPLE_PX = 8, 64
_PLANE = "@"


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
    """The annotated tiles of one image, or of one plane of a stack.

    Attributes
    ----------
    name : str
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
    """

    name: str
    fingerprint: str
    shape: tuple[int, int]
    path: Path | None = None
    marks: Mapping[TilePlace, Mark] = field(default_factory=dict)
    plane: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """By which the annotations of this image or plane are asked for, see `plane_key`."""
        return plane_key(self.fingerprint, self.plane)

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
            Its `fingerprint`, by which the other methods know it; with `plane_key` they know each
            of its planes.
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
        name, _, _ = key.partition(_PLANE)
        for known in self.images:
            if known.fingerprint == name:
                return replace(known, plane=plane_of(key), marks={})
        raise KeyError("the image was not taken in: call with_image first")

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
        mine = self.of(key)
        return self.with_tiles_of(
            replace(mine, marks={**mine.marks, **dict.fromkeys(places, mark)})
        )

    def without_marks(self, key: str, places: Iterable[TilePlace]) -> Annotations:
        """Take the class away from tiles of an image; those without one stay as they are."""
        mine = self.of(key)
        gone = set(places)
        marks = {place: mark for place, mark in mine.marks.items() if place not in gone}
        return (
            self.with_tiles_of(replace(mine, marks=marks)) if len(marks) < len(mine.marks) else self
        )

    def with_tiles_of(self, mine: ImageAnnotations) -> Annotations:
        """Exchange the tiles of an image or plane that was taken in."""
        others = tuple(mine if each.key == mine.key else each for each in self.images)
        return replace(self, images=others if mine in others else (*others, mine))

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

    def _number(self, name: str) -> int:
        if name not in self.class_names:
            raise AnnotationError(f'There is no class "{name}": add it first.')
        return self.class_names.index(name)

    def _check_free(self, name: str) -> None:
        if not name.strip():
            raise AnnotationError("A class needs a name: write one.")
        if name in self.class_names:
            raise AnnotationError(f'There is a class "{name}" already: choose another name.')


def plane_key(name: str, plane: tuple[int, ...]) -> str:
    """Key of a plane of the image with fingerprint `name`: that of the first plane is `name`."""
    return f"{name}{_PLANE}{','.join(map(str, plane))}" if any(plane) else name


def plane_of(key: str) -> tuple[int, ...]:
    """The plane that a key names, () for the first one and for a single image."""
    _, _, plane = key.partition(_PLANE)
    return tuple(int(number) for number in plane.split(",")) if plane else ()


def is_of(key: str, name: str) -> bool:
    """Whether a key is that of the image with fingerprint `name`, or of one of its planes."""
    return key.partition(_PLANE)[0] == name


def full_plane(image: SemImage, plane: tuple[int, ...]) -> tuple[int, ...]:
    """Index along all leading axes of an image, where () is the first plane."""
    return plane or (0,) * len(image.leading_shape)


def has_plane(image: SemImage, plane: tuple[int, ...]) -> bool:
    """Whether an image has a plane; () is the first one, which every image has.

    A stack that was cut short, or its first plane alone, has the fingerprint of the whole one.
    """
    leading = image.leading_shape
    return not plane or (
        len(plane) == len(leading)
        and all(at < size for at, size in zip(plane, leading, strict=True))
    )


def plane_image(image: SemImage, plane: tuple[int, ...]) -> SemImage:
    """One plane of a stack as an image of its own, lazily; () is the first one."""
    if not image.leading_shape:
        return image
    data = _Plane(image.data, full_plane(image, plane))
    named = f"{image.name} plane {','.join(map(str, data.plane))}"
    return replace(image, data=data, name=named)


@dataclass(frozen=True, slots=True)
class _Plane:
    """A plane of an array, read where it is asked for."""

    stack: ArrayLike
    plane: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stack.shape[len(self.plane) :])

    @property
    def dtype(self) -> Any:
        return self.stack.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, key: Any) -> Any:
        return self.stack[(*self.plane, *(key if isinstance(key, tuple) else (key,)))]


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
