"""The one log file: details of an unexpected failure go there, the user sees one sentence."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from napari_sem_classify.core.common.plain_text import printable

MAX_BYTES = 1_000_000


def log_file() -> Path:
    """The log file's path; its folder is made when the first line is written."""
    from platformdirs import user_log_path

    return Path(user_log_path("napari-sem-classify", appauthor=False)) / "errors.log"


def log_unexpected(error: BaseException, doing: str) -> str:
    """Write the traceback to the log file and give the sentence for the user.

    A log beyond `MAX_BYTES` becomes ``errors.old.log``, so that the two never grow beyond that.

    `doing` tells what the program did, as a phrase: "classifying the image". The sentence names
    the log file; where that cannot be written, the error itself.
    """
    path = log_file()
    kind = type(error).__name__
    now = datetime.now(UTC).isoformat(timespec="seconds")
    trace = printable("".join(traceback.format_exception(error)), lines=True)
    command = printable(" ".join(sys.argv))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # not there yet, or open in another process on Windows
            if path.stat().st_size > MAX_BYTES:
                path.replace(path.with_name("errors.old.log"))
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{now} while {doing}: {command}\n{trace}\n")
    except OSError:
        return f"Something unexpected went wrong while {doing} ({kind}: {error}): please report it."
    return (
        f"Something unexpected went wrong while {doing} ({kind}): "
        f"details are in {path}, please report them."
    )
