"""Annotations in, a model out: the head, its card and its honest score."""

from __future__ import annotations

import time

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.teach.learn import fit
from napari_sem_classify.core.teach.lesson import TeachingSet, gather, sample_tiles
from napari_sem_classify.core.teach.looked import look_at_all, sights_of
from napari_sem_classify.core.teach.recipes import choose_recipe
from napari_sem_classify.core.teach.taught_model import make_model
from napari_sem_classify.core.teach.teach_options import EngineOf, TeachOptions


def teach(
    material: TeachingSet,
    options: TeachOptions,
    job: Job | None = None,
    *,
    engine_of: EngineOf | None = None,
) -> TileClassifier:
    """Teach a model from annotated images.

    Parameters
    ----------
    material : TeachingSet
        Annotations from strokes, layers or label images: they teach alike.
    options : TeachOptions
    engine_of : callable, optional
        Gives the engine for a recipe; those of `options` where None.

    Returns
    -------
    TileClassifier
        Its card holds the score and the record.

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
    sights = sights_of(annotations, material.images, options.tile_px, options.stride_px)
    seen = look_at_all(sights, choice.recipe, engine, job, options.dense)
    lesson = gather(annotations, seen, options.tile_px, choice.recipe)
    check_teachable(lesson.counts, names)
    taught = fit(lesson, options, job)
    seconds = time.perf_counter() - start
    told = choice if choice.scores else None
    return make_model(material, lesson, taught, options, told, seconds)
