"""Whether a head learns from copies of its tiles with other settings of the microscope.

Copies may draw a head away from the tiles as they are. So tiles that were left out judge: as they
are, and turned, with a head that learned from the copies of the others and with one that did not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.model.surroundings import ALONE
from napari_sem_classify.core.teach.around import copies_in
from napari_sem_classify.core.teach.folds import Folds
from napari_sem_classify.core.teach.head_fit import FitOptions, try_folds
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.lesson_fit import to_judge
from napari_sem_classify.core.teach.turned import Copies, CopiesChoice

MIN_COPIES = 20
"""Copies of tiles that were left out, for a score."""


def choose_copies(lesson: Lesson, how: FitOptions, job: Job | None = None) -> CopiesChoice:
    """Choose by leaving whole specimens or images out.

    Copies are learned from where that gains on the mean of tiles as they are and turned ones: the
    next image may be either. They are also where nothing can be left out.

    Parameters
    ----------
    lesson : Lesson
        With copies.
    how : FitOptions
        With the image and specimen of each tile.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    some, plan = to_judge(lesson, how)
    if isinstance(plan, str):
        return CopiesChoice(True, f"Copies with other settings are learned from: {plan}.")
    copies = copies_in(some, ALONE)
    if copies is None or len(copies.of) < MIN_COPIES:
        return CopiesChoice(True, "Copies with other settings are learned from: too few to judge.")
    with_them = _left_out(some, plan, replace(how, copies=copies), copies, job)
    without = _left_out(some, plan, replace(how, copies=None), copies, job)
    gain, turned = (after - before for after, before in zip(with_them, without, strict=True))
    used = gain + turned > 0
    verb = "are" if used else "are not"
    reason = (
        f"Copies with other settings {verb} learned from: macro-F1 {gain:+.2f} on tiles as they "
        f"are and {turned:+.2f} on turned ones, {plan.how}."
    )
    return CopiesChoice(used, reason, gain, turned)


def _left_out(
    lesson: Lesson, plan: Folds, how: FitOptions, copies: Copies, job: Job | None
) -> tuple[float, float]:
    """Macro-F1 of the tiles that were left out, as they are and turned."""
    silent = (job or Job()).telling(lambda _: None)
    how = replace(how, folds=plan, strength=None)
    tried = try_folds(lesson.features, lesson.labels, lesson.class_names, how, silent)
    held, n_classes = tried.held, len(lesson.classes)
    assert held is not None
    said = held.logits[held.scored].argmax(axis=1)
    plain = score(lesson.labels[held.scored], said, n_classes).macro_f1
    truth: list[NDArray[np.int64]] = []
    found: list[NDArray[np.int64]] = []
    for fold, solution in zip(plan.folds, held.solutions, strict=True):
        mine = np.isin(copies.of, fold.test)
        if mine.any():
            head = tried.basis.to_head(solution)
            found.append(head.logits(copies.features[mine]).argmax(axis=1))
            truth.append(lesson.labels[copies.of[mine]])
    turned = score(np.concatenate(truth), np.concatenate(found), n_classes).macro_f1
    return plain, turned
