"""Saving the model, and annotations to and from files."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_sem_classify.core.annotate.annotation_file import (
    OWN,
    SUFFIXES,
    export_annotations,
    load_annotations,
)
from napari_sem_classify.core.annotate.keeper import file_text
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.app.session import Session
from napari_sem_classify.plugin.app.text import as_it_is, count_text
from napari_sem_classify.plugin.forms.layout import (
    Form,
    Note,
    button,
    enlarge,
    pop_below,
    side_by_side,
)
from napari_sem_classify.plugin.forms.model_file import (
    ask_model_path,
    free_model_path,
    tell_saved,
)
from napari_sem_classify.plugin.teach.saving import Saved, save_task
from napari_sem_classify.plugin.teach.source_form import SourceForm
from napari_sem_classify.plugin.teach.teacher import Teacher

NOT_HERE = "{path} holds no annotation of {image}: choose the file of this image."


class KeepForm:
    """Buttons that write and read files, and where the annotations are kept."""

    def __init__(
        self, teacher: Teacher, source: SourceForm, session: Session, form: Form, owner: QWidget
    ) -> None:
        self._teacher, self._session = teacher, session
        self._source = source
        self._owner = owner
        self._saving = JobSlot(owner)
        self.save = button("Save model…", "Save what was taught; it then appears in Classify")
        self.annotations = button(
            "Annotations ▾", "Write the annotated tiles for other programs, or read a file of them"
        )
        self.menu = QMenu(owner)
        self._exports = [self.menu.addAction(f"Export as {kind}…") for kind in SUFFIXES]
        for action, kind in zip(self._exports, SUFFIXES, strict=True):
            action.triggered.connect(lambda _=False, k=kind: self._choose_export(k))
        self.menu.addSeparator()
        self.menu.addAction("Open annotations file…").triggered.connect(self._choose_annotations)
        self.message = Note("Result of saving")
        self.kept = Note("Where the annotations are kept")
        form.wide(self.message, self.kept, side_by_side(self.save, self.annotations))
        enlarge(self.save)
        self.save.changed.connect(self._choose_model_file)
        self.annotations.changed.connect(lambda: pop_below(self.menu, self.annotations.native))

    @property
    def saving(self) -> bool:
        """Whether a model is being written."""
        return self._saving.running

    def refresh(self) -> None:
        """Bring buttons and notes up to date."""
        teacher = self._teacher
        learner = teacher.learner
        self.save.enabled = learner.teachable and bool(learner.annotated) and not self.saving
        self.annotations.enabled = teacher.key is not None
        some = any(teacher.book.annotations.counts().values())
        for action in self._exports:
            action.setEnabled(some)
        keeper = teacher.memory.keeper
        problem = keeper.problem or teacher.kept_problem
        if problem:
            self.kept.fail(problem)
        elif teacher.here is not None and teacher.here.marks:
            name = teacher.fingerprint or ""
            place = file_text(keeper.places, name)
            self.kept.say(f"Annotations are saved in {place}. {keeper.note}".rstrip(". "))
            self.kept.setToolTip(as_it_is(keeper.places.get(name, "")))
        else:
            self.kept.say("")

    # ------------------------------------------------------------------ model

    def _choose_model_file(self) -> None:
        teacher = self._teacher
        name = "model" if teacher.image is None else stem_of(teacher.image.name)
        if teacher.learner.start is not None:
            name = f"{teacher.learner.start.entry.name} + {name}"
        path = ask_model_path(self._owner, free_model_path(name))
        if path is not None:
            self.save_model(path, confirmed=True)

    def save_model(self, path: Path, *, confirmed: bool = False) -> None:
        """Save what was taught; Classify offers the models of the user's folder.

        `confirmed` is as `save_model` of core has it.
        """
        if self.saving:
            return
        try:
            teacher = self._teacher
            share = self._source.min_share
            task = save_task(teacher.learner, teacher.memory, path, share, confirmed)
        except SemClassifyError as error:
            self.message.fail(str(error))
            return

        def done(saved: Saved) -> None:
            said = tell_saved(self._session, saved.path)
            self.message.say(f"{said} {_further_text(saved)}".rstrip())
            self.message.setToolTip(as_it_is(saved.path))

        self.message.say("saving…")
        self._saving.start(
            task,
            doing="saving the model",
            on_end=self.refresh,
            on_done=done,
            on_failed=self.message.fail,
        )
        self.refresh()

    # ------------------------------------------------------------------ annotations

    def _choose_export(self, kind: str) -> None:
        suffix = SUFFIXES[kind]
        image = self._teacher.image
        name = ("annotations" if image is None else stem_of(image.name)) + suffix
        path, _ = QFileDialog.getSaveFileName(
            self._owner, "Export annotations", str(self._folder() / name), f"{kind} (*{suffix})"
        )
        if path:
            self.export_annotations(Path(path), kind, confirmed=True)

    def export_annotations(self, path: Path, kind: str, *, confirmed: bool = False) -> None:
        """Write the annotations for another program; `confirmed` as in core."""
        teacher = self._teacher
        if teacher.key is None:
            return
        try:
            written = export_annotations(
                path, kind, teacher.annotations, teacher.key, confirmed=confirmed
            )
        except SemClassifyError as error:
            self.message.fail(str(error))
            return
        self.message.say(f"Annotations written to {written.name}.")

    def _choose_annotations(self) -> None:
        suffix = SUFFIXES[OWN]
        path, _ = QFileDialog.getOpenFileName(
            self._owner, "Open annotations", str(self._folder()), f"{OWN} (*{suffix})"
        )
        if path:
            self.read_annotations(Path(path))

    def read_annotations(self, path: Path) -> None:
        """Add the annotations of this image that a file holds; those that are there stay."""
        teacher = self._teacher
        if teacher.fingerprint is None or teacher.image is None:
            return
        try:
            found = load_annotations(path)
        except SemClassifyError as error:
            self.message.fail(str(error))
            return
        if teacher.book.add_from(teacher.image, teacher.fingerprint, found):
            self.message.say(f"Annotations read from {path.name}.")
        else:
            self.message.fail(NOT_HERE.format(path=path, image=teacher.image.name))

    def _folder(self) -> Path:
        image = self._teacher.image
        return Path.home() if image is None or image.path is None else image.path.parent


def _further_text(saved: Saved) -> str:
    """What teaching further did on the new tiles."""
    found = saved.further
    if found is None:
        return ""
    new = sum(found.tiles.values())
    before = f"Of {count_text(new)} new {'tile' if new == 1 else 'tiles'} right: before "
    if found.after is None:
        return f"{before}{100 * found.before:.0f} %; too few to tell how many after."
    after = f"after {100 * found.after:.0f} % (left out in turn)"
    return f"{before}{100 * found.before:.0f} %, {after}."
