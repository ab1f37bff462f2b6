"""All that fine-tuning has to show, on one GPU in less than ten minutes.

    python benchmarks/gpu_finetune.py                 the whole
    python benchmarks/gpu_finetune.py --steps A,E     only some of the steps
    python benchmarks/gpu_finetune.py --tiny          rehearses every step on a CPU, in small

A  cathodes, 12 classes, 224 px tiles of rows 130 to 893, by place: 5-NN, texture forest, frozen
   heads, the article's recipe with all its epochs, the default; three seeds
B  coatings, 3 classes, 64 px tiles, by specimen: the same
C  progressive sizes against the largest alone, as many tile pixels seen, 224 px tiles
D  each kind of change of the tiles alone, and left out
E  the kept network with knobs of the microscope turned, beside the fitted head
Each is a process of its own with a time limit, so that one that hangs costs only itself. Rows of
A to D are printed by the scripts that they come from. Needs ../shared/data, or --data.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_sem_classify.core.evaluate.dataset_split import Split
    from napari_sem_classify.core.evaluate.training_set import TrainingSet
    from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
    from napari_sem_classify.core.finetune.finetune_result import FineTuned
    from napari_sem_classify.core.finetune.finetune_run import Run

HERE = Path(__file__).parent
SEEDS, SIZES = ["0", "1", "2"], ["64", "128", "224"]


@dataclass(frozen=True, slots=True)
class Step:
    """One script: what it is called with, on a GPU and in miniature, and how long it may take."""

    script: str
    arguments: tuple[str, ...]
    tiny: tuple[str, ...]
    limit_s: float


ARTICLE = ("--article-sizes", *SIZES, "--article-epochs", "15")
SMALL = ("--seeds", "0", "--sizes", "32", "40", "--epochs", "1")
SMALL_ARTICLE = ("--article-sizes", "32", "40", "--article-epochs", "2", "--most", "4", "3", "3")

STEPS = {
    "A": Step(
        "finetune_compare.py",
        ("ncm", "--tile", "224", "--most", "24", "12", "40", "--seeds", *SEEDS, *ARTICLE),
        ("ncm", "--tile", "64", *SMALL, *SMALL_ARTICLE),
        230,
    ),
    "B": Step(
        "finetune_compare.py",
        ("ebc", "--most", "400", "48", "100", "--seeds", *SEEDS, *ARTICLE),
        ("ebc", *SMALL, *SMALL_ARTICLE),
        130,
    ),
    "C": Step(
        "progressive_sizes.py",
        ("--tile", "224", "--sizes", *SIZES, "--most", "24", "12", "40", "--seeds", *SEEDS),
        ("--tile", "64", "--most", "3", "3", "3", *SMALL),
        60,
    ),
    "D": Step(
        "augmentations.py",
        ("ncm", "ebc", "--seeds", "3", "--sizes", "64", "128"),
        ("ebc", "--seeds", "3", "--sizes", "32", "--epochs", "1", "--ways", "defocus_px alone"),
        90,
    ),
    "E": Step(
        "gpu_finetune.py",
        ("--knobs", "ncm", "ebc", "--most", "24", "12", "40"),
        ("--knobs", "ebc", "--most", "4", "3", "3", *SMALL),
        80,
    ),
}
TINY_TIMES = 4.0


def knobs(chosen: argparse.Namespace) -> None:
    """Train the default, and score what is kept and the fitted head with knobs turned."""
    import numpy as np
    from finetune_compare import POOLS, drawn
    from knob import KNOBS

    from napari_sem_classify.core.evaluate.metrics import score
    from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
    from napari_sem_classify.core.finetune.finetune_presets import make_preset

    ways = (None, *(name for name in KNOBS))
    print("| set, seed | network | " + " | ".join(name or "as it is" for name in ways) + " |")
    for name in chosen.knobs:
        make, cut, _ = POOLS[name]
        pools = [make(chosen.data, knob=way) for way in ways]
        for seed in chosen.seeds:
            # Named by their number in the pool, so that the same tiles are found in the others.
            numbered = replace(pools[0], groups=np.arange(len(pools[0].labels)).astype(str))
            data, split = drawn(numbered, cut(pools[0], seed), tuple(chosen.most), seed)
            mine = np.array([int(data.groups[image]) for image in split.test])
            tiles = np.concatenate([pool.tiles[mine] for pool in pools])
            preset = make_preset(
                "sem", tile_px=pools[0].tile_px, sizes=chosen.sizes, epochs=chosen.epochs
            )
            options = FineTuneOptions(preset, device=chosen.device, seed=seed)
            none = tuple(replace(stage, epochs_unfrozen=0) for stage in preset.stages[-1:])
            fitted = replace(options, preset=replace(preset, stages=none, average=False))
            for title, how in (("fitted head", fitted), ("default", options)):
                said = _said(data, split, how, tiles)
                truth = data.labels[split.test]
                found = [
                    score(truth, each, len(data.class_names)).macro_f1
                    for each in np.split(said, len(ways))
                ]
                worst = found[0] - min(found)
                cells = " | ".join(f"{value:.3f}" for value in found)
                print(f"| {name}, {seed} | {title} | {cells} | worst loss {worst:.3f}", flush=True)


def _said(
    data: TrainingSet, split: Split, options: FineTuneOptions, tiles: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Classes that the network which is kept says of some tiles."""
    import numpy as np
    import torch

    from napari_sem_classify.core.common.job import Reporter
    from napari_sem_classify.core.finetune.finetune import _Training
    from napari_sem_classify.core.finetune.finetune_data import (
        PlainBatches,
        TrainingTiles,
        Units,
    )
    from napari_sem_classify.core.finetune.finetune_look import predict

    class Kept(_Training):
        """Says at its end what the kept weights make of further tiles."""

        said: NDArray[np.int64]

        def _finish(self, run: Run) -> FineTuned:
            index = np.arange(len(tiles))
            units = Units(np.zeros_like(index), index, index, np.ones_like(index))
            store = TrainingTiles(tiles, self.device)
            batches = PlainBatches(store, units, run.best_size, 64)
            logits = predict(self.model, batches, Reporter(len(index), "", None))
            self.said = logits.argmax(dim=1).cpu().numpy()
            return super()._finish(run)

    torch.manual_seed(options.seed)
    training = Kept(data, split, options, torch.device(options.device))
    training.run(None, None, None)
    return training.said


def main() -> None:
    """Run the steps one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="on a CPU, in small")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--device")
    parser.add_argument("--knobs", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--most", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.device = chosen.device or ("cpu" if chosen.tiny else "cuda")
    if chosen.knobs:
        knobs(chosen)
        return
    begun, failed = time.perf_counter(), []
    for name in chosen.steps.split(","):
        step = STEPS[name]
        limit = step.limit_s * (TINY_TIMES if chosen.tiny else 1.0)
        arguments = step.tiny if chosen.tiny else step.arguments
        print(
            f"step {name}, at most {limit:.0f} s: {step.script} {' '.join(arguments)}", flush=True
        )
        command = [sys.executable, "-u", str(HERE / step.script), *arguments]
        command += ["--data", str(chosen.data), "--device", chosen.device]
        try:
            state = f"ended with {subprocess.run(command, timeout=limit, check=False).returncode}"
        except subprocess.TimeoutExpired:
            state = "ran out of its time"
        failed += [name] * (state != "ended with 0")
        print(f"step {name} {state}; {time.perf_counter() - begun:.0f} s in all", flush=True)
    if failed:
        raise SystemExit(f"not done: steps {', '.join(failed)}")


if __name__ == "__main__":
    main()
