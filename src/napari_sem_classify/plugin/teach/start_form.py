"""What to teach: a new model, or one of a file further; and whether it holds on the image."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.catalogue import ModelEntry
from napari_sem_classify.core.teach.further import check_further
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.forms.layout import Form
from napari_sem_classify.plugin.forms.model_form import ModelForm
from napari_sem_classify.plugin.teach.start import Start
from napari_sem_classify.plugin.teach.teacher import Teacher

NEW = "a new model"


class StartForm:
    """A row to choose from; a model that was chosen is loaded, then taught further."""

    def __init__(self, teacher: Teacher, form: Form, owner: QWidget) -> None:
        self._teacher = teacher
        self._loading = JobSlot(owner)
        self.model_form = ModelForm(form, owner, label="Start", none=NEW, check=check_further)
        self.model_form.chips.setMaximumHeight(0)  # the table of classes has them
        self.model_form.changed.connect(self._on_model)

    def choose(self, entry: ModelEntry) -> None:
        """Start from this model."""
        self.model_form.offer(entry)

    def tile_for(self, image: SemImage) -> int | None:
        """Side of the tiles that show as much of the specimen as the model saw, in px."""
        start = self._teacher.learner.start
        if start is None:
            return None
        try:
            return ClassifyOptions().grid_for(image, start.card).grid.tile
        except SemClassifyError as error:
            self.model_form.problem.fail(str(error))
            return None

    def _on_model(self) -> None:
        entry = self.model_form.entry
        self._loading.abandon()
        if entry is None:
            self._teacher.start_from(None)
            return

        def task(_context: object) -> Start:
            from napari_sem_classify.core.model.catalogue import load_model

            return Start(entry, load_model(entry.path))

        self._loading.start(
            task,
            doing="opening the model",
            on_done=self._teacher.start_from,
            on_failed=self._failed,
        )

    def _failed(self, sentence: str) -> None:
        self.model_form.choose_none()
        self.model_form.problem.fail(sentence)
