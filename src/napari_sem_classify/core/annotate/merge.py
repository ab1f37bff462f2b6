"""Annotations that two windows or programs changed at the same time: both changes are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from napari_sem_classify.core.annotate.annotation_set import Annotations, ImageAnnotations
from napari_sem_classify.core.annotate.place import TilePlace
from napari_sem_classify.core.model.card import ClassInfo

Spot = tuple[str, TilePlace]
"""Key of an image or plane, and a tile of it."""


def changed_onto(onto: Annotations, before: Annotations, after: Annotations) -> Annotations:
    """Do to `onto` what was done from `before` to `after`.

    Tiles that were marked, marked otherwise or erased in between become so in `onto`; all others
    stay as they are there, also where they are others than in `before`. A class that was removed
    stays while tiles have it; one that was renamed is renamed in `onto`.
    """
    for old, new in _renamed(before.classes, after.classes):
        before = before.renamed(old, new)
        if old in onto.class_names and new not in onto.class_names:
            onto = onto.renamed(old, new)
    images = list(onto.images)
    for mine in after.images:
        was, there = _same(before.images, mine), _same(images, mine)
        known = {} if was is None else was.marks
        marks = {} if there is None else dict(there.marks)
        for place in known:
            if place not in mine.marks:
                marks.pop(place, None)
        marks |= {at: mark for at, mark in mine.marks.items() if known.get(at) != mark}
        if there is None:
            images.append(replace(mine, marks=marks))
        else:
            images[images.index(there)] = replace(mine, marks=marks)
    classes = _classes(onto, before, after, images)
    rules = dict(onto.rules)
    for name in {*before.rules, *after.rules}:
        if before.rules.get(name) != after.rules.get(name):
            rules.pop(name, None)
            if name in after.rules:
                rules[name] = after.rules[name]
    names = {info.name for info in classes}
    rules = {name: share for name, share in rules.items() if name in names}
    looking = onto.looking if after.looking == before.looking else after.looking
    return Annotations(classes, tuple(images), rules, looking)


def with_unknown(
    annotations: Annotations, others: Annotations, known: Iterable[Spot]
) -> Annotations:
    """Add the tiles of `others` that are not known, neither as they are nor as erased ones."""
    seen = set(known)
    more = tuple(
        replace(each, marks={at: m for at, m in each.marks.items() if (each.key, at) not in seen})
        for each in others.images
    )
    used = {mark.class_name for each in more for mark in each.marks.values()}
    classes = tuple(info for info in others.classes if info.name in used)
    return changed_onto(annotations, Annotations(), Annotations(classes, more))


def spots(annotations: Annotations) -> Iterator[Spot]:
    """All annotated tiles."""
    for image in annotations.images:
        for place in image.marks:
            yield image.key, place


def differences(one: Annotations, other: Annotations) -> set[Spot]:
    """Tiles whose class is another one, or that are annotated in one of both alone."""
    first, second = _marks(one), _marks(other)
    return {at for at in {*first, *second} if first.get(at) != second.get(at)}


def same_content(one: Annotations, other: Annotations) -> bool:
    """Whether two say the same of the same images, in whatever order tiles were annotated."""
    if one is other:
        return True
    if (one.classes, dict(one.rules), one.looking) != (
        other.classes,
        dict(other.rules),
        other.looking,
    ):
        return False
    return _paths(one) == _paths(other) and not differences(one, other)


def _paths(annotations: Annotations) -> dict[str, object]:
    return {
        each.key: each.path and each.path.resolve()
        for each in annotations.images
        if each.marks or not each.plane
    }


def _marks(annotations: Annotations) -> dict[Spot, object]:
    return {
        (image.key, place): mark
        for image in annotations.images
        for place, mark in image.marks.items()
    }


def _same(images: Iterable[ImageAnnotations], mine: ImageAnnotations) -> ImageAnnotations | None:
    """The entry of an image or plane, known by its pixels or, where those changed, by its path."""
    by_path = None
    for each in images:
        if each.key == mine.key:
            return each
        if each.path is not None and (each.path, each.plane) == (mine.path, mine.plane):
            by_path = each
    return by_path


def _renamed(before: tuple[ClassInfo, ...], after: tuple[ClassInfo, ...]) -> list[tuple[str, str]]:
    """Classes that have another name at the same place and in the same colour."""
    old = {info.name for info in before}
    new = {info.name for info in after}
    return [
        (was.name, now.name)
        for was, now in zip(before, after, strict=False)
        if was.name not in new and now.name not in old and was.colour == now.colour
    ]


def _classes(
    onto: Annotations, before: Annotations, after: Annotations, images: list[ImageAnnotations]
) -> tuple[ClassInfo, ...]:
    """The classes that are there, were added or are used, in the order of `after`."""
    used = {mark.class_name for each in images for mark in each.marks.values()}
    old = {info.name: info for info in before.classes}
    there = {info.name: info for info in onto.classes}
    made = Annotations()
    for info in after.classes:
        if info.name in there or info.name not in old or info.name in used:
            said = there.get(info.name, info) if info == old.get(info.name) else info
            made = made.with_class(said.name, said.colour)
    for info in onto.classes:
        if info.name in made.class_names or (info.name in old and info.name not in used):
            continue
        taken = info.colour in {each.colour for each in made.classes}
        made = made.with_class(info.name, None if taken else info.colour)
    return made.classes
