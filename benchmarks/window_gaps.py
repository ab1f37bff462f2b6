"""How long the window stands still in each step of a walk through the program, on the sample.

    python -m benchmarks.window_gaps [--where SECONDS] [--to STEP] [--json FILE] [--bare] [--first]

A timer of 10 ms ticks in the window's event loop; the longest pauses between its ticks tell what a
user would feel. The walk: an empty viewer, the docks, the sample, a map, its review, a figure, a
model taught by the brush, a saved model, a batch. Each step has its worst pause and the 99th
percentile; ``--where`` also tells what the main thread did in pauses with more work than that. A
display is needed (``xvfb-run -a`` without). Run it on a quiet machine: the load is told with the
figures. ``own_work_s`` is the longest processor time of the main thread between two ticks, which
other programs do not stretch, ``sweep_s`` the longest sweep of Python's memory, of itself or as
napari asks for with each layer that goes. A step that fails is told, and the walk goes on.
``--bare`` walks through napari itself instead, with layers of the same sizes and nothing of this
program: what drawing costs on the machine. The display driver keeps the programs that it compiled
from one start to the next; ``--first`` walks as if napari had never been started on this computer.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.walk import BARE_STEPS, STEPS, BareWalk, Walk

TICK_MS = 10
LOOK_S = 0.004
SMALL = 0.08
Seen = list[tuple[float, list[str]]]
GOAL_S = 0.2


class Ticks:
    """Times of the timer's ticks, by step, and what went on in long pauses."""

    def __init__(self, where_s: float) -> None:
        from qtpy.QtCore import QTimer

        self.step = ""
        self.pauses: dict[str, list[float]] = {}
        self.work: dict[str, list[float]] = {}
        self.found: list[str] = []
        self._seen: Seen = []
        self._last, self._last_work = time.perf_counter(), time.thread_time()
        self._where = where_s
        self._main = threading.get_ident()
        self._timer = QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        self.sweep: dict[str, float] = {}
        self._sweep_since = 0.0
        gc.callbacks.append(self._on_sweep)
        if where_s:
            threading.Thread(target=self._watch, daemon=True).start()

    def _tick(self) -> None:
        now, work = time.perf_counter(), time.thread_time()
        self.pauses.setdefault(self.step, []).append(now - self._last)
        self.work.setdefault(self.step, []).append(work - self._last_work)
        seen, self._seen = self._seen, []
        if self._where and work - self._last_work > self._where:
            self.found.append(_told(self.step, work - self._last_work, seen))
        self._last, self._last_work = time.perf_counter(), time.thread_time()

    def _on_sweep(self, phase: str, about: dict[str, int]) -> None:
        """Python sweeps its memory: of itself, or as napari asks with each layer that goes."""
        if phase == "start":
            self._sweep_since = time.perf_counter()
        elif about["generation"] == 2:
            took = time.perf_counter() - self._sweep_since
            self.sweep[self.step] = max(took, self.sweep.get(self.step, 0.0))

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_S)
            frame = sys._current_frames().get(self._main)
            if frame is None:
                return
            # Quickly, and no frame is kept: with it would live what its function holds, and a
            # painter that outlives its paint event ends the program.
            places = []
            while frame is not None:
                code, frame = frame.f_code, frame.f_back
                places.append((code.co_filename, code.co_name))
            names = [f"{'/'.join(Path(file).parts[-2:])}:{name}" for file, name in places[::-1]]
            self._seen.append((time.perf_counter(), list(dict.fromkeys(names))))


def _told(step: str, work: float, seen: Seen) -> str:
    """What a pause went to: functions with their share of it, callers before callees."""
    counts: Counter[str] = Counter()
    # Drawing lets no other thread look: what is seen counts until the next look.
    for (at, places), (until, _) in pairwise(seen):
        counts.update({place: round(1e6 * (until - at)) for place in places})
    most = max(counts.values(), default=0)
    lines = [
        f"    {count / most:4.0%} {place}"
        for place, count in counts.most_common(60)
        if SMALL * most <= count < most
    ]
    return "\n".join([f"{step}: {work:.2f} s", *lines])


def main() -> None:
    """Walk and print a line a step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--where", type=float, default=0.0, help="tell of pauses with more work")
    parser.add_argument("--to", default="", help="the last step, for a shorter walk")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--bare", action="store_true", help="napari alone")
    parser.add_argument("--first", action="store_true", help="the driver has compiled nothing yet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        drawn = Path.home() / ".cache" / "mesa_shader_cache"
        os.environ["MESA_SHADER_CACHE_DIR"] = str(folder / "drawn" if options.first else drawn)
        # Annotations, models and caches of the user stay out of the walk.
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            os.environ[name] = str(folder / "home")
        result, ticks = _walk(folder, options)
    for told in ticks.found:
        print(told, file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # a viewer with threads under way would take its time


def _walk(folder: Path, options: argparse.Namespace) -> tuple[dict[str, Any], Ticks]:
    walk: Walk = BareWalk(folder) if options.bare else Walk(folder)
    steps: tuple[Callable[..., None], ...] = BARE_STEPS if options.bare else STEPS
    walk.rest(2.0)
    ticks = Ticks(options.where)
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "steps": {},
    }
    heads = ("seconds", "worst s", "p99 s", "own s", "sweep s", "> .2 s")
    print(f"{'step':<26}" + "".join(f"{head:>9}" for head in heads))
    for step in steps:
        name = step.__name__.replace("_", " ")
        ticks.step = name
        start, problem = time.perf_counter(), ""
        try:
            step(walk)
            walk.rest(0.05)  # the pause under way belongs to this step
        except Exception as error:  # the walk goes on
            problem = f"{type(error).__name__}: {error}"
        pauses = ticks.pauses.get(name, [0.0])
        row = {
            "seconds": round(time.perf_counter() - start, 2),
            "worst_s": round(max(pauses), 3),
            "p99_s": round(float(np.quantile(pauses, 0.99)), 3),
            "own_work_s": round(max(ticks.work.get(name, [0.0])), 3),
            "sweep_s": round(ticks.sweep.get(name, 0.0), 3),
            "over_goal": sum(pause > GOAL_S for pause in pauses),
            "problem": problem,
        }
        result["steps"][name] = row
        keys = ("seconds", "worst_s", "p99_s", "own_work_s", "sweep_s", "over_goal")
        print(f"{name:<26}" + "".join(f"{row[key]:>9}" for key in keys), problem)
        if options.to and options.to in name:
            break
    result["load_after"] = round(os.getloadavg()[0], 2)
    print(f"{result['cores']} cores, load {result['load_before']} to {result['load_after']}")
    return result, ticks


if __name__ == "__main__":
    main()
