"""One way to name what a result depends on: whole objects in, a hash out.

Whoever adds a field to an options object changes the hash with it: there is no list of fields that
could be forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np


def digest_of(*parts: Any) -> str:
    """Hash objects by all that they hold.

    Parameters
    ----------
    *parts
        Plain values, mappings, sequences, paths, numpy numbers and arrays, and dataclasses of
        these, each by its name and all its fields.

    Returns
    -------
    str
        A sha256 of 64 hexadecimal digits; the same for equal parts, in every process.

    Raises
    ------
    TypeError
        When a part is something else.
    """
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(part: Any) -> Any:
    if is_dataclass(part) and not isinstance(part, type):
        values = {field.name: getattr(part, field.name) for field in fields(part)}
        return {"of": type(part).__name__, **values}
    if isinstance(part, Mapping):
        return dict(part)
    if isinstance(part, Path):
        return str(part)
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest()
        return [str(part.dtype), list(part.shape), content]
    raise TypeError(f"{type(part).__name__} cannot be hashed by what it holds")
