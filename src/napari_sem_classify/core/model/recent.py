"""Model files that lie elsewhere than in the user's folder, as they were opened or saved last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.checked import Malformed, is_path, read_json
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.files import ensure_folder, write_json
from napari_sem_classify.core.model.catalogue import ModelEntry, user_models_folder
from napari_sem_classify.core.model.file import read_card

MOST = 8
_NAME = "recent-models.json"


def recent_models() -> list[ModelEntry]:
    """Those that are still there and can be used, the newest first."""
    found = []
    for path in _paths():
        try:
            found.append(ModelEntry(path.stem, path, read_card(path), "user"))
        except SemClassifyError:
            continue
    return found


def remember_model(path: Path) -> None:
    """Keep a file in mind; one in the user's folder is listed anyway. Nothing fails of it."""
    path = path.resolve()
    if path.parent == user_models_folder().resolve():
        return
    kept = [path, *(each for each in _paths() if each != path)][:MOST]
    try:
        ensure_folder(_file().parent)
        write_json(_file(), [str(each) for each in kept])
    except SemClassifyError:
        return


def _file() -> Path:
    return user_models_folder().parent / _NAME


def _paths() -> list[Path]:
    try:
        told: Any = read_json(_file())
    except (Malformed, SemClassifyError, OSError):
        return []
    rows = told if isinstance(told, list) else []
    return [Path(row) for row in rows if isinstance(row, str) and is_path(row)][:MOST]
