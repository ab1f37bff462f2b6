"""What a batch has finished, noted in its output folder so that a later run can take up there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from napari_sem_classify.core.common.digest import digest_of
from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.common.files import append_line, read_lines
from napari_sem_classify.core.export.kinds import USUAL
from napari_sem_classify.core.image.file_names import free_stem, take_stem
from napari_sem_classify.core.image.image_key import file_state, image_key
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier

STATE_NAME = "classified.jsonl"
"""A line for each finished image; of several lines of an image the last one counts."""

EARLIER_NAME = "classified.json"
"""One object with all images, as earlier versions wrote it: read, never written."""

Item = Path | SemImage
"""An image of a batch: a file, or one that is open already, with the user's corrections."""

ItemT = TypeVar("ItemT", Path, SemImage, Item)
_VERSION = 2  # of what is noted of an image; notes of another version count as none
_KEYS = {"stem", "files", "planes", "note", "scale_warning", "settings", "state"}


def settings_digest(classifier: TileClassifier, wish: Mapping[str, Any]) -> str:
    """Name the model and the user's choices: results of another digest are not taken over."""
    from napari_sem_classify.core.model.engines import network_of

    # How a model was scored and where it comes from changes no map.
    card = replace(classifier.card, scores={}, record={})
    return digest_of(_VERSION, head_sha256(classifier.head), network_of(classifier), card, wish)


def sweep_notes(out: Path) -> None:
    """Delete what an earlier version that was killed left half-written of its note."""
    for path in out.glob(f".{Path(EARLIER_NAME).stem}-????????.json"):
        path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class BatchTarget:
    """Where the files of a batch go, and which.

    Attributes
    ----------
    folder : Path
        Made when it is not there.
    kinds : names in `kinds.EACH`
        Files to write of each image, besides `kinds.ALWAYS`.
    resume : bool
        False to do images again that an earlier run finished there.
    """

    folder: Path
    kinds: Sequence[str] = USUAL
    resume: bool = True


@dataclass(slots=True)
class BatchState:
    """The note in an output folder: per image, by its full path, what was written for it.

    `settings` is the `settings_digest` of the run that is under way.
    """

    folder: Path
    settings: str
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, settings: str) -> BatchState:
        """Read the folder's note; what is missing or unreadable in it counts as not there."""
        noted = _noted_earlier(folder / EARLIER_NAME)
        for line in read_lines(folder / STATE_NAME):
            if isinstance(line, dict):
                noted.append((line.get("image"), line.get("written")))
        images = {path: entry for path, entry in noted if _is_whole(path, entry)}
        # A plane of a stack and an image once had files of one name: one of the two is done again.
        writer = {name: path for path, entry in images.items() for name in entry["files"]}
        images = {
            path: entry
            for path, entry in images.items()
            if all(writer[name] == path for name in entry["files"])
        }
        return cls(folder, settings, images)

    def with_stems(self, items: Sequence[ItemT]) -> Iterator[tuple[ItemT, str]]:
        """Pair each image with a start for its files' names that no other image has.

        An image keeps the one it had; one whose own stem is taken gets a number.
        """
        taken: set[str] = set()
        for entry in self.images.values():
            take_stem(entry["stem"], taken)
        for item in items:
            known = self.images.get(_name(item))
            name = item if isinstance(item, Path) else item.name
            yield item, free_stem(name, taken) if known is None else known["stem"]

    def finished(self, item: Item) -> dict[str, Any] | None:
        """What was written for an image, if it is all there and still right."""
        entry = self.images.get(_name(item))
        if entry is None or entry["settings"] != self.settings:
            return None
        if not entry["state"] or entry["state"] != item_state(item):
            return None
        there = all((self.folder / name).exists() for name in entry["files"])
        return entry if there and entry["files"] else None

    def note(self, item: Item, written: Mapping[str, Any]) -> None:
        """Note what was written for an image.

        Raises
        ------
        OutputError
            When the folder cannot be written.
        """
        entry = {**written, "settings": self.settings, "state": item_state(item)}
        name = _name(item)
        append_line(self.folder / STATE_NAME, {"image": name, "written": entry})
        self.images[name] = entry


def _noted_earlier(path: Path) -> list[tuple[Any, Any]]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["images"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _is_whole(path: Any, entry: Any) -> bool:
    return isinstance(path, str) and isinstance(entry, dict) and entry.keys() >= _KEYS


def item_path(item: Item) -> Path:
    """The file of an image, or its name where it has none."""
    return item if isinstance(item, Path) else item.path or Path(item.name)


def _name(item: Item) -> str:
    if isinstance(item, Path):
        return str(item.resolve())
    return f"{item.name if item.path is None else item.path.resolve()} (open image {item.name})"


def item_state(item: Item) -> str:
    """What tells that an image changed, as a hash; empty where that cannot be told.

    Size and time of change of a file, of a folder (zarr) those of all files in it; of an open image
    what `image_key` tells of its pixels, and the user's corrections.
    """
    try:
        if isinstance(item, Path):
            state = file_state(item)
        else:
            planes = islice(item.planes(), None if item.path is None else 1)
            keys = [image_key(item, plane) for plane in planes]
            if None in keys:
                return ""
            state = f"{keys} {item.area.as_list()} {item.pixel_size_nm} {item.level}"
        return hashlib.sha256(state.encode()).hexdigest()
    except (OSError, ImageError):
        return ""
