"""Tables as CSV text: each number written in one way, and no cell that a spreadsheet would run.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break is a formula to a
spreadsheet. An apostrophe before it makes it text
(https://owasp.org/www-community/attacks/CSV_Injection), and is taken away where this program reads
the table again; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.checked import Malformed, file_bytes
from napari_sem_classify.core.common.plain_text import printable

_RUN = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MOST_COLUMNS = 4096


def csv_text(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as text, its lines ended by a line feed alone."""
    return "".join(f"{','.join(map(_written, row))}\n" for row in [head, *rows])


def _written(cell: Any) -> str:
    # Not with csv.writer: before Python 3.13 it leaves a carriage return without quotes.
    text = str(cell_text(cell))
    if any(each in text for each in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def cell_text(value: Any) -> Any:
    """A cell as it is written: None and NaN as nothing, text so that no spreadsheet runs it."""
    if not isinstance(value, str):
        return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
    if _RUN.match(value) and not _NUMBER.fullmatch(value):
        value = f"'{value}"
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def cell_value(text: str) -> str:
    """A cell as it was before `cell_text` wrote it."""
    return text[1:] if text[:1] == "'" and _RUN.match(text) else text


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a table with a head, as this program, a spreadsheet or a person wrote it.

    Commas or semicolons stand between its cells, whichever the head has more of. Names of columns
    come in small letters; a short row has empty cells at its end.

    Raises
    ------
    OSError
        When it cannot be read.
    Malformed
        When it is too large, no text in UTF-8, or no table.
    """
    try:
        text = file_bytes(path).decode("utf-8-sig")  # spreadsheets write a mark at the start
    except UnicodeDecodeError as error:
        raise Malformed("it is no text in UTF-8") from error
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        head = [cell_value(name).strip().lower() for name in next(reader, [])]
        if len(head) > MOST_COLUMNS:
            raise Malformed(f"it has {len(head)} columns, more than {MOST_COLUMNS}")
        return [_row(head, cells) for cells in reader if cells]
    except csv.Error as error:
        raise Malformed(f"it is no table: {printable(str(error))}") from error


def _row(head: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    values = [cell_value(cell) for cell in cells] + [""] * (len(head) - len(cells))
    return {name: value for name, value in zip(head, values, strict=False) if name}


def number_text(value: float | None) -> str:
    """Six digits of a number; empty where it is not known."""
    return "" if value is None or math.isnan(value) else f"{value:.6g}"
