"""The classes as text: ``"0=matrix,1=oxide,2=crack>=2%"``, on the command line and in forms."""

from __future__ import annotations

import re

from napari_sem_classify.core.common.errors import AnnotationError

_CLASS = re.compile(r"^\s*(\d+)\s*=\s*(.*?)\s*(?:>=\s*([\d.]+)\s*%\s*)?$")


def parse_classes(text: str) -> list[tuple[int, str]]:
    """Read ``"0=matrix,1=oxide,2=crack>=2%"`` as label values and class names, in that order.

    The part after ``>=`` is the class's own rule, see `parse_contains`.

    Raises
    ------
    AnnotationError
        When it cannot be read, or names a value or a class twice, or fewer than two classes.
    """
    classes = [(value, name) for value, name, _ in _parse(text)]
    values = [value for value, _ in classes]
    names = [name for _, name in classes]
    if len(set(values)) < len(values) or len(set(names)) < len(names):
        raise AnnotationError(
            f'The classes "{text}" name a value or a class twice: name each once.'
        )
    if len(classes) < 2:
        raise AnnotationError(
            f'The classes "{text}" are fewer than two: a model tells at least two classes apart, '
            'for example "0=matrix,1=oxide".'
        )
    return classes


def parse_contains(text: str) -> dict[int, float]:
    """Read the "contains at least" rules in ``"0=matrix,2=crack>=2%"``: ``{2: 0.02}``.

    Raises
    ------
    AnnotationError
        When the text cannot be read or a share is not above 0 % and up to 100 %.
    """
    return {value: share for value, _, share in _parse(text) if share is not None}


def _parse(text: str) -> list[tuple[int, str, float | None]]:
    parsed: list[tuple[int, str, float | None]] = []
    for part in text.split(","):
        match = _CLASS.match(part)
        if match is None or not match[2] or "=" in match[2]:
            raise AnnotationError(
                f'"{part.strip()}" is no class: write the label value, "=" and a name, '
                'for example "0=matrix,1=oxide" or "2=crack>=2%".'
            )
        try:
            share = None if match[3] is None else float(match[3]) / 100.0
        except ValueError:
            share = -1.0
        if share is not None and not 0.0 < share <= 1.0:
            raise AnnotationError(
                f'"{part.strip()}" asks for an impossible share: use above 0 % up to 100 %.'
            )
        parsed.append((int(match[1]), match[2], share))
    return parsed
