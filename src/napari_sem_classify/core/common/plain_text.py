"""Text from files and names as people may see it: nothing in it steers a terminal or a reader.

A class name, a file's name or a record may hold escape sequences that move the cursor or rename
the window, line breaks that forge a second message, and marks that turn the direction of writing,
so that a text reads as another one (https://trojansource.codes).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

MOST_NAME = 300
"""Characters of a name; longer ones fit nowhere."""

# Embeddings, overrides and isolates; the marks that Persian, Arabic or Hebrew words need are none.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NOT_IN_NAMES = ("Cc", "Cs", "Zl", "Zp")


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with what cannot be printed as an escape, such as ``\x1b`` or ``\u202e``.

    `lines` keeps line feeds, for a text of several lines.
    """
    if lines:
        return "\n".join(_with_escapes(line, _escape) for line in text.split("\n"))
    return _with_escapes(text, _escape)


def ascii_where_needed(json_text: str) -> str:
    r"""JSON that says the same, with what cannot be printed as ``\uXXXX``.

    JSON leaves delete, C1 controls and marks of direction as they are, and half a surrogate pair,
    which a file's name may hold, cannot be written as UTF-8 at all.
    """
    return "\n".join(_with_escapes(line, _json_escape) for line in json_text.split("\n"))


def name_problem(name: str) -> str:
    """Why a text cannot be the name of a class or a model, as the end of a sentence; "" if it can.

    A name stands in tables, figures, layers and messages: one line of it, of characters that are
    seen and leave the rest of the line as it is.
    """
    if not name.strip():
        return "is empty"
    if len(name) > MOST_NAME:
        return f"is longer than {MOST_NAME} characters"
    for each in name:
        if each in _TURNING or unicodedata.category(each) in _NOT_IN_NAMES:
            return f"holds a character that cannot be printed (U+{ord(each):04X})"
    return ""


def _with_escapes(line: str, escape: Callable[[str], str]) -> str:
    if line.isprintable():
        return line
    return "".join(each if _is_plain(each) else escape(each) for each in line)


def _is_plain(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
