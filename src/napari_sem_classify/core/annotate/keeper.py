"""Annotations on disk: read when the image is opened, written after each stroke.

Each image has a file of its own, beside it or, where that folder cannot be written or the image
came from no file, in the user's data folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_sem_classify.core.annotate.annotation_file import (
    SUFFIX,
    beside,
    load_annotations,
    save_annotations,
)
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.common.errors import AnnotationError, SemClassifyError
from napari_sem_classify.core.image.sem_image import SemImage


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found of the annotations of an image, whose fingerprint is `key`.

    They are written to `path` from here on; `problem` is a sentence where a file could not be read:
    it is then left as it is.
    """

    key: str
    annotations: Annotations | None
    path: Path
    problem: str = ""


def find_kept(image: SemImage) -> Kept:
    """Look for the annotations of an image; raises `ImageError` when it cannot be read."""
    key = fingerprint(image)
    own = user_folder() / f"{key[:24]}{SUFFIX}"
    near = None if image.path is None or image.path.is_dir() else beside(image.path)
    found: list[tuple[float, Annotations]] = []
    problem, damaged = "", set()
    for path in (near, own):
        if path is None or not path.is_file():
            continue
        try:
            found.append((path.stat().st_mtime, load_annotations(path)))
        except AnnotationError as error:
            problem = str(error)
            damaged.add(path)
    place = own
    if near is not None and near not in damaged and _writable(near):
        place = near
    elif own in damaged:
        place = _free(own)
    # The one written last wins; what is in the other file only is not lost: it stays on disk.
    latest = max(found, key=lambda item: item[0])[1] if found else None
    return Kept(key, latest, place, problem)


def user_folder() -> Path:
    """Give the folder of annotations that cannot lie beside their image."""
    from platformdirs import user_data_path

    return Path(user_data_path("napari-sem-classify", appauthor=False)) / "annotations"


class Keeper:
    """Writes annotations in a thread of its own, the newest state only, and never an older one.

    `problem` tells why the last write failed; it is "" where it did not.
    """

    def __init__(self) -> None:
        self.places: dict[str, Path] = {}
        self.problem = ""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[str, Annotations] = {}
        self._written: dict[str, Annotations] = {}
        self._others: dict[str, Annotations] = {}
        self._thread: threading.Thread | None = None

    def opened(self, kept: Kept) -> None:
        """Remember where an image's annotations go, and what was in the file already."""
        self.places.setdefault(kept.key, kept.path)
        if kept.annotations is not None:
            self._others.setdefault(kept.key, kept.annotations)

    def save(self, annotations: Annotations) -> None:
        """Write what changed, soon."""
        with self._lock:
            for key in dict.fromkeys(image.fingerprint for image in annotations.images):
                # All planes of a stack go into one file.
                planes = tuple(each for each in annotations.images if each.fingerprint == key)
                mine = replace(annotations, images=planes)
                if key not in self.places or mine == self._written.get(key):
                    continue
                some = any(each.marks for each in planes)
                if not some and key not in self._written and key not in self._others:
                    continue  # nothing was annotated yet: no file
                self._waiting[key] = mine
            if self._waiting and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self.flush, name="sem-classify: saving")
                self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._waiting) or self._writing.locked()

    def flush(self) -> None:
        """Write all that waits, now."""
        with self._writing:
            while True:
                with self._lock:
                    if not self._waiting:
                        self._thread = None
                        return
                    key, mine = self._waiting.popitem()
                try:
                    self._write(key, mine)
                except SemClassifyError as error:
                    self.problem = str(error)

    def _write(self, key: str, mine: Annotations) -> None:
        whole = self._with_others(key, mine)
        path = self.places[key]
        self.problem = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_annotations(path, whole)
        except (SemClassifyError, OSError):
            own = user_folder() / f"{key[:24]}{SUFFIX}"
            if path == own:
                raise
            # A stick that was pulled out, a folder that became read-only.
            own.parent.mkdir(parents=True, exist_ok=True)
            save_annotations(own, whole)
            self.places[key] = own
        self._written[key] = mine

    def _with_others(self, key: str, mine: Annotations) -> Annotations:
        """Images that share the file, as two of one stem do, stay in it."""
        before = self._others.get(key)
        if before is None:
            return mine
        path = mine.images[0].path
        rest = tuple(
            each
            for each in before.images
            if each.fingerprint != key and not (each.path is not None and each.path == path)
        )
        classes, rules = mine.classes, mine.rules
        if rest:
            names = {info.name for info in classes}
            used = {mark.class_name for each in rest for mark in each.marks.values()}
            more = (i for i in before.classes if i.name in used and i.name not in names)
            classes = (*classes, *more)
            shared = {name: share for name, share in before.rules.items() if name in used - names}
            rules = {**shared, **rules}
        return Annotations(classes, (*mine.images, *rest), rules, mine.looking or before.looking)


def file_text(places: Mapping[str, Path], key: str) -> str:
    """Where annotations are kept, for the user: the file beside the image, else the folder."""
    path = places.get(key)
    if path is None:
        return ""
    return f"the folder {path.parent}" if path.parent == user_folder() else path.name


def _writable(path: Path) -> bool:
    if path.exists() and not os.access(path, os.W_OK):
        return False
    return path.parent.is_dir() and os.access(path.parent, os.W_OK)


def _free(path: Path) -> Path:
    stem = path.name.removesuffix(SUFFIX)
    number = 2
    while (other := path.with_name(f"{stem}-{number}{SUFFIX}")).exists():
        number += 1
    return other
