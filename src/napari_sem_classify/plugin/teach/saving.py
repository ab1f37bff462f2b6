"""The task that writes what is taught as a model file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.core.teach.further import TaughtFurther, teach_lesson_further
from napari_sem_classify.core.teach.learn import fit
from napari_sem_classify.core.teach.lesson import TeachingSet
from napari_sem_classify.core.teach.taught_model import make_model
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.teach.book import Memory
from napari_sem_classify.plugin.teach.learner import Learner

NEW_FILE = "{name} is the model that is taught further, and it stays: save under another name."


@dataclass(frozen=True, slots=True)
class Saved:
    """A model file that was written; `further` where it was taught further."""

    path: Path
    further: TaughtFurther | None = None


def save_task(
    learner: Learner, memory: Memory, path: Path, min_share: float, confirmed: bool = False
) -> Callable[[JobContext], Saved]:
    """The task that writes the model as it is taught now.

    `confirmed` is as `save_model` of core has it.

    Raises
    ------
    AnnotationError
        Where tiles are too few.
    OutputError
        Where the file is that of the model to start from.
    """
    if learner.start is not None:
        return _further_task(learner, memory, path, min_share, confirmed)
    last = None if learner.out_of_date else learner.learned
    lesson = learner.lesson() if last is None else last.lesson
    # Refused before a thread starts: a class without tiles would stay in the model's list.
    check_teachable(lesson.counts, lesson.class_names)
    material = _material(learner, memory, lesson.keys)
    options = replace(learner.options, min_share=min_share, name=stem_of(path))
    choice = memory.choice
    if choice is not None and choice.recipe != lesson.recipe:
        choice = None
    known = last.taught if last is not None and last.scored else None

    def task(context: JobContext) -> Saved:
        from napari_sem_classify.core.common.files import ensure_folder
        from napari_sem_classify.core.model.file import save_model

        taught = known or fit(lesson, options, context)
        ensure_folder(path.parent)
        made = make_model(material, lesson, taught, options, choice)
        return Saved(save_model(path, made, confirmed=confirmed))

    return task


def _further_task(
    learner: Learner, memory: Memory, path: Path, min_share: float, confirmed: bool
) -> Callable[[JobContext], Saved]:
    start = learner.start
    assert start is not None
    if path.resolve() == start.entry.path.resolve():
        raise OutputError(NEW_FILE.format(name=path.name))
    start.check(learner.annotations, learner.tile_px)
    lesson = learner.lesson()
    material = _material(learner, memory, lesson.keys)
    options = replace(learner.options, min_share=min_share, name=stem_of(path))

    def task(_context: JobContext) -> Saved:
        from napari_sem_classify.core.common.files import ensure_folder
        from napari_sem_classify.core.model.file import save_model

        ensure_folder(path.parent)
        made = teach_lesson_further(start.classifier, material, lesson, options)
        return Saved(save_model(path, made.classifier, confirmed=confirmed), made)

    return task


def _material(learner: Learner, memory: Memory, keys: tuple[str, ...]) -> TeachingSet:
    images = {key: memory.images[key] for key in keys if key in memory.images}
    return TeachingSet(learner.annotations, images)
