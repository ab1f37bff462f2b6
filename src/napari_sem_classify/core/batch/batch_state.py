"""What a batch has finished, by its folder's record, so that a later run can take up there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from napari_sem_classify.core.batch.batch_outcome import ImageOutcome, as_json, is_noted
from napari_sem_classify.core.common.digest import digest_of
from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.common.folder_record import FolderRecord, Written
from napari_sem_classify.core.common.output_folder import OutputFolder
from napari_sem_classify.core.export.kinds import USUAL
from napari_sem_classify.core.image.file_names import free_stem, is_free, take_stem
from napari_sem_classify.core.image.image_key import file_state, image_key
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import TileClassifier

Item = Path | SemImage
"""An image of a batch: a file, or one that is open already, with the user's corrections."""


@dataclass(frozen=True, slots=True)
class CorrectedFile(SemImage):
    """A file of a batch whose scale or area was corrected: its results are those of the file."""

    @classmethod
    def of(cls, image: SemImage) -> CorrectedFile:
        """The image as a file's own, which it must have."""
        if image.path is None:
            raise ValueError(f"{image.name} is no file")
        return cls(**{each.name: getattr(image, each.name) for each in fields(image)})


ItemT = TypeVar("ItemT", Path, SemImage, Item)
_VERSION = 3  # of what is noted of an image; notes of another version count as none


def settings_digest(classifier: TileClassifier, wish: Mapping[str, Any]) -> str:
    """Name the model and the user's choices: results of another digest are not taken over."""
    from napari_sem_classify.core.model.engines import network_of

    # How a model was scored and where it comes from changes no map.
    card = replace(classifier.card, scores={}, record={})
    return digest_of(_VERSION, head_sha256(classifier.head), network_of(classifier), card, wish)


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


class BatchState:
    """What a folder's record tells of a batch: per image, by its full path, what was written.

    `settings` is the `settings_digest` of the run that is under way. An image is noted with its
    files, in one line; it is finished where these files are there as they were written.
    """

    def __init__(self, record: FolderRecord, settings: str) -> None:
        self._record, self._settings = record, settings
        self.images: dict[str, Written] = {}
        for written in record.written:
            if is_noted(written.about):
                self.images[written.about["image"]] = written
        self.taken: set[str] = set()
        for written in self.images.values():
            take_stem(written.asked, self.taken)
            take_stem(written.stem, self.taken)

    def with_stems(self, items: Sequence[ItemT]) -> Iterator[tuple[ItemT, str]]:
        """Pair each image with a start for its files' names that no other image has.

        An image keeps the one it had; one whose own stem is taken gets a number.
        """
        for item in items:
            written = self.images.get(_name(item))
            name = item_path(item) if isinstance(item, (Path, CorrectedFile)) else item.name
            yield item, free_stem(name, self.taken) if written is None else written.asked

    def finished(self, item: Item) -> Written | None:
        """What was written for an image, if it is all there, whole, and still right."""
        written = self.images.get(_name(item))
        if written is None or written.about["settings"] != self._settings:
            return None
        state = written.about["state"]
        if not state or state != item_state(item):
            return None
        return written if self._record.is_whole(written) else None

    def put(
        self,
        folder: OutputFolder,
        staging: Path,
        item: Item,
        stem: str,
        outcome: ImageOutcome,
    ) -> ImageOutcome:
        """Move an image's files from `staging` into their place, and note them with the outcome.

        Raises
        ------
        OutputError
            When the folder cannot be written.
        """
        note = {"image": _name(item), "settings": self._settings, "state": item_state(item)}
        said = len(folder.told)
        before = self.images.get(_name(item))
        own = stem if before is None else before.stem

        def free(other: str) -> bool:
            return other == own or is_free(other, self.taken)

        folder.put(staging, stem, is_free=free, about=note | as_json(outcome))
        written = folder.record.written[-1]
        self.images[_name(item)] = written
        take_stem(written.stem, self.taken)
        files = tuple(folder.path / name for name in written.files)
        renamed = " ".join(folder.told[said:])
        return replace(outcome, stem=written.stem, files=files, renamed=renamed)


def item_path(item: Item) -> Path:
    """The file of an image, or its name where it has none."""
    return item if isinstance(item, Path) else item.path or Path(item.name)


def _name(item: Item) -> str:
    if isinstance(item, (Path, CorrectedFile)):
        return str(item_path(item).resolve())
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
