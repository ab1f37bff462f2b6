"""Downloading the weights of networks that do not come with the program.

A download that is cut goes on where it stopped, in the same run or a later one: what has come so
far lies under a hidden name beside the place of the file, with a note of which version of the
remote file it belongs to. The file gets its name only when it is whole and its checksum is right.
Ranges and their validators follow RFC 9110, sections 13.1.5 and 14.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from napari_sem_classify.core.errors import ModelError, OutputError
from napari_sem_classify.core.files import ensure_folder, write_json
from napari_sem_classify.core.model.backbone import (
    BackboneInfo,
    backbone_info,
    backbone_path,
    backbone_sha256,
    load_backbone,
    user_weights_folder,
)
from napari_sem_classify.core.progress import CancelToken, Progress, ProgressCallback

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_S = 30.0
ATTEMPTS = 3
"""Attempts one after the other that bring nothing new, before the user is told."""
_CHUNK_BYTES = 1 << 18
_WHOLE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


def fetch_backbone(
    id: str, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
) -> Path:
    """Download a network's weights into the user's weights folder, unless they are there already.

    Parameters
    ----------
    id : str
        Of `BACKBONES`. One that comes with the program needs no download.
    progress, cancel : optional
        Progress counts megabytes. A cancelled download goes on where it stopped.

    Returns
    -------
    Path
        The weights file, whole and checked.

    Raises
    ------
    ModelError
        When there is no such network, it cannot be downloaded, or what came is something else.
    OutputError
        When the folder cannot be written.
    Cancelled
        When `cancel` was set.
    """
    info = backbone_info(id)
    if info.shipped:
        return backbone_path(id)
    with suppress(ModelError):  # not there, or damaged: the new file takes its place
        backbone_sha256(id)
        return backbone_path(id)
    folder = ensure_folder(user_weights_folder())
    part = _Part(folder / f".part-{info.filename}")
    try:
        _download(info, part, progress, cancel)
        _check(info, part)
        part.path.replace(folder / info.filename)
        part.forget()
    except OSError as error:
        raise OutputError(
            f"{info.filename} cannot be written into {folder} ({error.strerror or error}): "
            "choose a folder you may write to, with free space."
        ) from error
    return folder / info.filename


@dataclass(frozen=True, slots=True)
class _Part:
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


def _download(
    info: BackboneInfo,
    part: _Part,
    progress: ProgressCallback | None,
    cancel: CancelToken | None,
) -> None:
    from requests import RequestException

    idle = 0
    while True:
        before = part.size()
        cause: Exception | None = None
        try:
            if _more(info, part, progress, cancel):
                return
        except RequestException as error:
            cause = error
        idle = 0 if part.size() > before else idle + 1
        if idle >= ATTEMPTS:
            raise ModelError(
                f"{info.title} cannot be downloaded from {urlsplit(info.url).hostname}: check the "
                "internet connection and try again; what has come so far is kept."
            ) from cause


def _more(
    info: BackboneInfo,
    part: _Part,
    progress: ProgressCallback | None,
    cancel: CancelToken | None,
) -> bool:
    """Get what is lacking; tell whether the file is whole then."""
    import requests

    have, version = part.size(), part.version(info.url)
    headers = {"Accept-Encoding": "identity"}
    if have and version:
        # Without a version the server might go on in the middle of another file.
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    start = time.perf_counter()
    with requests.get(info.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            whole = _WHOLE.fullmatch(answer.headers.get("Content-Range", ""))
            if whole and int(whole[2]) == have:
                return True
            part.forget()
            return False
        if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
            raise ModelError(
                f"{info.title} cannot be downloaded: {urlsplit(info.url).hostname} answered "
                f"{answer.status_code}; put {info.filename} into {part.path.parent} by hand."
            )
        first, total = _extent(answer)
        if first != have:
            first = 0
            if answer.status_code == requests.codes.partial_content:
                part.forget()
                return False
        write_json(part.note, {"url": info.url, "version": _version(answer)})
        with part.path.open("ab" if first else "wb") as file:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                first += len(chunk)
                _tell(progress, first, total, time.perf_counter() - start)
                if cancel is not None and cancel.cancelled:
                    file.flush()
                    cancel.raise_if_cancelled()
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


def _tell(
    progress: ProgressCallback | None, done: int, total: int | None, elapsed_s: float
) -> None:
    if progress is not None:
        in_all = done if total is None else total
        progress(
            Progress(done // 1_000_000, max(1, in_all // 1_000_000), "Downloading MB", elapsed_s)
        )


def _check(info: BackboneInfo, part: _Part) -> None:
    """Prove that the right file has come; where it has not, nothing of it is kept."""
    with part.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    cause: Any = None
    if info.sha256:
        right = digest.startswith(info.sha256)
    else:  # no checksum is published: what came has to be a ResNet50 at least
        try:
            load_backbone(info.id, weights_path=part.path)
            right = True
        except ModelError as error:
            right, cause = False, error
    if not right:
        part.forget()
        raise ModelError(
            f"What {urlsplit(info.url).hostname} sent is not {info.title} (wrong checksum or "
            "content), so it was not kept: try again on another network connection."
        ) from cause
