"""The classes as text: ``"0=matrix,1=oxide,2=crack>=2%"``, on the command line and in forms."""

from __future__ import annotations

import re

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.model.card import classes_problem

_KEY = r"(?:-?\d{1,18}|#[0-9A-Fa-f]{6})"
_CLASS = re.compile(rf"^\s*({_KEY})\s*=\s*(.*?)\s*(?:>=\s*([\d.]+)\s*%\s*)?$")
# A comma that no label value follows belongs to a name: "1=carbides, fine".
_BETWEEN = re.compile(rf",(?=\s*{_KEY}\s*=|\s*$)")


def parse_classes(text: str) -> list[tuple[int, str]]:
    """Read ``"0=matrix,1=oxide,2=crack>=2%"`` as label values and class names, in that order.

    The part after ``>=`` is the class's own rule, see `parse_contains`. A colour stands for its
    value, ``"#ff0000=oxide"`` for red · 65536 + green · 256 + blue; see `colours_in`.

    Raises
    ------
    AnnotationError
        When it cannot be read, mixes numbers and colours, or names a value or a class twice, or
        fewer than two classes.
    """
    classes = [(_value(key), name) for key, name, _ in _parse(text)]
    if any(len(set(each)) < len(classes) for each in zip(*classes, strict=True)):
        raise AnnotationError(
            f'The classes "{text}" name a value or a class twice: name each once.'
        )
    if len(classes) < 2:
        raise AnnotationError(
            f'The classes "{text}" are fewer than two: a model tells at least two classes apart, '
            'for example "0=matrix,1=oxide".'
        )
    problem = classes_problem([name for _, name in classes])
    if problem:
        raise AnnotationError(f"The classes cannot be taken, as {problem}: name them otherwise.")
    return classes


def parse_contains(text: str) -> dict[int, float]:
    """Read the "contains at least" rules in ``"0=matrix,2=crack>=2%"``: ``{2: 0.02}``.

    Raises
    ------
    AnnotationError
        When the text cannot be read or a share is not above 0 % and up to 100 %.
    """
    return {_value(key): share for key, _, share in _parse(text) if share is not None}


def colours_in(text: str) -> list[int] | None:
    """Colours that stand for the classes, as `read_labels` takes them; None for numbers."""
    keys = [key for key, _, _ in _parse(text)]
    return [_value(key) for key in keys] if keys[0].startswith("#") else None


def _value(key: str) -> int:
    return int(key[1:], 16) if key.startswith("#") else int(key)


def _parse(text: str) -> list[tuple[str, str, float | None]]:
    parsed: list[tuple[str, str, float | None]] = []
    for part in _BETWEEN.split(text):
        match = _CLASS.match(part)
        if match is None or not match[2] or "=" in match[2]:
            raise AnnotationError(
                f'"{part.strip()}" is no class: write the label value, "=" and a name, '
                'for example "0=matrix,1=oxide", "2=crack>=2%" or "#ff0000=oxide".'
            )
        try:
            share = None if match[3] is None else float(match[3]) / 100.0
        except ValueError:
            share = -1.0
        if share is not None and not 0.0 < share <= 1.0:
            raise AnnotationError(
                f'"{part.strip()}" asks for an impossible share: use above 0 % up to 100 %.'
            )
        parsed.append((match[1], match[2], share))
    if len({key.startswith("#") for key, _, _ in parsed}) > 1:
        raise AnnotationError(
            f'The classes "{text}" mix numbers and colours: give the label image\'s numbers, or '
            "its colours."
        )
    return parsed
