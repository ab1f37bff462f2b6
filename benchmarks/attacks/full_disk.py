"""Every command that writes, on a disk that is full and into a folder that is read-only.

    python -m benchmarks.attacks.full_disk [--times 4] [--seed 0] [--only TEXT]

Each command runs well once. Then it is to write again, other things into the same folder, and the
system refuses: files beyond a size (1 kB first, room for its own messages), on Linux as root also a
real disk with as little room, and a folder that may not be written. Survived: one sentence and
status 1, the files of the first run as they were, no temporary file left; or, where what it needs
fits, status 0. Given room again, the same command ends well.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attacks import harness, inputs
from benchmarks.attacks.harness import Tally, faults, run

HIDDEN = (".sem-classify-record.jsonl", "classified.jsonl")
"""Notes of what was written: a line may be added before the disk is full."""


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes
    ----------
    first, again : callable
        Arguments for the folder; `again` writes other content.
    """

    name: str
    first: Callable[[Path], Any]
    again: Callable[[Path], list[Any]]


def in_turn(*several: list[Any]) -> Callable[[], int]:
    """Commands one after the other, as far as they end well."""

    def work() -> int:
        for arguments in several:
            try:
                harness.command(arguments)
            except SystemExit as end:
                if end.code:
                    raise
        return 0

    return work


def commands(place: Path) -> list[Command]:
    """Every command that writes files where the user says."""
    model = inputs.taught_model(place)
    images = inputs.write_images(place / "images", 2)
    folders = inputs.write_class_folders(place / "set")
    known = inputs.write_class_folders(place / "known", 4, ("matrix", "oxide"))
    asked = ("--model", model, *inputs.ON_CPU, "--no-cache")
    maps, labels = place / "maps", place / "images" / "labels"
    record = maps / f"{images[0].stem}.summary.json"
    if wrong := faults(run(["classify", *images, "--out", maps, *asked]), 0):
        raise RuntimeError(wrong)
    kinds = "tiles,map,geojson,regions,ome-zarr,figure,fractions,report"
    size = ("--sizes", "32", "--device", "cpu", "--batch", "8")

    def model_in(out: Path) -> Path:
        return out / "m.safetensors"

    def review(out: Path) -> Path:
        return out / "r.json"

    def start(out: Path, *more: str) -> list[Any]:
        return ["review", "start", maps, "--out", review(out), "--pictures", out / "p", *more]

    def answer(out: Path) -> list[Any]:
        truth = [part for path in images for part in ("--truth", labels / path.name)]
        return ["review", "answer", review(out), maps, *truth, "--classes", inputs.CLASSES]

    def classify(out: Path, *more: str) -> list[Any]:
        return ["classify", *images, "--out", out, *asked, "--report", *more]

    def teach(out: Path, *more: str) -> list[Any]:
        return inputs.teach_arguments(images, model_in(out), *more)

    def train(out: Path, *more: str) -> list[Any]:
        return ["train", folders, "--out", model_in(out), *size, *more]

    return [
        Command("classify", classify, lambda out: classify(out, "--stride", "16")),
        Command(
            "tile",
            lambda out: ["tile", *images, "--out", out, "--tile", "64"],
            lambda out: ["tile", *images, "--out", out, "--tile", "48", "--format", "png"],
        ),
        Command(
            "export",
            lambda out: ["export", maps, "--out", out, "--as", "geojson,figure"],
            lambda out: ["export", maps, "--out", out, "--as", kinds],
        ),
        Command(
            "rerun",
            lambda out: ["rerun", record, "--out", out],
            lambda out: ["rerun", record, "--out", out, "--device", "cpu"],
        ),
        Command(
            "review start",
            lambda out: start(out / "first", "--cells", "20"),
            lambda out: start(out / "second", "--cells", "30"),
        ),
        Command(
            "review extend",
            lambda out: in_turn(start(out, "--cells", "20"), answer(out)),
            lambda out: ["review", "extend", review(out), maps, "--precision", "5"],
        ),
        Command("teach", teach, lambda out: teach(out, "--stride", "16")),
        Command(
            "train",
            lambda out: train(out, "--epochs", "1"),
            lambda out: train(out, "--epochs", "2", "--seed", "1"),
        ),
        Command(
            "evaluate",
            lambda out: ["evaluate", known, "--model", model, "--out", out, *inputs.ON_CPU],
            lambda out: ["evaluate", known, "--model", model, "--out", out, "--tile", "32"],
        ),
    ]


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of its own in memory, of so many kilobytes."""
    folder.mkdir()
    sized = f"size={max(4, kilobytes)}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", sized, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write in a folder and below; for root, who may write anywhere, by the system."""
    if os.geteuid() == 0:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
        return
    inside = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in inside:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path in inside:
            path.chmod(0o755)


