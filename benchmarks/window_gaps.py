"""How long the window stands still while Classify gets ready and runs on the generated sample.

    python benchmarks/window_gaps.py [--where SECONDS] [--tile PX] [--overlap PERCENT]

A timer of 10 ms ticks in the window's event loop; the longest pauses between its ticks tell what a
user would feel. The pauses are told for each phase: the form is opened, the model gets ready (torch
is loaded and a few tiles are timed), the map appears and fills, and the two seconds after.
``--where`` also tells what the main thread did in pauses longer than that. A display is needed
(``xvfb-run -a`` without). Run it on a quiet machine: the load is told with the figures.
``worst_own_work_s`` is the longest processor time of the main thread between two ticks, which other
programs do not stretch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

TICK_MS = 10
LIMIT_S = 300


class Ticks:
    """Times of the timer's ticks, by phase, and what went on in long pauses."""

    def __init__(self, where_s: float) -> None:
        from qtpy.QtCore import QTimer

        self.phase = "start"
        self.pauses: dict[str, list[float]] = {}
        self.work: dict[str, list[float]] = {}
        self.found: dict[str, Counter[str]] = {}
        self._last, self._last_work = time.perf_counter(), time.thread_time()
        self._where = where_s
        self._main = threading.get_ident()
        self._timer = QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        if where_s:
            threading.Thread(target=self._watch, daemon=True).start()

    def _tick(self) -> None:
        now, work = time.perf_counter(), time.thread_time()
        self.pauses.setdefault(self.phase, []).append(now - self._last)
        self.work.setdefault(self.phase, []).append(work - self._last_work)
        self._last, self._last_work = now, work

    def _watch(self) -> None:
        while True:
            time.sleep(0.02)
            if time.perf_counter() - self._last < self._where:
                continue
            frame = sys._current_frames().get(self._main)
            if frame is None:
                return
            stack = traceback.extract_stack(frame)
            places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in stack]
            ours = [p for f, p in zip(stack, places, strict=True) if "sem_classify" in f.filename]
            key = " < ".join([*reversed(places[-6:]), "...", *reversed(ours[-2:])])
            self.found.setdefault(self.phase, Counter())[key] += 1


def main() -> None:
    """Run and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--where", type=float, default=0.0, help="tell of pauses longer than this")
    parser.add_argument("--tile", type=int, help="tile in px; the model's where not given")
    parser.add_argument("--overlap", type=int, default=0, help="overlap in percent")
    options = parser.parse_args()

    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    application = QApplication.instance()
    viewer.open_sample("napari-sem-classify", "cross_section")

    def until(done: object, phase: str, ticks: Ticks) -> float:
        ticks.phase = phase
        start = time.perf_counter()
        while not done():  # type: ignore[operator]
            application.processEvents()
            time.sleep(0.0005)
            if time.perf_counter() - start > LIMIT_S:
                raise SystemExit(f"{phase}: not done after {LIMIT_S} s")
        return time.perf_counter() - start

    start = time.perf_counter()
    until(lambda: time.perf_counter() - start > 2, "", Ticks(0))
    load = os.getloadavg()[0]
    ticks = Ticks(options.where)
    ticks.phase = "form opens"
    seconds = {}
    form = viewer.window.add_plugin_dock_widget("napari-sem-classify", "Classify")[1].opened
    seconds["form opens"] = until(lambda: form.image_form.image is not None, "form opens", ticks)
    if options.tile:
        form.grid_form.tile_px.value = options.tile
    form.grid_form.overlap.value = options.overlap
    seconds["model gets ready"] = until(
        lambda: "about" in form.estimate.said, "model gets ready", ticks
    )
    form.run_form.button.native.click()
    seconds["map fills"] = until(lambda: not form.busy, "map fills", ticks)
    end = time.perf_counter()
    seconds["after"] = until(lambda: time.perf_counter() - end > 2, "after", ticks)
    result = {
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "cores": os.cpu_count(),
        "tiles": form.estimate.said,
        "phases": {
            phase: {
                "seconds": round(seconds.get(phase, 0.0), 2),
                "worst_s": round(max(pauses), 3),
                "worst_own_work_s": round(max(ticks.work[phase]), 3),
                "p99_s": round(float(np.quantile(pauses, 0.99)), 3),
                "over_100_ms": sum(pause > 0.1 for pause in pauses),
            }
            for phase, pauses in ticks.pauses.items()
        },
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))
    for phase, places in ticks.found.items():
        for place, count in places.most_common(12):
            print(f"{phase}: {count * 0.02:.2f} s {place}", file=sys.stderr)
    viewer.close()


if __name__ == "__main__":
    main()
