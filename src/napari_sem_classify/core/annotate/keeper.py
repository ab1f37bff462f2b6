"""Annotations on disk: read when the image is opened, written after each stroke.

Each image has a file of its own, beside it or, where that folder cannot be written or the image
came from no file, in the user's data folder.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_sem_classify.core.annotate.annotation_file import (
    SUFFIX,
    beside,
    load_revision,
    save_annotations,
)
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.merge import (
    Spot,
    changed_onto,
    differences,
    same_content,
    spots,
    with_unknown,
)
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.common.errors import AnnotationError, BusyError, SemClassifyError
from napari_sem_classify.core.common.folder_lock import file_lock
from napari_sem_classify.core.common.log import log_unexpected
from napari_sem_classify.core.image.sem_image import SemImage

RETRY_S = 15.0
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found of the annotations of an image, whose fingerprint is `key`.

    They are written to `path` from here on; `source` is the file they were read from, at its
    `revision`. `problem` is a sentence where a file could not be read: it is then left as it is.
    """

    key: str
    annotations: Annotations | None
    path: Path
    problem: str = ""
    source: Path | None = None
    revision: int | None = None


def find_kept(image: SemImage) -> Kept:
    """Look for the annotations of an image; raises `ImageError` when it cannot be read."""
    key = fingerprint(image)
    own = user_folder() / f"{key[:24]}{SUFFIX}"
    near = None if image.path is None or image.path.is_dir() else beside(image.path)
    found: list[tuple[float, Path, Annotations, int | None]] = []
    problem, damaged = "", set()
    more = sorted(own.parent.glob(f"{key[:24]}-*{SUFFIX}"))  # made where `own` was damaged
    for path in (near, own, *more):
        if path is None or not path.is_file():
            continue
        try:
            found.append((path.stat().st_mtime, path, *load_revision(path)))
        except AnnotationError as error:
            problem = str(error)
            damaged.add(path)
    place = own
    if near is not None and near not in damaged and _writable(near):
        place = near
    elif own in damaged:
        place = next((path for path in more if path not in damaged), _free_place(own))
    # The one written last wins; what is in the other file only is not lost: it stays on disk.
    if not found:
        return Kept(key, None, place, problem)
    _, source, latest, revision = max(found, key=lambda item: item[0])
    return Kept(key, latest, place, problem, source, revision)


def user_folder() -> Path:
    """Give the folder of annotations that cannot lie beside their image."""
    from platformdirs import user_data_path

    return Path(user_data_path("napari-sem-classify", appauthor=False)) / "annotations"


