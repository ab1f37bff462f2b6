"""A model of a file taught further: what happens after each stroke on an image that is new to it.

How much the tiles help is told before anything else of the image is labelled. The heads of the
stages that learned the very tiles agree too readily, those from before know nothing of them: the
mean of both lay nearest to the truth (`benchmarks/ten_tiles_expected.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.classify.judgement import judgement_of, judgement_of_rest
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.transfer import Judgement
from napari_sem_classify.core.teach.further import further_taught
from napari_sem_classify.core.teach.learn import Learned, View, learned_on, scores_on_view
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.rise import Rise


def new_tiles(card: ModelCard, annotations: Annotations) -> Annotations:
    """The tiles that are new to a model, with its classes in their order and the user's colours.

    Left out are those of images that taught it already, which are in its head, and those of classes
    that it does not have.
    """
    images = card.record.get("images")
    rows = images if isinstance(images, list) else []
    known = {row.get("fingerprint") for row in rows if isinstance(row, dict)}
    names = set(card.class_names)
    said = {info.name: info.colour for info in annotations.classes}
    classes = tuple(replace(info, colour=said.get(info.name, info.colour)) for info in card.classes)
    mine = tuple(
        replace(
            image,
            marks={at: mark for at, mark in image.marks.items() if mark.class_name in names},
        )
        for image in annotations.images
        if image.fingerprint.rstrip("'") not in known
    )
    rules = {info.name: info.contains for info in card.classes if info.contains is not None}
    return replace(annotations, classes=classes, images=mine, rules=rules)


def learn_further(
    classifier: TileClassifier, lesson_of: Callable[[], Lesson], view: View | None, job: Job
) -> Learned:
    """Teach a model further and draw the map; without a new tile the map is the model's own.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    start = time.perf_counter()
    lesson = lesson_of()
    taught = further_taught(classifier, lesson)
    if view is None:
        return Learned(taught, lesson, seconds=time.perf_counter() - start, scored=True)
    job.check()
    scores = scores_on_view(taught, view[1])
    found = learned_on(replace(taught, transfer=None), lesson, view, scores)
    before = scores
    if len(lesson.labels):
        before = scores_on_view(further_taught(classifier), view[1])
    judgement = judgement_of(classifier, view[0].image, before)
    return replace(
        found,
        taught=taught,
        judgement=judgement,
        rise=_rise(classifier, lesson, view, judgement, before, scores),
        seconds=time.perf_counter() - start,
        scored=True,
    )


def _rise(
    classifier: TileClassifier,
    lesson: Lesson,
    view: View,
    judgement: Judgement,
    before: PlaneScores,
    after: PlaneScores,
) -> Rise | None:
    sight, seen = view
    here = [at for at, (key, _) in enumerate(lesson.tiles) if key == sight.key]
    if not here or lesson.seen[sight.key] is not seen:
        return None
    tiles, labels = lesson.numbers[here], lesson.labels[here]
    said = before.probabilities(smoothed=False).reshape(-1, len(lesson.classes))[tiles]
    right = int(np.count_nonzero(said.argmax(axis=1) == labels))
    known, now = classifier.card.transfer, None
    if known is not None:
        now = judgement_of_rest(before, after, known, tiles)
    return Rise(judgement, now, len(here), right)
