"""How the files that are made of an image are named: fit for any disk, and no two images alike."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

MAX_BYTES = 180
"""Of a stem in UTF-8: file systems take 255, and planes, tiles and endings come behind it."""

_FORBIDDEN = frozenset('\\/:*?"<>|')  # on Windows and its network drives
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_PLANE = re.compile(r"_z\d{4,}\Z")  # one axis of what `plane_suffix` adds
_HAS_PLANES = "/"  # no stem holds it


def stem_of(name: str | Path) -> str:
    """A start for file names that every disk takes, from the path or the name of an image.

    Characters that no text or no file name has become ``_``; a long name keeps its start and gets
    a hash of all of it.
    """
    whole = name.stem if isinstance(name, Path) else name
    stem = "".join(c if c.isprintable() and c not in _FORBIDDEN else "_" for c in whole)
    stem = stem.strip(". ") or "image"
    if _DEVICES.match(stem):
        stem = f"_{stem}"
    if len(stem.encode()) <= MAX_BYTES:
        return stem
    code = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    start = stem.encode()[: MAX_BYTES - len(code) - 1].decode(errors="ignore")
    return f"{start}-{code}"


def free_stem(name: str | Path, taken: set[str]) -> str:
    """As `stem_of`, numbered where need be, so that no file of one image is one of another's.

    ``a_z0001`` is not free where ``a`` is taken, nor the other way round: ``a`` may be a stack,
    whose planes are named so.

    Parameters
    ----------
    taken : set of str
        What the stems given so far rule out; this one joins it.
    """
    stem = free = stem_of(name)
    number = 1
    while not is_free(free, taken):
        number += 1
        free = f"{stem}-{number}"
    take_stem(free, taken)
    return free


def take_stem(stem: str, taken: set[str]) -> None:
    """Let a stem that is in use join those taken."""
    key = _key(stem)
    taken.add(key)
    taken.update(base + _HAS_PLANES for base in _bases(key))


def is_free(stem: str, taken: set[str]) -> bool:
    """Whether a stem may join those taken, see `free_stem`."""
    key = _key(stem)
    return taken.isdisjoint((key, key + _HAS_PLANES, *_bases(key)))


def _key(stem: str) -> str:
    """The same for stems that some file system takes for one: A and a, both ways to write é."""
    return unicodedata.normalize("NFC", stem).casefold()


def _bases(key: str) -> list[str]:
    """Stems of which this one could be a plane: ``a_z0001`` and ``a`` for ``a_z0001_z0002``."""
    found = []
    while (base := _PLANE.sub("", key)) != key:
        found.append(base)
        key = base
    return found
