"""Two processes at the same work at the same time.

    python -m benchmarks.attacks.two_at_once [--times 10] [--seed 0] [--only TEXT]

Survived: each ends well or says in one sentence that another run is at work, at least one ends
well, and when both have been run once more, one after the other, the results are those of runs that
were alone.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attacks import harness, inputs, kills
from benchmarks.attacks.harness import Process, Tally, faults, run

BUSY = "Another run of this program"


@dataclass(frozen=True)
class Pair:
    """Two pieces of work that write into one folder.

    Attributes
    ----------
    first, second : callable
        Arguments of a command, or a function, for the folder.
    """

    kind: str
    first: Callable[[Path], Any]
    second: Callable[[Path], Any]
    expected: Callable[[Path], list[str]] | None = None
    busy_is_right: bool = True


def meet(pair: Pair, place: Path, times: int, chance: random.Random) -> Tally:
    """Start both at nearly the same moment, each time in a new folder."""
    tally = Tally(f"two at once, {pair.kind}")
    alone = place / "alone"
    alone.mkdir(parents=True)
    for work in (pair.first, pair.second):
        if wrong := faults(run(work(alone)), 0):
            tally.count(wrong, "one after the other")
            return tally
    expected = sorted(inputs.results(alone).values())
    for number in range(times):
        out = place / f"out-{number}"
        before = inputs.place_own_files(out)
        own = len(inputs.results(out))
        both = [Process(pair.first(out))]
        time.sleep(chance.uniform(0.0, 0.3))
        both.append(Process(pair.second(out)))
        ended = [each.wait() for each in both]
        wrong = [fault for each in ended for fault in faults(each, 0, 1)]
        busy = [each for each in ended if each.status == 1]
        wrong += [f"not busy ({each.err!r})" for each in busy if BUSY not in each.err]
        if len(busy) == 2 or (busy and not pair.busy_is_right):
            wrong.append(f"{len(busy)} of two were turned away")
        for work in (pair.first, pair.second):
            wrong += faults(run(work(out)), 0)
        if pair.expected is not None:
            wrong += pair.expected(out)
        else:
            mine = [inputs.results(out)[name] for name in sorted(inputs.results(out))]
            if len(mine) != len(expected) + own or set(expected) - set(mine):
                wrong.append("other results than alone")
        wrong += inputs.own_files_lost(out, before) + inputs.leftovers(out)
        tally.count(wrong, f"round {number + 1}")
        shutil.rmtree(out)
    return tally


def pairs(place: Path) -> list[Pair]:
    """All that meets."""
    model = inputs.taught_model(place)
    images = inputs.write_images(place / "images", 3)
    same_names = inputs.write_images(place / "others", 3, rows=160)
    folders = inputs.write_class_folders(place / "set")
    asked = ("--model", model, *inputs.ON_CPU)

    def classify(paths: list[Path], *more: str) -> Callable[[Path], Any]:
        return lambda out: ["classify", *paths, "--out", out, *asked, *more]

    def tile(out: Path) -> list[Any]:
        return ["tile", *images, "--out", out, "--tile", "64"]

    def teach(out: Path) -> list[str]:
        return inputs.teach_arguments(images, out / "m.safetensors")

    def train(out: Path) -> Any:
        size = ("--sizes", "32", "--epochs", "1", "--device", "cpu", "--batch", "8")
        return kills.keeping_each_epoch(["train", folders, "--out", out / "m.safetensors", *size])

    def in_own_folder(name: str) -> Callable[[Path], Any]:
        return lambda out: ["classify", *images, "--out", out / name, *asked]

    def paint(odd: int) -> Callable[[Path], Any]:
        return lambda out: lambda: kills.paint(images[0], out, range(odd, kills.STROKES, 2))

    return [
        Pair("same folder", classify(images, "--no-cache"), classify(images, "--no-cache")),
        Pair("same names", classify(images, "--no-cache"), classify(same_names, "--no-cache")),
        Pair(
            "same cache", in_own_folder("a"), in_own_folder("b"), nothing_more, busy_is_right=False
        ),
        Pair("same tiles", tile, tile),
        Pair("same model, teach", teach, teach, busy_is_right=False),
        Pair("same model, train", train, train, busy_is_right=False),
        Pair("same annotations", paint(0), paint(1), kills.painted, busy_is_right=False),
    ]


def nothing_more(out: Path) -> list[str]:
    """Whether two folders hold the same results."""
    return inputs.differences(inputs.results(out / "a"), inputs.results(out / "b"))


def attacks(times: int, seed: int, only: str) -> Iterator[Tally]:
    """A tally for each kind of meeting."""
    with harness.workplace() as place:
        harness.warm_up(network=True)
        for pair in pairs(place):
            if only in pair.kind:
                chance = random.Random(f"{seed} {pair.kind}")
                yield meet(pair, place / f"two-{pair.kind}", times, chance)


if __name__ == "__main__":
    asked = harness.options(__doc__, times=10).parse_args()
    harness.print_table(attacks(asked.times, asked.seed, asked.only))