class Keeper:
    """Writes annotations in a thread of its own, the newest state only, and never an older one.

    What another window or program changed in a file meanwhile stays in it, and waits for
    `take_news`. What could not be written stays in memory and is tried again, with the next stroke
    and every `RETRY_S` seconds.

    Attributes
    ----------
    places : {fingerprint: Path}
        Where the annotations of an image are written.
    problem : str
        Why the last write failed; "" where it did not.
    note : str
        What was found in a file that somebody else wrote; "" where nothing was.
    """

    def __init__(self) -> None:
        self.places: dict[str, Path] = {}
        self.problem = self.note = ""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[str, Annotations] = {}
        self._written: dict[str, Annotations] = {}
        self._files: dict[Path, _File] = {}
        self._known: set[Spot] = set()
        self._news: dict[str, tuple[Annotations, Annotations]] = {}
        self._thread: threading.Thread | None = None
        self._again: threading.Timer | None = None

    def opened(self, kept: Kept) -> None:
        """Remember where an image's annotations go, and what was in the file already."""
        self.places.setdefault(kept.key, kept.path)
        if kept.annotations is not None and kept.source == kept.path:
            with self._lock:
                self._files.setdefault(kept.path, _File(kept.annotations, kept.revision))
                self._written.setdefault(kept.key, kept.annotations)
                self._known.update(spots(kept.annotations))

    def save(self, annotations: Annotations) -> None:
        """Write what changed, soon."""
        with self._lock:
            for key in dict.fromkeys(image.fingerprint for image in annotations.images):
                # All planes of a stack go into one file.
                planes = tuple(each for each in annotations.images if each.fingerprint == key)
                mine = replace(annotations, images=planes)
                if key not in self.places:
                    continue
                if mine == self._waiting.get(key, self._written.get(key)):
                    continue
                if not any(each.marks for each in planes) and key not in self._written:
                    continue  # nothing was annotated yet: no file
                self._waiting[key] = mine
        self._start()

    @property
    def busy(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._waiting) or self._writing.locked()

    def take_news(self) -> list[tuple[Annotations, Annotations]]:
        """What others changed in the files, as what was written here last and what became of it.

        Whoever takes it makes the same changes to what he has, see `History.follow`.
        """
        with self._lock:
            if self.busy:
                return []
            news, self._news = self._news, {}
            for key, (before, after) in news.items():
                self._written[key] = changed_onto(self._written[key], before, after)
            return list(news.values())

    def flush(self) -> None:
        """Write all that waits, now; what cannot be written waits on."""
        failed: dict[str, Annotations] = {}
        with self._writing:
            while True:
                with self._lock:
                    if not self._waiting:
                        self._waiting = failed
                        self._thread = None
                        break
                    key, mine = self._waiting.popitem()
                    failed.pop(key, None)
                try:
                    self._write(key, mine)
                except SemClassifyError as error:
                    problem = str(error)
                except Exception as error:  # whatever it is: it must be shown, and nothing lost
                    problem = log_unexpected(error, "saving the annotations")
                else:
                    self.problem = "" if not failed else self.problem
                    continue
                failed[key] = mine
                self.problem = f"Annotations are not saved yet: {problem}"
        if failed:
            self._later()

    def _start(self) -> None:
        with self._lock:
            if not self._waiting or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self.flush, name="sem-classify: saving")
            try:
                self._thread.start()
            except RuntimeError as error:  # no thread to be had: the next stroke tries again
                self._thread = None
                self.problem = f"Annotations are not saved yet ({error}): close other programs."

    def _later(self) -> None:
        if self._again is None or not self._again.is_alive():
            self._again = threading.Timer(RETRY_S, self._start)
            self._again.daemon = True
            self._again.start()

    # ------------------------------------------------------------------ one file

    def _write(self, key: str, mine: Annotations) -> None:
        path = self.places[key]
        own = user_folder() / f"{key[:24]}{SUFFIX}"
        try:
            self._merge_into(path, key, mine)
        except BusyError:
            raise
        except (SemClassifyError, OSError) as error:
            if path.parent == own.parent:
                if not isinstance(error, AnnotationError):
                    raise
                own = _free_place(own)  # it was damaged meanwhile: it is left as it is
            # A stick that was pulled out, a folder that became read-only, a file damaged meanwhile.
            self._merge_into(own, key, mine)
            self.places[key] = own
        self._written[key] = mine

    def _merge_into(self, path: Path, key: str, mine: Annotations) -> None:
        """Do to the file what was done here since it was last read or written."""
        if path.parent == user_folder():
            path.parent.mkdir(parents=True, exist_ok=True)
        last = self._files.get(path)
        before = self._written.get(key, Annotations())
        if last is None and (home := self._files.get(self.places[key])) is not None:
            before = Annotations()  # of another place, which is given up: all goes to the new one
            mine = changed_onto(home.whole, self._written.get(key, before), mine)
        with file_lock(path, WAIT_S):
            there = self._read(path, last)
            onto, revision = (Annotations(), None) if there is None else there
            newest = 0 if last is None or last.revision is None else last.revision
            older = last is not None and revision is not None and revision < newest
            found = onto
            if last is not None and (there is None or older):
                onto = with_unknown(last.whole, found, self._known)
            whole = changed_onto(onto, before, mine)
            if there is None or older or not same_content(whole, found):
                revision = max(newest, revision or 0) + 1
                save_annotations(path, whole, revision)
            digest = _digest(path)
        with self._lock:
            self._files[path] = _File(whole, revision, digest)
            self._known.update(spots(whole), spots(mine))
            known = Annotations() if last is None else last.whole
            if there is not None and not same_content(onto, known):
                self._tell(key, mine, whole, differences(known, onto))
            elif older:
                self.note = f"{path.name} was replaced by an older copy, and is up to date again."

    def _read(self, path: Path, last: _File | None) -> tuple[Annotations, int | None] | None:
        """What the file says and its revision; None where there is none."""
        if not path.exists():
            return None
        if last is not None and last.digest == _digest(path):
            return last.whole, last.revision  # after each stroke, and there may be many tiles
        return load_revision(path)

    def _tell(self, key: str, mine: Annotations, whole: Annotations, changed: set[Spot]) -> None:
        planes = tuple(each for each in whole.images if each.fingerprint == key)
        now = replace(whole, images=planes)
        self._news[key] = (mine, now)
        both = len(changed & differences(mine, self._written.get(key, Annotations())))
        tiles = "1 tile" if len(changed) == 1 else f"{len(changed)} tiles"
        self.note = f"Another window or program changed {tiles} of the same file, taken in here."
        if both:
            self.note += f" Both changed {both} of them: what was said here, later, counts."


@dataclass(frozen=True, slots=True)
class _File:
    """What a file held when it was last read or written."""

    whole: Annotations
    revision: int | None
    digest: bytes = b""


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def file_text(places: Mapping[str, Path], key: str) -> str:
    """Where annotations are kept, for the user: the file beside the image, else her data folder."""
    path = places.get(key)
    if path is None:
        return ""
    return "your data folder" if path.parent == user_folder() else path.name


def _writable(path: Path) -> bool:
    if path.exists() and not os.access(path, os.W_OK):
        return False
    return path.parent.is_dir() and os.access(path.parent, os.W_OK)


def _free_place(path: Path) -> Path:
    stem = path.name.removesuffix(SUFFIX)
    number = 2
    while (other := path.with_name(f"{stem}-{number}{SUFFIX}")).exists():
        number += 1
    return other
