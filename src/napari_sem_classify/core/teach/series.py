"""What a model that is taught makes of all images that the network saw as a whole."""

from __future__ import annotations

from collections.abc import Iterable

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.corrections import with_corrections
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.maps.class_map import ClassFraction
from napari_sem_classify.core.teach.head_fit import Taught
from napari_sem_classify.core.teach.learn import View, learned_on
from napari_sem_classify.core.teach.lesson import Lesson


def fractions_of_images(
    taught: Taught,
    lesson: Lesson,
    views: Iterable[View],
    annotations: Annotations,
    job: Job | None = None,
) -> dict[str, list[ClassFraction]]:
    """Fractions of each image or plane, by its key, corrections counted as the map shows them.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    job, found = job or Job(), {}
    for sight, seen in views:
        job.check()
        class_map = learned_on(taught, lesson, (sight, seen)).class_map
        assert class_map is not None
        found[sight.key] = with_corrections(class_map, annotations.of(sight.key)).fractions()
    return found
