"""Tables as CSV text, each number written in one way."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as text, its lines ended by a line feed alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def number_text(value: float | None) -> str:
    """Six digits of a number; empty where it is not known."""
    return "" if value is None or math.isnan(value) else f"{value:.6g}"
