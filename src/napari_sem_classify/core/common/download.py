"""One way to download a file: it goes on after a cut, and only what was checked is kept.

What has come so far lies under a hidden name beside the place of the file, with a note of which
version of the remote file it belongs to; the same run or a later one goes on there. The file gets
its name only when it is whole and its check has passed. Ranges and their validators follow
RFC 9110, sections 13.1.5 and 14. Whatever the server does, it ends: size, attempts and silence are
limited. It is ours because pooch begins anew after a cut, has no limits and cannot be stopped.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from napari_sem_classify.core.common.errors import Cancelled, OutputError, SemClassifyError
from napari_sem_classify.core.common.files import ensure_folder
from napari_sem_classify.core.common.folder_lock import folder_lock
from napari_sem_classify.core.common.http_stream import QUIET_S, Answer, Misled, NoAnswer, asking
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.common.part_file import PartFile

ATTEMPTS = 3
"""Attempts one after the other that bring hardly anything new, before the user is told."""
MOST_ATTEMPTS = 50
_STEP_BYTES = 1 << 16
"""An attempt that brings less than this brings hardly anything."""
_WAIT_S = 60.0
"""The longest that a busy server is waited for; the next is for one that does not say."""
_SOON_S = 0.5
_OK, _PARTIAL, _BAD_RANGE, _BUSY = 200, 206, 416, (429, 503)
_LONGEST_VERSION = 1000
_WHOLE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18})")


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
    most_bytes : int
        A file that is larger cannot be the right one.
    stage : str
        For the progress, which counts megabytes.
    attempts : int
        As `ATTEMPTS`.
    quiet_s : float
        Seconds of silence after which an attempt has failed.
    by_hand : Path, optional
        Where the user may put the file herself, if not where it is downloaded to.
    """

    url: str
    title: str
    check: Callable[[Path], bool]
    error: type[SemClassifyError]
    most_bytes: int
    stage: str = "Downloading MB"
    attempts: int = ATTEMPTS
    quiet_s: float = QUIET_S
    by_hand: Path | None = None

    @property
    def subject(self) -> str:
        """The title at the start of a sentence."""
        return self.title[:1].upper() + self.title[1:]

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
        A cancelled download goes on where it stopped, where the server can do that.

    Raises
    ------
    SemClassifyError
        Of the kind that `remote` names, when the file cannot be had or is not the right one.
    OutputError
        When the folder cannot be written, or another run writes into it.
    Cancelled
        When the job was asked to stop; its text says what is kept.
    """
    folder = ensure_folder(path.parent)
    part = PartFile(folder / f".part-{path.name}")
    try:
        with folder_lock(folder):
            part.check()
            try:
                older = part.size() > 0
                _fetch(remote, part, job)
                if not _is_right(remote, part, last=not older):
                    # What an earlier run kept may have been damaged: once more, from the start.
                    _fetch(remote, part, job)
                    _is_right(remote, part, last=True)
            except Cancelled as wish:
                raise Cancelled(f"Stopped; {part.kept()}.") from wish
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
    return PartFile(path.with_name(f".part-{path.name}")).size()


def has_checksum(path: Path, algorithm: str, expected: str, job: Job | None = None) -> bool:
    """Whether a file's checksum begins with these hexadecimal digits; `job` can stop it."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
            if job is not None:
                job.check()
    return found.hexdigest().startswith(expected)


