"""Writing files so that a crash, a full disk or a kill leaves the old file or the new one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.errors import OutputError, cannot_write
from napari_sem_classify.core.common.plain_text import ascii_where_needed
from napari_sem_classify.core.common.temporaries import MARK, sweep_once, temporary_name


def ensure_folder(folder: Path) -> Path:
    """Make `folder` and its parents if they are not there, and prove that it can be written.

    Raises
    ------
    OutputError
        When it is a file, or may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / temporary_name()
        probe.touch(exist_ok=False)
        probe.unlink()
    except FileExistsError as error:
        message = f"{folder} is a file, not a folder: choose another output folder."
        raise OutputError(message) from error
    except OSError as error:
        raise OutputError(cannot_write(folder, error)) from error
    return folder


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block ends without an error.

    The temporary name keeps the suffix of `path`, since many writers choose the format by it.

    Raises
    ------
    OutputError
        When the folder cannot be written or the disk is full. `path` is then as it was before.
    """
    path = Path(path)
    if not path.parent.name.startswith(MARK):
        sweep_once(path.parent)
    temporary = path.with_name(temporary_name(path.suffix))
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(cannot_write(path, error)) from error
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(cannot_write(path, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, all of it or nothing.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    with atomic_path(path) as temporary:
        # Bytes of a file's name that are no text are told as \udcff.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, all of it or nothing; NaN becomes null.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    write_text(path, to_json(value) + "\n")


def write_tensors(
    path: Path, save_file: Callable[..., None], tensors: Mapping[str, Any], metadata: dict[str, str]
) -> None:
    """Write a ``.safetensors`` file with the library's `save_file`, all of it or nothing.

    The library has an error of its own for a full disk, which is no `OSError`.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    from safetensors import SafetensorError

    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error).rpartition(": ")[2]) from error


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON that every reader accepts, see `plain_values`; on one line without `indent`.

    Characters that cannot be printed are escaped in it.
    """
    text = json.dumps(plain_values(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return ascii_where_needed(text)


def plain_values(value: Any) -> Any:
    """Values as JSON has them: numpy as numbers, paths as text, NaN and inf as None."""
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain_values(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
