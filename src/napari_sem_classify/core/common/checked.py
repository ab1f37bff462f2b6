"""What a file says, checked once as it is read: the one border for cards, records and tables.

Each kind of file has one reader, which asks an object's fields by name, kind and range, and words
what is wrong for the person who has the file. What comes out needs no further check.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from napari_sem_classify.core.common.plain_text import name_problem, printable

MOST_BYTES = 64_000_000
"""Of a JSON file; what it becomes in memory takes up to some 25 times as much."""
MOST_DEPTH = 32
LARGEST = 2**64
MOST_PATH = 4096
MOST_FILE_NAME = 255
_INFINITE = (math.inf, -math.inf)  # what a number such as 1e400 is read as
_SHOWN = 40

Word = TypeVar("Word", bound=str)


class Malformed(ValueError):
    """What is wrong in a file, as part of a sentence: "tile_px is 'a', not a whole number"."""


def decoded_json(text: str | bytes) -> Any:
    """The value of a JSON text; NaN and infinity, which JSON does not know, become None.

    Raises
    ------
    Malformed
        When it is no JSON in UTF-8, nested deeper than `MOST_DEPTH`, or holds a number that is
        larger than `LARGEST` or, with a fraction, larger than any float.
    """
    try:
        value = json.loads(_as_text(text), parse_constant=lambda _: None)
    except RecursionError as error:
        raise Malformed(f"it is nested deeper than {MOST_DEPTH} levels") from error
    except ValueError as error:
        raise Malformed("it is no JSON that can be read") from error
    _check_bounds(value)
    return value


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises
    ------
    OSError
        When it cannot be read.
    Malformed
        As `file_bytes` and `decoded_json` say.
    """
    return decoded_json(file_bytes(path))


def file_bytes(path: Path) -> bytes:
    """All of a file of text.

    Raises
    ------
    OSError
        When it cannot be read.
    Malformed
        When it is a pipe or device, which may have no end, or larger than `MOST_BYTES`.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Malformed("it is not a file: a folder, pipe, socket or device")
    if found.st_size > MOST_BYTES:
        raise Malformed(f"it is larger than {MOST_BYTES // 1_000_000} MB")
    return path.read_bytes()


def _as_text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8")


def _check_bounds(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MOST_DEPTH + 1):
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                deeper.extend(each.values())
            elif isinstance(each, list):
                deeper.extend(each)
            elif (isinstance(each, int) and abs(each) > LARGEST) or each in _INFINITE:
                raise Malformed("it holds a number that is too large")
        if not deeper:
            return
        level = deeper
    raise Malformed(f"it is nested deeper than {MOST_DEPTH} levels")


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an object, asked by name; what is wrong raises `Malformed`.

    Attributes
    ----------
    value : mapping
    place : str
        Where the object stands, before a field's name: "classes[1].".
    """

    value: Mapping[str, Any]
    place: str = ""

    @classmethod
    def of(cls, value: Any, place: str = "") -> Fields:
        """The fields of what should be an object."""
        if not isinstance(value, dict):
            raise Malformed(f"{place.rstrip('.') or 'it'} is {shown(value)}, not an object")
        return cls(value, place)

    def has(self, name: str) -> bool:
        """Whether a field is there and says something."""
        return self.value.get(name) is not None

    def given(self, name: str) -> Any:
        """A field as it stands."""
        if name not in self.value:
            raise Malformed(f"{self.place}{name} is missing")
        return self.value[name]

    def text(self, name: str) -> str:
        """A text of any characters."""
        value = self.given(name)
        if isinstance(value, str):
            return value
        raise self._refused(name, "a text")

    def name(self, name: str) -> str:
        """A text that can be a name, see `name_problem`."""
        value = self.text(name)
        problem = name_problem(value)
        if problem:
            raise Malformed(f"{self.place}{name} {problem}")
        return value

    def path(self, name: str) -> str:
        """A text that can be the path of a file, on any system."""
        value = self.text(name)
        if is_path(value):
            return value
        raise self._refused(name, "a path")

    def one_of(self, name: str, words: Sequence[Word]) -> Word:
        """One of some words."""
        value = self.given(name)
        for word in words:
            if value == word:
                return word
        raise self._refused(name, " or ".join(words))

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.given(name)
        if isinstance(value, bool):
            return value
        raise self._refused(name, "true or false")

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.given(name)
        if is_whole(value, low, high):
            return int(value)
        raise self._refused(name, f"a whole number from {low} to {high}")

    def number(self, name: str, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        value = self.given(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        raise self._refused(name, f"a number from {low:g} to {high:g}")

    def items(self, name: str, most: int | None = None) -> list[Any]:
        """A list, of at most `most` values."""
        value = self.given(name)
        if not isinstance(value, list):
            raise self._refused(name, "a list")
        if most is not None and len(value) > most:
            raise Malformed(f"{self.place}{name} has {len(value)} entries, more than {most}")
        return value

    def wholes(
        self, name: str, low: int, high: int, *, count: int | None = None, most: int | None = None
    ) -> tuple[int, ...]:
        """Whole numbers from `low` to `high`, `count` of them where that is told."""
        values = self.items(name, most)
        wanted = f"{'' if count is None else f'{count} '}whole numbers from {low} to {high}"
        if count not in (None, len(values)) or not all(is_whole(n, low, high) for n in values):
            raise self._refused(name, f"a list of {wanted}")
        return tuple(values)

    def numbers(self, name: str, low: float, high: float, count: int) -> tuple[float, ...]:
        """`count` numbers from `low` to `high`."""
        values = self.items(name)
        inside = [type(n) in (int, float) and low <= n <= high for n in values]
        if len(values) != count or not all(inside):
            raise self._refused(name, f"a list of {count} numbers from {low:g} to {high:g}")
        return tuple(float(n) for n in values)

    def object(self, name: str) -> Fields:
        """The fields of an object within this one."""
        return Fields.of(self.given(name), f"{self.place}{name}.")

    def objects(self, name: str, most: int | None = None) -> Iterator[Fields]:
        """The fields of each object of a list."""
        for number, value in enumerate(self.items(name, most)):
            yield Fields.of(value, f"{self.place}{name}[{number}].")

    def plain(self, name: str) -> dict[str, Any]:
        """An object of any fields, for what is only shown; empty where there is none."""
        return dict(self.object(name).value) if self.has(name) else {}

    def _refused(self, name: str, wanted: str) -> Malformed:
        return Malformed(f"{self.place}{name} is {shown(self.value[name])}, not {wanted}")


def is_whole(value: Any, low: int, high: int) -> bool:
    """Whether a value is a whole number from `low` to `high`; true and false are none."""
    return type(value) is int and low <= value <= high


def is_path(text: str) -> bool:
    """Whether a text can be a path at all; the operating system refuses others by an exception."""
    try:
        parts = os.fsencode(text).replace(b"\\", b"/").split(b"/")
    except UnicodeEncodeError:
        return False
    return "\0" not in text and len(text) <= MOST_PATH and max(map(len, parts)) <= MOST_FILE_NAME


def shown(value: Any) -> str:
    """A value for a message: short, on one line, printable."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value) if len(str(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
    return printable(text)
