"""What a batch has finished, noted in its output folder so that a later run can take up there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_sem_classify.core.files import write_json
from napari_sem_classify.core.image_key import file_state
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier

STATE_NAME = "classified.json"
_KEYS = ("stem", "files", "planes", "note", "scale_warning", "settings", "state")


def settings_digest(classifier: TileClassifier, wish: Mapping[str, Any]) -> str:
    """Name the model and the user's choices: results of another digest are not taken over."""
    from napari_sem_classify.core.embedding_cache import network_of

    card = classifier.card
    parts = [
        head_sha256(classifier.head),
        network_of(classifier),
        card.class_names,
        card.tile_px,
        card.pixel_size_nm,
        card.temperature,
        [card.intensity.low_percentile, card.intensity.high_percentile],
        dict(wish),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class BatchState:
    """The note in an output folder.

    Attributes
    ----------
    folder : Path
    settings : str
        From `settings_digest`, of the run that is under way.
    images : dict
        Per image, by its full path, what was written for it.
    """

    folder: Path
    settings: str
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, settings: str) -> BatchState:
        """Read the folder's note; a missing or unreadable one is an empty one."""
        try:
            content = json.loads((folder / STATE_NAME).read_text(encoding="utf-8"))
            images = {
                path: entry
                for path, entry in content["images"].items()
                if all(key in entry for key in _KEYS)
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            images = {}
        return cls(folder, settings, images)

    def with_stems(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Pair each image with a start for its files' names that no other image has.

        An image keeps the one it had; one whose own stem is taken gets a number.
        """
        taken = {entry["stem"].lower() for entry in self.images.values()}
        for path in paths:
            entry = self.images.get(_name(path))
            if entry is not None:
                yield path, entry["stem"]
                continue
            stem, number = path.stem, 1
            while stem.lower() in taken:  # some file systems take A and a for the same
                number += 1
                stem = f"{path.stem}-{number}"
            taken.add(stem.lower())
            yield path, stem

    def finished(self, path: Path) -> dict[str, Any] | None:
        """What was written for an image, if it is all there and still right."""
        entry = self.images.get(_name(path))
        if entry is None or entry["settings"] != self.settings or entry["state"] != _state(path):
            return None
        there = all((self.folder / name).exists() for name in entry["files"])
        return entry if there and entry["files"] else None

    def note(self, path: Path, written: Mapping[str, Any]) -> None:
        """Note what was written for an image.

        Raises
        ------
        OutputError
            When the folder cannot be written.
        """
        entry = {**written, "settings": self.settings, "state": _state(path)}
        self.images[_name(path)] = entry
        write_json(self.folder / STATE_NAME, {"images": self.images})


def _name(path: Path) -> str:
    return str(path.resolve())


def _state(path: Path) -> str:
    """Size and time of change of a file, of a folder (zarr) those of all files in it, as a hash."""
    try:
        return hashlib.sha256(file_state(path).encode()).hexdigest()
    except OSError:
        return ""
