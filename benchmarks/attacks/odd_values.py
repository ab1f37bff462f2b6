"""JSON as strangers, bugs and bad disks write it: values of other kinds, odd numbers and texts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from benchmarks.attacks import harness

NESTED = json.loads("[" * 900 + "]" * 900)
HUGE = "HUGE_NUMBER"  # stands for digits that no JSON writer gives
CONTROLS = [
    *(chr(number) for number in (0, 7, 8, 9, 10, 13, 27, 127, 133, 155)),
    *"\u200b\u200e\u2028\u2029\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ud800\udcff",
]
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 2**70, 10**300, 0.5, -0.0, 1e-300,
    1e300, float("nan"), float("inf"), "", " ", "a" * 400, "a" * 100_000, "0", "1e5", "null",
    "#+12345", "#0_0_00", "#\uff11\uff12\uff13\uff14\uff15\uff16", "#12345", "red", "../../x", "/",
    "a\0b", "~nobody/x", "=1+1", "<img src=x>", "$\\frac{", "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe", "\ud800", [], {}, [[]], [None], [0, 0], [1, 2, 3], {"": {}}, {"a": 1}, NESTED,
    HUGE,
]  # fmt: skip


def changed(value: Any, chance: random.Random) -> str:
    """JSON text of a value with one to three of its parts changed, or of its characters."""
    copy = json.loads(json.dumps(value))
    for _ in range(chance.randint(1, 3)):
        copy = _change(copy, chance)
    text = json.dumps(copy).replace(f'"{HUGE}"', chance.choice(("1e400", "-1e999", "9" * 5000)))
    if chance.random() < 0.2:
        text = harness.mutated(text.encode(), chance).decode("utf-8", "replace")
    return text


def _change(value: Any, chance: random.Random) -> Any:
    places = list(_places(value, ()))
    if not places:
        return chance.choice(ODD)
    # Shallow places as often as the many deep ones.
    depth = chance.choice(sorted({len(place) for place in places}))
    place = chance.choice([each for each in places if len(each) == depth])
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    key, old = place[-1], holder[place[-1]]
    kind = chance.randrange(6)
    if kind == 0 and isinstance(holder, dict):
        del holder[key]
    elif kind == 0:
        holder.append(old)
    elif kind == 1 and isinstance(old, str):
        at = chance.randint(0, len(old))
        holder[key] = old[:at] + chance.choice(CONTROLS) + old[at:]
    elif kind == 1 and isinstance(old, list) and old:
        holder[key] = old * chance.choice((2, 3000))
    elif kind == 2 and isinstance(old, (int, float)):
        holder[key] = chance.choice((-old, old + 1, old * 1e9, old * 10**12, str(old), [old]))
    elif kind == 3 and isinstance(holder, dict):
        holder[chance.choice(["", "x", "\x1b", "\ud800", *map(str, holder)])] = old
    else:
        holder[key] = chance.choice(ODD)
    return value


def _places(value: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where each part lies, as keys; of a long list its first ones only."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = list(enumerate(value))[:20]
    for key, part in items:
        yield (*above, key)
        if len(above) < 8:
            yield from _places(part, (*above, key))


def told(work: Any) -> int:
    """Run a piece of work as a command is run: its sentence on stderr, and its status."""
    import sys

    from napari_sem_classify.core.common.errors import SemClassifyError

    try:
        work()
    except SemClassifyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
