"""One way to download a file: it goes on after a cut, and only what was checked is kept.

What has come so far lies under a hidden name beside the place of the file, with a note of which
version of the remote file it belongs to; the same run or a later one goes on there. The file gets
its name only when it is whole and its check has passed. Ranges and their validators follow
RFC 9110, sections 13.1.5 and 14. It is ours because pooch begins anew after a
cut and cannot be stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_sem_classify.core.common.errors import OutputError, SemClassifyError
from napari_sem_classify.core.common.files import ensure_folder, write_json
from napari_sem_classify.core.common.job import Job, Progress

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_S = 30.0
ATTEMPTS = 3
"""Attempts one after the other that bring nothing new, before the user is told."""
_CHUNK_BYTES = 1 << 18
_WHOLE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to download.

    Attributes
    ----------
    url : str
    title : str
        For the user's sentences.
    check : callable
        Given the downloaded file under its hidden name; raises or returns False where it is not
        the right one. The download is then thrown away.
    error : type of SemClassifyError
        Raised when it cannot be downloaded or is not the right file.
    stage : str
        For the progress, which counts megabytes.
    """

    url: str
    title: str
    check: Callable[[Path], bool]
    error: type[SemClassifyError]
    stage: str = "Downloading MB"

    @property
    def host(self) -> str:
        """The server, for the user's sentences."""
        return urlsplit(self.url).hostname or self.url


def download(remote: Remote, path: Path, *, job: Job | None = None) -> Path:
    """Download a file to `path`.

    Parameters
    ----------
    remote : Remote
    path : Path
        An earlier file there is replaced when the new one is whole and checked.
    job : Job, optional
        A cancelled download goes on where it stopped.

    Raises
    ------
    SemClassifyError
        Of the kind that `remote` names, when the file cannot be had or is not the right one.
    OutputError
        When the folder cannot be written.
    Cancelled
        When the job was asked to stop.
    """
    folder = ensure_folder(path.parent)
    part = _PartFile(folder / f".part-{path.name}")
    try:
        _fetch(remote, part, job)
        _check(remote, part)
        part.path.replace(path)
        part.forget()
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be written into {folder} ({error.strerror or error}): "
            "choose a folder you may write to, with free space."
        ) from error
    return path


def bytes_so_far(path: Path) -> int:
    """How much of the download to `path` has come already."""
    return _PartFile(path.with_name(f".part-{path.name}")).size()


def has_checksum(path: Path, algorithm: str, expected: str) -> bool:
    """Whether a file's checksum begins with these hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest().startswith(expected)


@dataclass(frozen=True, slots=True)
class _PartFile:
    """What has come of a file so far; it ends like the file, since readers go by that."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str:
        """Version of the remote file that this is the start of; "" where it is not known."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            return str(note["version"]) if note["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def forget(self) -> None:
        for path in (self.path, self.note):
            path.unlink(missing_ok=True)


def _fetch(remote: Remote, part: _PartFile, job: Job | None) -> None:
    from requests import RequestException

    idle = 0
    while True:
        before = part.size()
        cause: Exception | None = None
        try:
            if _more(remote, part, job):
                return
        except RequestException as error:
            cause = error
        idle = 0 if part.size() > before else idle + 1
        if idle >= ATTEMPTS:
            raise remote.error(
                f"{remote.title} cannot be downloaded from {remote.host}: check the "
                "internet connection and try again; what has come so far is kept."
            ) from cause


def _more(remote: Remote, part: _PartFile, job: Job | None) -> bool:
    """Get what is lacking; tell whether the file is whole then."""
    import requests

    have, version = part.size(), part.version(remote.url)
    headers = {"Accept-Encoding": "identity"}
    if have and version:
        # Without a version the server might go on in the middle of another file.
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    start = time.perf_counter()
    with requests.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            whole = _WHOLE.fullmatch(answer.headers.get("Content-Range", ""))
            if whole and int(whole[2]) == have:
                return True
            part.forget()
            return False
        if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
            name = part.path.name.removeprefix(".part-")
            raise remote.error(
                f"{remote.title} cannot be downloaded: {remote.host} answered "
                f"{answer.status_code}; put {name} into {part.path.parent} by hand."
            )
        first, total = _extent(answer)
        if first != have:
            first = 0
            if answer.status_code == requests.codes.partial_content:
                part.forget()
                return False
        write_json(part.note, {"url": remote.url, "version": _version(answer)})
        with part.path.open("ab" if first else "wb") as file:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                first += len(chunk)
                _tell(remote, job, first, total, time.perf_counter() - start)
                if job is not None and job.cancelled:
                    file.flush()
                    job.check()
            file.flush()
            os.fsync(file.fileno())
    return total is None or first == total


def _extent(answer: Response) -> tuple[int, int | None]:
    """First byte of what comes, and the size of the whole file where the server tells it."""
    if answer.status_code == 206:
        whole = _WHOLE.fullmatch(answer.headers.get("Content-Range", ""))
        return (int(whole[1]), int(whole[2])) if whole and whole[1] else (-1, None)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _version(answer: Response) -> str:
    """The remote file's validator for a later request: a strong ETag, or the time of change."""
    tag = answer.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return str(answer.headers.get("Last-Modified", ""))


def _tell(remote: Remote, job: Job | None, done: int, total: int | None, elapsed_s: float) -> None:
    if job is not None:
        in_all = done if total is None else total
        job.tell(Progress(done // 1_000_000, max(1, in_all // 1_000_000), remote.stage, elapsed_s))


def _check(remote: Remote, part: _PartFile) -> None:
    """Prove that the right file has come; where it has not, nothing of it is kept."""
    cause: SemClassifyError | None = None
    try:
        right = remote.check(part.path)
    except SemClassifyError as error:
        right, cause = False, error
    if not right:
        part.forget()
        raise remote.error(
            f"What {remote.host} sent is not {remote.title} (wrong checksum or "
            "content), so it was not kept: try again on another network connection."
        ) from cause
