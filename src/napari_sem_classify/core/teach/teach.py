"""Annotations or label images in, a model out: the head, its card and its honest score."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from napari_sem_classify.core.annotate.annotation import (
    UNLABELLED,
    TileLabels,
    check_teachable,
    tiles_from_mask,
)
from napari_sem_classify.core.annotate.annotation_set import Annotations, ImageAnnotations, Mark
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.sem_image import ArrayLike, SemImage
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.surroundings import ALONE
from napari_sem_classify.core.teach.folds import MIN_GROUPS
from napari_sem_classify.core.teach.learn import fit
from napari_sem_classify.core.teach.lesson import TeachingSet, gather, sample_labels, sample_tiles
from napari_sem_classify.core.teach.looked import look_at_all, sights_of
from napari_sem_classify.core.teach.recipes import choose_recipe
from napari_sem_classify.core.teach.taught_model import make_model
from napari_sem_classify.core.teach.teach_options import EngineOf, TeachOptions
from napari_sem_classify.core.teach.turned import look_at_missing
from napari_sem_classify.core.tiles.grid import TileGrid

Pair = tuple[SemImage, ArrayLike]
"""An image and a mask of integers, shape ``image.shape``; of a stack the first plane is used."""


def teach(
    material: TeachingSet,
    options: TeachOptions,
    job: Job | None = None,
    *,
    engine_of: EngineOf | None = None,
) -> TileClassifier:
    """Teach a model from annotated images; its card holds the score and the record.

    Parameters
    ----------
    material : TeachingSet
        Annotations from strokes, layers or label images: they teach alike.
    engine_of : callable, optional
        Gives the engine for a recipe; those of `options` where None.

    Raises
    ------
    AnnotationError
        When nothing can be learned.
    ImageError, ModelError, DeviceError
        When an image cannot be read or the network cannot be run.
    Cancelled
        When the job was asked to stop.
    """
    start = time.perf_counter()
    names = material.annotations.class_names
    check_teachable(list(material.annotations.counts().values()), names)
    material = sample_tiles(material, options.tile_px, options.max_tiles_per_class, options.seed)
    annotations = material.annotations
    choice = choose_recipe(material, options, engine_of, job)
    engine = (engine_of or options.engine)(choice.recipe)
    tile_px, stride_px = options.tile_px, options.stride_px
    # Chosen among several only where images can be left out: not looked at for nothing.
    several = len(options.surroundings) > 1
    around = len(material.images) >= MIN_GROUPS if several else options.surroundings != (ALONE,)
    sights = sights_of(annotations, material.images, tile_px, stride_px, around=around)
    seen = look_at_all(sights, choice.recipe, engine, job, options.dense)
    copies = {}
    if options.turned and not options.dense:
        copies = look_at_missing(annotations, sights, {}, choice.recipe, lambda: engine, job)
    lesson = gather(annotations, seen, options.tile_px, choice.recipe, copies)
    check_teachable(lesson.counts, names)
    taught = fit(lesson, options, job)
    seconds = time.perf_counter() - start
    told = choice if choice.scores else None
    return make_model(material, lesson, taught, options, told, seconds)


def teach_from_masks(
    pairs: Sequence[Pair],
    classes: Sequence[tuple[int, str]],
    options: TeachOptions,
    *,
    colours: Sequence[str] | None = None,
    specimens: Sequence[str] | None = None,
    engine_of: EngineOf | None = None,
    job: Job | None = None,
) -> TileClassifier:
    """Teach a model from images and label images of the same size.

    Takes and refuses what `annotations_from_masks` and `teach` do.
    """
    material = annotations_from_masks(pairs, classes, options, colours, specimens)
    return teach(material, options, job, engine_of=engine_of)


def annotations_from_masks(
    pairs: Sequence[Pair],
    classes: Sequence[tuple[int, str]],
    options: TeachOptions,
    colours: Sequence[str] | None = None,
    specimens: Sequence[str] | None = None,
    *,
    few: bool = False,
) -> TeachingSet:
    """Annotate the tiles of images as label images have them.

    Parameters
    ----------
    pairs : sequence of (SemImage, mask)
        Each is an image of its own, even where two have the same pixels.
    classes : sequence of (label value, class name)
        In the order of the model's classes; values not listed are unlabelled.
    options : TeachOptions
        Tile, stride, shares and rules, and of how many tiles a class a sample is drawn at once: a
        mask may label millions.
    colours : sequence of str, optional
        ``#rrggbb`` of each class.
    specimens : sequence of str, optional
        Which each image shows; guessed from its name where None or "".
    few : bool
        Whether any number of tiles will do, of a single class too.

    Raises
    ------
    AnnotationError
        When a mask does not fit its image, or too few tiles have a class.
    ImageError
        When an image cannot be read.
    """
    names = tuple(name for _, name in classes)
    colours = colours or default_colours(len(names))
    if len(colours) != len(names):
        raise AnnotationError(
            f"{len(names)} classes need as many colours, and {len(colours)} are given."
        )
    if not pairs:
        raise AnnotationError("No image with labels was given: give at least one pair.")
    found = [_tile_labels(image, mask, classes, options) for image, mask in pairs]
    if not few:
        check_teachable(np.sum([tiles.counts for _, tiles in found], axis=0), names)
    labels = [tiles.labels for _, tiles in found]
    if options.max_tiles_per_class is not None:
        labels = sample_labels(labels, options.max_tiles_per_class, options.seed)
    marks = [Mark(name) for name in names]
    images: dict[str, SemImage] = {}
    annotated, mixed = [], {}
    said = specimens or [""] * len(pairs)
    for (image, _), (grid, tiles), kept, specimen in zip(pairs, found, labels, said, strict=True):
        key = fingerprint(image)
        while key in images:
            key += "'"
        rows, cols = np.nonzero(kept != UNLABELLED)
        tops, lefts = grid.row_starts()[rows].tolist(), grid.col_starts()[cols].tolist()
        mine = {
            (top, left, grid.tile): marks[number]
            for top, left, number in zip(tops, lefts, kept[rows, cols].tolist(), strict=True)
        }
        images[key], mixed[key] = image, tiles.n_mixed
        annotated.append(
            ImageAnnotations(image.name, key, image.shape, image.path, mine, said_specimen=specimen)
        )
    infos = tuple(ClassInfo(*each) for each in zip(names, colours, strict=True))
    return TeachingSet(Annotations(infos, tuple(annotated), options.rules), images, mixed)


def _tile_labels(
    image: SemImage, mask: ArrayLike, classes: Sequence[tuple[int, str]], options: TeachOptions
) -> tuple[TileGrid, TileLabels]:
    if tuple(mask.shape) != image.shape:
        size = " × ".join(str(length) for length in mask.shape)
        raise AnnotationError(
            f"The labels of {image.name} have {size} px and the image has "
            f"{image.shape[0]} × {image.shape[1]} px: use labels of the image's own size."
        )
    grid = TileGrid(image.area, options.tile_px, options.stride_px or options.tile_px)
    tiles = tiles_from_mask(
        mask,
        grid,
        classes,
        min_share=options.min_share,
        contains={value: options.rules[name] for value, name in classes if name in options.rules},
        name=f"The label image of {image.name}",
    )
    return grid, tiles
