"""Spoilt images, bombs and what is no file, given to ``info``, ``classify`` and the map reader.

Each has to end soon, within the memory that may be used, with success or with one sentence.
"""

from __future__ import annotations

import random
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.attacks import harness, hostile_images, image_bombs, inputs
from benchmarks.attacks.harness import Ran, Tally

MOST_SECONDS = 20.0
# Small files have no reason to take more, whatever the computer has.
MOST_MB = 400.0


def main() -> None:
    """Print the counts."""
    parser = harness.options(__doc__ or "", 500)
    parser.add_argument("--classify-times", type=int, default=150, help="images for classify")
    parser.add_argument("--keep", type=Path, help="folder for a copy of each file that was lost")
    asked = parser.parse_args()
    with harness.workplace() as place:
        harness.warm_up()
        # In processes of their own: what was held once would count in all forks.
        for kind, write in (
            ("good", hostile_images.write_good_images),
            ("bombs", image_bombs.write_bombs),
        ):
            made = harness.run(partial(write, place / kind), 600)
            if made.status:
                sys.exit(f"The images cannot be written: {made.err}")
        good, bombs = (sorted((place / kind).iterdir()) for kind in ("good", "bombs"))
        print(f"{len(good)} good images, {len(bombs)} bombs; seed {asked.seed}", flush=True)
        harness.print_table(_tallies(asked, place, good, bombs))


def _tallies(asked: Namespace, place: Path, good: list[Path], bombs: list[Path]) -> Iterator[Tally]:
    def spoilt(kind: str, times: int, among: list[Path]) -> Iterator[Path]:
        for number in range(times):
            chance = random.Random(f"{asked.seed} {kind} {number}")
            folder = place / f"spoilt {number}"
            folder.mkdir()
            yield hostile_images.spoilt(chance.choice(among), folder, chance)
            shutil.rmtree(folder, ignore_errors=True)

    def row(kind: str, paths: Iterable[Path], work: Callable[[Path], Any]) -> Iterator[Tally]:
        if asked.only in kind:
            yield _attack(kind, paths, work, asked.keep)

    def info(path: Path) -> list[Any]:
        return ["info", path]

    maps = [path for path in good if path.name.endswith(".map.tif")]
    yield from row("info, good images", good, info)
    yield from row("info, bombs", bombs, info)
    yield from row("info, spoilt images", spoilt("info", asked.times, good), info)
    times = asked.times // 5
    yield from row("reading a map, spoilt maps", spoilt("map", times, maps), _map_reader)
    if "classify" not in asked.only and asked.only not in "classify, spoilt images, bombs":
        return
    harness.warm_up(network=True)
    model = inputs.taught_model(place)

    def classify(path: Path) -> list[Any]:
        shutil.rmtree(place / "out", ignore_errors=True)
        asked = ("--tile", inputs.TILE, "--out", place / "out", *inputs.ON_CPU)
        return ["classify", path, "--model", model, *asked]

    yield from row("classify, good images", good, classify)
    yield from row("classify, bombs", bombs, classify)
    many = spoilt("classify", asked.classify_times, good)
    yield from row("classify, spoilt images", many, classify)


def _attack(
    kind: str, paths: Iterable[Path], work: Callable[[Path], Any], keep: Path | None
) -> Tally:
    tally = Tally(kind)
    base = harness.run(lambda: 0).peak_mb
    most_mb, slowest, succeeded = 0.0, 0.0, 0
    for path in paths:
        ran = harness.run(work(path), MOST_SECONDS)
        wrong = _faults(ran, base)
        tally.count(wrong, path.name)
        if wrong and keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            _copy(path, keep / f"{len(tally.lost)} {path.name}")
        most_mb, slowest = max(most_mb, ran.peak_mb - base), max(slowest, ran.seconds)
        succeeded += ran.status == 0
    print(
        f"    {kind}: {succeeded} succeeded; at most {most_mb:.0f} MB and {slowest:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return tally


def _faults(ran: Ran, base_mb: float) -> list[str]:
    wrong = harness.faults(ran, sentences=None)
    if ran.peak_mb - base_mb > MOST_MB:
        wrong.append(f"took {ran.peak_mb - base_mb:.0f} MB")
    return wrong


def _map_reader(path: Path) -> Callable[[], int]:
    def read() -> int:
        from napari_sem_classify.core.common.errors import SemClassifyError
        from napari_sem_classify.core.maps.map_file import read_map

        try:
            read_map(path)
        except SemClassifyError as error:
            print(error, file=sys.stderr)
            return 1
        return 0

    return read


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target, symlinks=True, ignore=shutil.ignore_patterns("c", "0*"))
    elif path.is_file():
        shutil.copy(path, target)


if __name__ == "__main__":
    main()
