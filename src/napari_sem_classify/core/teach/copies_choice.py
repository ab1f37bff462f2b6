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
from napari_sem_classify.core.teach.recipes import drawn_macro_f1
from napari_sem_classify.core.teach.turned import Copies, CopiesChoice

MIN_COPIES = 20
"""Copies of tiles that were left out, for a score."""


def choose_copies(lesson: Lesson, how: FitOptions, job: Job | None = None) -> CopiesChoice:
    """Choose by leaving whole specimens or images out.

    Copies are learned from unless tiles that were left out, as they are and turned, lose by it more
    than one standard error: the next image may be turned in ways that none of these is. They also
    are where nothing can be left out.

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
    some, plan = to_judge(lesson, how, None if lesson.copies is None else lesson.copies.of)
    if isinstance(plan, str):
        return CopiesChoice(True, f"Copies with other settings are learned from: {plan}.")
    copies = copies_in(some, ALONE)
    if copies is None or len(copies.of) < MIN_COPIES:
        return CopiesChoice(True, "Copies with other settings are learned from: too few to judge.")
    with_them = _left_out(some, plan, replace(how, copies=copies), copies, job)
    without = _left_out(some, plan, replace(how, copies=None), copies, job)
    told = np.flatnonzero(with_them >= 0)
    rows = np.append(np.arange(len(some.labels)), copies.of)[told]
    turned = told >= len(some.labels)
    truth, said = some.labels[rows], (with_them[told], without[told])

    def gain(mine: NDArray[np.bool_]) -> float:
        found = [score(truth[mine], each[mine], len(some.classes)).macro_f1 for each in said]
        return found[0] - found[1]

    drawn = drawn_macro_f1(said, truth, plan.blocks[rows], len(some.classes))
    used = gain(turned | ~turned) >= -float(np.std(drawn[0] - drawn[1]))
    plain, other = gain(~turned), gain(turned)
    verb = "are" if used else "are not"
    reason = (
        f"Copies with other settings {verb} learned from: macro-F1 {plain:+.2f} on tiles as they "
        f"are and {other:+.2f} on turned ones, {plan.how}."
    )
    return CopiesChoice(used, reason, plain, other)


def _left_out(
    lesson: Lesson, plan: Folds, how: FitOptions, copies: Copies, job: Job | None
) -> NDArray[np.int64]:
    """Class that heads gave the tiles that they had not learned from, then the copies of these.

    -1 for those that no fold leaves out.
    """
    silent = (job or Job()).telling(lambda _: None)
    how = replace(how, folds=plan, strength=None)
    tried = try_folds(lesson.features, lesson.labels, lesson.class_names, how, silent)
    held, n_tiles = tried.held, len(lesson.labels)
    assert held is not None
    said = np.full(n_tiles + len(copies.of), -1, dtype=np.int64)
    said[held.scored] = held.logits[held.scored].argmax(axis=1)
    for fold, solution in zip(plan.folds, held.solutions, strict=True):
        mine = np.flatnonzero(np.isin(copies.of, fold.test))
        if len(mine):
            head = tried.basis.to_head(solution)
            said[n_tiles + mine] = head.logits(copies.features[mine]).argmax(axis=1)
    return said
