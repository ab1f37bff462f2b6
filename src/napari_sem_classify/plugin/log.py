"""The log file: details of an unexpected failure go there, the user sees one sentence."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

_NAME = "napari_sem_classify.plugin"


def log_file() -> Path:
    """The log file's path; its folder is made when the first line is written."""
    from platformdirs import user_log_path

    return Path(user_log_path("napari-sem-classify", appauthor=False)) / "plugin.log"


def log_unexpected(error: BaseException, doing: str) -> str:
    """Write the traceback to the log file and give the sentence for the user.

    Parameters
    ----------
    error : exception
        What went wrong.
    doing : str
        What the program was doing, as a phrase: "classifying the image".
    """
    path = log_file()
    kind = type(error).__name__
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=1_000_000, backupCount=1, encoding="utf-8")
    except OSError:
        return f"Something unexpected went wrong while {doing} ({kind}: {error})."
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger(_NAME)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.error("while %s", doing, exc_info=error)
    finally:
        logger.removeHandler(handler)
        handler.close()
    return (
        f"Something unexpected went wrong while {doing} ({kind}): "
        f"details are in {path}, please report them."
    )
