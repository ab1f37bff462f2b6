"""What a command left in a folder."""

from __future__ import annotations

from pathlib import Path

from napari_sem_classify.core.common.folder_record import RECORD_NAME


def files_in(folder: Path) -> list[str]:
    """Everything in a folder but its record, temporary and hidden files too."""
    paths = (path for path in folder.rglob("*") if path.name != RECORD_NAME)
    return sorted(str(path.relative_to(folder)) for path in paths)
