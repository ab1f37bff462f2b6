"""The problems a user can meet, each worded for the person who reads it."""

from __future__ import annotations

from pathlib import Path


class SemClassifyError(Exception):
    """A problem that the user can act on.

    ``str(error)`` is one sentence: what is wrong, in which file, what to do. The command line
    prints it and exits with status 1; a widget shows it beside the control that caused it.
    """


class ImageError(SemClassifyError):
    """An image that cannot be opened, read or used."""


class GridError(SemClassifyError):
    """A tile size, stride or area that cannot be laid over the image."""


class ModelError(SemClassifyError):
    """A model or weights file that is missing, damaged or made for something else."""


class AnnotationError(SemClassifyError):
    """Labels from which nothing can be learned."""


class DatasetError(SemClassifyError):
    """A folder or table of images from which no model can be trained or scored."""


class DeviceError(SemClassifyError):
    """A device or backend that was asked for and is not there, or ran out of memory."""


class OutputError(SemClassifyError):
    """A file or folder that cannot be written."""


class BusyError(OutputError):
    """A file or folder that somebody else writes just now."""


class RecordError(SemClassifyError):
    """A record from which a run cannot be repeated."""


class Cancelled(Exception):
    """Raised inside a long job after its cancel token was set; nothing was changed."""


def cannot_write(path: Path, error: OSError) -> str:
    """Say in one sentence that a file or folder cannot be written."""
    from napari_sem_classify.core.common.temporaries import MARK

    why = error.strerror or str(error)
    # A file in the making lies in a temporary folder: the user knows where it shall go.
    path = Path(*(part for part in Path(path).parts if not part.startswith(MARK)))
    return f"{path} cannot be written ({why}): choose a folder you may write to, with free space."
