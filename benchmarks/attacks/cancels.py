"""Jobs that are asked to stop at random moments.

    python -m benchmarks.attacks.cancels [--times 100] [--seed 0] [--only TEXT]

Survived: the job ends within some seconds of the wish, says that it was stopped (or was done
already), leaves no temporary file and nothing half-written, and the user's own files as they were;
after a further run that nobody stops the results are those of a run that was left alone.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.attacks import harness, inputs, kills
from benchmarks.attacks.harness import Process, Tally, faults, run

STOPPED = 130
PATIENCE_S = 10.0
"""Most seconds from the wish to the end; a batch of tiles takes less, also on a busy computer."""


def stop_often(target: kills.Target, place: Path, times: int, chance: random.Random) -> Tally:
    """Stop a command as Ctrl+C does, which cancels its job, each time in a new folder."""
    tally = Tally(f"cancel, {target.kind}")
    whole = place / "whole"
    inputs.place_own_files(whole)
    first = run(target.work(whole), target.seconds)
    if wrong := faults(first, 0):
        tally.count(wrong, "not stopped")
        return tally
    expected = inputs.results(whole)
    for number in range(times):
        out = place / f"out-{number}"
        before = inputs.place_own_files(out)
        moment = chance.uniform(0.0, first.seconds)
        process = Process(target.work(out))
        ended, waited = process.signal_after(moment, signal.SIGINT, PATIENCE_S)
        wrong = inputs.own_files_lost(out, before) + inputs.leftovers(out, resumable=True)
        if ended.late:
            wrong.append(f"no end {waited:.0f} s after the wish")
        elif ended.status == STOPPED:
            wrong += _half_written(out, before, expected, target)
        else:
            wrong += faults(ended, 0)
        wrong += faults(run(target.work(out), target.seconds), 0)
        wrong += inputs.differences(inputs.results(out), expected) + inputs.leftovers(out)
        tally.count(wrong, f"after {moment:.3f} s")
        shutil.rmtree(out)
    shutil.rmtree(whole)
    return tally


def _half_written(
    out: Path, before: dict[str, str], expected: dict[str, str], target: kills.Target
) -> list[str]:
    """Files of a stopped run that are not as they are at the end; a training keeps its best."""
    if target.kind == "train":
        return []
    found = {n: told for n, told in inputs.results(out).items() if n not in before}
    wrong = [name for name, told in found.items() if told != expected.get(name)]
    return [f"half-written: {', '.join(wrong)}"] if wrong else []


def targets(place: Path) -> list[kills.Target]:
    """Five commands; each hands its work a job that Ctrl+C cancels."""
    by_kind = {each.kind: each for each in kills.targets(place)}
    images = sorted((place / "images").glob("*.png"))

    def tile(out: Path) -> Any:
        return ["tile", *images, "--out", out, "--tile", "32", "--stride", "8"]

    chosen = [by_kind[kind] for kind in ("classify", "batch", "teach", "train")]
    return [*chosen, kills.Target("tile", tile)]


def attacks(times: int, seed: int, only: str) -> Iterator[Tally]:
    """A tally for each kind of job."""
    with harness.workplace() as place:
        harness.warm_up(network=True)
        all_targets = targets(place)
        for target in all_targets:
            if only in target.kind:
                chance = random.Random(f"{seed} {target.kind}")
                each = max(1, times // len(all_targets))
                yield stop_often(target, place / f"cancel-{target.kind}", each, chance)


if __name__ == "__main__":
    asked = harness.options(__doc__, times=100).parse_args()
    harness.print_table(attacks(asked.times, asked.seed, asked.only))