class _Busy(Exception):
    """The server asks to come again later."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def _fetch(remote: Remote, part: PartFile, job: Job | None) -> None:
    """Make attempts until the file is whole, or they bring nothing more."""
    idle, best = 0, {part.version(remote.url): part.size()}
    cause: Exception | None = None
    for _ in range(MOST_ATTEMPTS):
        try:
            if _more(remote, part, job):
                return
            cause = None
        except NoAnswer as error:
            cause = error
        except _Busy as error:
            cause = error
            _wait(error.seconds, job)
        version, size = part.version(remote.url), part.size()
        idle = 0 if size >= best.get(version, 0) + _STEP_BYTES else idle + 1
        best[version] = max(size, best.get(version, 0))
        if idle >= remote.attempts:
            break
    what = "check the internet connection and try again"
    if isinstance(cause, _Busy):
        what = "the server is busy, try again later"
    raise remote.error(
        f"{remote.subject} cannot be downloaded from {remote.host}: {what}; {part.kept()}."
    ) from cause


def _more(remote: Remote, part: PartFile, job: Job | None) -> bool:
    """Get what is lacking; tell whether the file is whole then."""
    have, version = part.size(), part.version(remote.url)
    if not version or have > remote.most_bytes:
        have = 0  # without a version the server might go on in the middle of another file
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    start = time.perf_counter()
    try:
        with asking(remote.url, headers, job=job, quiet_s=remote.quiet_s) as answer:
            if answer.status == _BAD_RANGE:
                whole = _WHOLE.fullmatch(answer.headers.get("Content-Range", ""))
                if have and whole and int(whole[2]) == have:
                    return True
                part.forget()
                return False
            _refuse(remote, part, answer)
            first, total = _extent(answer)
            if first != have:
                if answer.status == _PARTIAL:
                    part.forget()
                    return False
                first = 0
            _refuse_size(remote, part, total)
            part.note_version(remote.url, _version(answer))
            with part.open(anew=not first) as file:
                for chunk in answer.chunks():
                    first += len(chunk)
                    _refuse_size(remote, part, first)
                    file.write(chunk)
                    _tell(remote, job, first, total, time.perf_counter() - start)
                file.flush()
                os.fsync(file.fileno())
    except Misled as error:
        raise remote.error(
            f"{remote.subject} cannot be downloaded: {remote.host} sends {error}; {part.kept()}."
        ) from error
    return total is None or first == total


def _refuse(remote: Remote, part: PartFile, answer: Answer) -> None:
    """Raise where an answer cannot be the file, before what has come is touched."""
    if answer.status in _BUSY:
        seconds = _seconds(answer.headers.get("Retry-After", ""))
        if seconds > _WAIT_S:
            raise remote.error(
                f"{remote.subject} cannot be downloaded: {remote.host} is busy and asks to come "
                f"again in {min(seconds / 60, 1e6):.0f} minutes; {part.kept()}."
            )
        raise _Busy(seconds)
    if answer.status not in (_OK, _PARTIAL):
        name, folder = part.path.name.removeprefix(".part-"), remote.by_hand or part.path.parent
        raise remote.error(
            f"{remote.subject} cannot be downloaded: {remote.host} answered {answer.status}; "
            f"{part.kept()}; put {name} into {folder} by hand."
        )
    other = ""
    if answer.headers.get("Content-Type", "").strip().lower().startswith("text/html"):
        other = "a web page instead, perhaps a network's page to sign in"
    elif answer.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        other = "it packed in a way that was not asked for"
    if other:
        raise remote.error(
            f"{remote.subject} cannot be downloaded: {remote.host} sends {other}; try again on "
            f"another network connection; {part.kept()}."
        )


def _refuse_size(remote: Remote, part: PartFile, size: int | None) -> None:
    if size is not None and size > remote.most_bytes:
        part.forget()
        raise remote.error(
            f"{remote.host} sends more than the {remote.most_bytes / 1e6:.0f} MB that "
            f"{remote.title} can have, so it was not kept: try again on another network "
            "connection."
        )


def _seconds(text: str) -> float:
    """How long a server asks to wait, as seconds or as a date (RFC 9110, section 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, OSError):
        return _SOON_S


def _wait(seconds: float, job: Job | None) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if job is not None:
            job.check()
        time.sleep(min(left, 0.1))


def _extent(answer: Answer) -> tuple[int, int | None]:
    """First byte of what comes, and the size of the whole file where the server tells it."""
    if answer.status == _PARTIAL:
        whole = _WHOLE.fullmatch(answer.headers.get("Content-Range", ""))
        return (int(whole[1]), int(whole[2])) if whole and whole[1] else (-1, None)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None


def _version(answer: Answer) -> str:
    """The remote file's validator for a later request: a strong ETag, or the time of change."""
    tag = answer.headers.get("ETag", "")
    if not tag or tag.startswith("W/"):
        tag = answer.headers.get("Last-Modified", "")
    return tag if len(tag) <= _LONGEST_VERSION else ""


def _tell(remote: Remote, job: Job | None, done: int, total: int | None, elapsed_s: float) -> None:
    if job is not None:
        in_all = done if total is None else max(done, total)
        job.tell(Progress(done // 1_000_000, max(1, in_all // 1_000_000), remote.stage, elapsed_s))


def _is_right(remote: Remote, part: PartFile, *, last: bool) -> bool:
    """Tell whether the right file has come; where it has not, nothing of it is kept.

    With `last` it raises then.
    """
    cause: SemClassifyError | None = None
    try:
        right = remote.check(part.path)
    except SemClassifyError as error:
        right, cause = False, error
    if not right:
        part.forget()
    if last and not right:
        raise remote.error(
            f"What {remote.host} sent is not {remote.title} (wrong checksum or "
            "content), so it was not kept: try again on another network connection."
        ) from cause
    return right
