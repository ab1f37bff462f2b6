"""Runs killed with SIGKILL at random moments, each then started again.

    python -m benchmarks.attacks.kills [--times 30] [--seed 0] [--only TEXT]

Survived: the second run ends well, its results are bit for bit those of a run that nobody killed,
no temporary file is left, and the user's own files are as they were.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attacks import harness, inputs
from benchmarks.attacks.harness import Process, Tally, faults, run

IMAGES = 4


@dataclass(frozen=True)
class Target:
    """What is killed.

    Attributes
    ----------
    work : callable
        Arguments of a command, or a function, that writes into the folder given.
    expected : callable, optional
        What is wrong with a folder after the second run; by default, results are compared with
        those of a run that nobody killed.
    leaves : callable
        What the second run left behind that it should have removed.
    close_enough : str
        Ending of files that are compared by others alone.
    """

    kind: str
    work: Callable[[Path], Any]
    seconds: float = 120.0
    expected: Callable[[Path], list[str]] | None = None
    leaves: Callable[[Path], list[str]] = inputs.leftovers
    close_enough: str = "none"


def kill_often(target: Target, place: Path, times: int, chance: random.Random) -> Tally:
    """Kill and start again, each time in a new folder."""
    tally = Tally(f"kill -9, {target.kind}")
    whole = place / "whole"
    inputs.place_own_files(whole)
    first = run(target.work(whole), target.seconds)
    if wrong := faults(first, 0):
        tally.count(wrong, "without a kill")
        return tally

    def exact(out: Path) -> dict[str, str]:
        found = inputs.results(out).items()
        return {name: told for name, told in found if not name.endswith(target.close_enough)}

    expected = exact(whole)
    too_late = 0
    while tally.tried < times and too_late < 10 * times:
        out = place / f"out-{tally.tried}-{too_late}"
        before = inputs.place_own_files(out)
        moment = chance.uniform(0.0, first.seconds)
        killed = Process(target.work(out))
        if not killed.kill_after(moment):
            too_late += 1
        else:
            again = run(target.work(out), target.seconds)
            wrong = faults(again, 0) + inputs.own_files_lost(out, before) + target.leaves(out)
            if target.expected is None:
                wrong += inputs.differences(exact(out), expected)
            else:
                wrong += target.expected(out)
            tally.count(wrong, f"after {moment:.3f} s")
        shutil.rmtree(out)
    shutil.rmtree(whole)
    return tally


def targets(place: Path) -> list[Target]:
    """All that is killed."""
    model = inputs.taught_model(place)
    images = inputs.write_images(place / "images", IMAGES)
    folders = inputs.write_class_folders(place / "set")
    asked = ("--model", model, *inputs.ON_CPU)
    also = ("--also", "geojson,regions,ome-zarr", "--report")
    size = ("--sizes", "32,48", "--epochs", "1", "--device", "cpu", "--batch", "8")
    return [
        Target("classify", lambda out: ["classify", *images, "--out", out, *asked, "--no-cache"]),
        Target(
            "batch", lambda out: ["classify", *images, "--out", out, *asked, "--no-cache", *also]
        ),
        Target(
            "cache",
            lambda out: with_own_cache(["classify", *images, "--out", out, *asked, "--again"], out),
            leaves=lambda out: inputs.leftovers(out) + inputs.leftovers(cache_of(out)),
            close_enough=".map.tif",  # other batches round the last bit otherwise
        ),
        Target("teach", lambda out: inputs.teach_arguments(images, out / "m.safetensors")),
        Target(
            "train",
            lambda out: keeping_each_epoch(
                ["train", folders, "--out", out / "m.safetensors", *size]
            ),
        ),
        Target("annotations", lambda out: lambda: paint(images[0], out), expected=painted),
    ]


def cache_of(out: Path) -> Path:
    """The cache of one attack."""
    return out.with_name(f"cache-{out.name}")


def with_own_cache(arguments: list[Any], out: Path) -> Callable[[], int]:
    """A command that finds in its cache only what an earlier run into the same folder left."""

    def work() -> int:
        os.environ["XDG_CACHE_HOME"] = str(cache_of(out))
        return harness.command(arguments)

    return work


def keeping_each_epoch(arguments: list[Any]) -> Callable[[], int]:
    """A training that is kept after each epoch, however short."""

    def work() -> int:
        from napari_sem_classify.core.finetune import finetune_learner

        finetune_learner.CHECKPOINT_EVERY_S = 0.0
        return harness.command(arguments)

    return work


STROKES = 40


def paint(image: Path, out: Path, numbers: range = range(STROKES)) -> None:
    """Annotate tiles one by one beside a copy of the image, each saved at once."""
    from napari_sem_classify.core.annotate.annotation_set import Annotations
    from napari_sem_classify.core.annotate.keeper import Keeper, find_kept
    from napari_sem_classify.core.sem_io import open_image

    copy = out / "copy.png"
    if not copy.is_file():
        part = out / f"copy-{os.getpid()}"
        shutil.copyfile(image, part)
        part.replace(copy)
    opened = open_image(copy)
    kept = find_kept(opened)
    keeper = Keeper()
    keeper.opened(kept)
    known = kept.annotations or Annotations()
    if "oxide" not in known.class_names:
        known = known.with_class("oxide")
    known = known.with_image(opened, kept.key)
    done = set(known.of(kept.key).marks)
    for number in numbers:
        place = (32 * (number // 8), 32 * (number % 8), 32)
        if place in done:
            continue
        known = known.with_marks(kept.key, [place], "oxide")
        keeper.save(known)
        keeper.flush()
    if keeper.problem:
        raise RuntimeError(keeper.problem)


def painted(out: Path) -> list[str]:
    """Whether every stroke is in the file."""
    from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations

    found = load_annotations(beside(out / "copy.png")).counts().get("oxide", 0)
    return [] if found == STROKES else [f"{found} of {STROKES} strokes"]


def attacks(times: int, seed: int, only: str) -> Iterator[Tally]:
    """A tally for each kind of run."""
    with harness.workplace() as place:
        harness.warm_up(network=True)
        for target in targets(place):
            if only in target.kind:
                chance = random.Random(f"{seed} {target.kind}")
                yield kill_often(target, place / f"kill-{target.kind}", times, chance)


if __name__ == "__main__":
    asked = harness.options(__doc__, times=30).parse_args()
    harness.print_table(attacks(asked.times, asked.seed, asked.only))
