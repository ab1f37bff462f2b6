"""Whether the model holds on the chosen image: before a run by some tiles, after it by all."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.model.transfer import Judgement
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.session import ReadyModel
from napari_sem_classify.plugin.forms.judgement_note import JudgementNote
from napari_sem_classify.plugin.forms.layout import Form

LOOKING = "Looking whether the model holds on this image…"


class JudgeForm:
    """A sentence; what was found stays for as long as the question is the same."""

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._judging = JobSlot(owner)
        self._question: Hashable = None
        self.judgement: Judgement | None = None
        self.note = JudgementNote()
        form.wide(self.note)

    def ask(
        self, question: Hashable, tiles: PlaneTiles, ready: ReadyModel | None, dense: bool
    ) -> None:
        """Judge some tiles in the background, once the model is ready on its device.

        `question` is what the judgement depends on.
        """
        if question != self._question:
            self.forget()
            self._question = question
        if self.judgement is not None or self._judging.running or ready is None:
            return
        self.note.say(LOOKING)
        self._judging.start(
            _task(tiles, ready, dense),
            doing="judging the model on the image",
            on_done=self._show,
            on_failed=lambda _sentence: self._show(None),  # the run will tell what is wrong
        )

    def show(self, question: Hashable, judgement: Judgement) -> None:
        """Show what a run found."""
        self._judging.abandon()
        self._question = question
        self._show(judgement)

    def forget(self) -> None:
        """Let go of work under way and of what was found."""
        self._judging.abandon()
        self._question = None
        self._show(None)

    def _show(self, judgement: Judgement | None) -> None:
        self.judgement = judgement
        self.note.tell(judgement)


def _task(tiles: PlaneTiles, ready: ReadyModel, dense: bool) -> Callable[[JobContext], Judgement]:
    def task(context: JobContext) -> Judgement:
        from napari_sem_classify.core.classify.judgement import judge_sample

        return judge_sample(tiles, ready.classifier, ready.engine, context, dense=dense)

    return task
