"""What a command left in a folder."""

from __future__ import annotations

from pathlib import Path


def files_in(folder: Path) -> list[str]:
    """Everything in a folder, temporary and hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