def may_mount() -> bool:
    """Whether disks can be made here."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    try:
        with harness.workplace() as place, small_disk(place / "disk", 8):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def judge(command: Command, out: Path, ended: harness.Ran, before: dict[str, str]) -> list[str]:
    """What is wrong after a run that was refused."""
    wrong = faults(ended, 0, 1, sentences=None if command.name == "train" else 1)
    if command.name == "train" and ended.status == 1:
        wrong = [fault for fault in wrong if "held-out accuracy" not in fault]
    wrong += inputs.leftovers(out)
    if ended.status:
        now = harness.contents(out, HIDDEN)
        lost = [name for name, content in before.items() if now.get(name) != content]
        if command.name == "classify":  # an image that is done is done: see `_done_again`
            lost = [name for name in lost if name not in now]
        more = sorted(name for name in now.keys() - before.keys() if now[name])
        wrong += [f"lost or changed: {', '.join(lost)}"] if lost else []
        if command.name in ("teach", "train", "review start", "evaluate", "rerun") and more:
            wrong.append(f"half-written: {', '.join(more)}")
    return wrong


def _done_again(
    command: Command, out: Path, before: dict[str, str], ended: harness.Ran
) -> list[str]:
    """What is wrong when there is room again; images that were done meanwhile are as they end."""
    if command.name == "review start" and not ended.status:
        return []  # a review that is there is never begun anew
    now = harness.contents(out, HIDDEN)
    changed = {name for name, content in before.items() if now.get(name) != content}
    done = inputs.results(out)
    wrong = faults(run(command.again(out)), 0)
    if command.name == "classify":
        ends = inputs.results(out)
        halves = [name for name in changed & done.keys() if ends.get(name) != done[name]]
        wrong += [f"half-written: {', '.join(sorted(halves))}"] if halves else []
    return wrong


def too_large(command: Command, place: Path, times: int, chance: random.Random) -> Tally:
    """Files beyond a size are refused."""
    tally = Tally(f"no file beyond a size, {command.name}")
    for number in range(times):
        out = place / f"large-{number}"
        out.mkdir(parents=True)
        if wrong := faults(run(command.first(out)), 0):
            tally.count(wrong, "with room")
            return tally
        before = harness.contents(out, HIDDEN)
        kilobytes = 1 if number == 0 else int(2 ** chance.uniform(0.0, 9.0))
        ended = run(command.again(out), file_kilobytes=kilobytes)
        wrong = judge(command, out, ended, before)
        wrong += _done_again(command, out, before, ended)
        tally.count(wrong, f"{kilobytes} kB a file")
        shutil.rmtree(out)
    return tally


def full(command: Command, place: Path, times: int, chance: random.Random) -> Tally:
    """A real disk has less room than is needed."""
    tally = Tally(f"full disk, {command.name}")
    for number in range(times):
        with small_disk(place / f"full-{number}", 64_000) as disk:
            out = disk / "out"
            out.mkdir()
            if wrong := faults(run(command.first(out)), 0):
                tally.count(wrong, "with room")
                return tally
            before = harness.contents(out, HIDDEN)
            state = os.statvfs(disk)
            leave = 0 if number == 0 else int(2 ** chance.uniform(12.0, 19.0))
            filler = disk / "filler"
            filler.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - leave)))
            ended = run(command.again(out))
            wrong = judge(command, out, ended, before)
            filler.unlink()
            wrong += _done_again(command, out, before, ended)
            tally.count(wrong, f"{leave} bytes left")
    return tally


def refused(command: Command, place: Path) -> Tally:
    """The folder may not be written."""
    tally = Tally(f"read-only, {command.name}")
    out = place / "read-only"
    out.mkdir(parents=True)
    if wrong := faults(run(command.first(out)), 0):
        tally.count(wrong, "with rights")
        return tally
    before = harness.contents(out)
    with read_only(out):
        ended = run(command.again(out))
    wrong = faults(ended, 1)
    wrong += [] if harness.contents(out) == before else ["the folder is not as it was"]
    tally.count(wrong)
    shutil.rmtree(out)
    return tally


def attacks(times: int, seed: int, only: str) -> Iterator[Tally]:
    """A tally for each command and way."""
    mounts = may_mount()
    if not mounts:
        print("No disk can be mounted here: files are limited in size instead.", file=sys.stderr)
    with harness.workplace() as place:
        harness.warm_up(network=True)
        for command in commands(place):
            if only not in command.name:
                continue
            inside = place / command.name
            chance = random.Random(f"{seed} {command.name}")
            yield too_large(command, inside, times, chance)
            if mounts:
                yield full(command, inside, times, chance)
            if mounts or os.geteuid() != 0:
                yield refused(command, inside)


if __name__ == "__main__":
    asked = harness.options(__doc__, times=4).parse_args()
    harness.print_table(attacks(asked.times, asked.seed, asked.only))
