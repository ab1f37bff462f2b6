"""Where a model is saved: the folder in which all docks look for models, unless the user says."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sem_classify.core.model.catalogue import user_models_folder
from napari_sem_classify.core.model.file import SUFFIX
from napari_sem_classify.core.model.recent import remember_model
from napari_sem_classify.plugin.app.session import Session


def free_model_path(name: str) -> Path:
    """A file of the user's folder that is not there yet."""
    start = user_models_folder() / name
    numbered = (f"{start} {number}" for number in count(2))
    paths = (Path(f"{each}{SUFFIX}") for each in chain([str(start)], numbered))
    return next(path for path in paths if not path.exists())


def ask_model_path(owner: QWidget, start: Path) -> Path | None:
    """Ask in which file to save; the folder of models is made first, so that it opens there."""
    # An instance, since only that adds the suffix before it asks about replacing a file.
    dialog = QFileDialog(owner, "Save model", str(start), f"Models (*{SUFFIX})")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(SUFFIX.removeprefix("."))
    start.parent.mkdir(parents=True, exist_ok=True)
    dialog.setDirectory(str(start.parent))
    dialog.selectFile(start.name)
    chosen = dialog.selectedFiles() if dialog.exec() else []
    dialog.deleteLater()
    return Path(chosen[0]) if chosen else None


def tell_saved(session: Session, path: Path) -> str:
    """Let all docks know of a saved model; gives what to tell the user."""
    remember_model(path)
    session.keep_model(path)
    return f"Saved as {path.name}: it is chosen in Classify."
