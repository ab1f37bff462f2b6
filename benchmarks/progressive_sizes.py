"""Small sizes first against the full size throughout: time and score, as many samples seen.

    python benchmarks/progressive_sizes.py --sizes 64 128 224 --epochs 3

Cathode tiles (NCM), split by place in the strip as in finetune_compare.py; the default recipe.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from finetune_compare import POOLS, drawn

from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import make_preset


def main() -> None:
    """Print both ways for every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument("--epochs", type=int, default=3, help="at every size")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    largest, total = max(chosen.sizes), chosen.epochs * len(chosen.sizes)
    ways = {
        "sizes one after the other": (chosen.sizes, chosen.epochs),
        "largest size throughout": ([largest], total),
    }
    make, cut, most = POOLS["ncm"]
    pool = make(chosen.data)
    for seed in chosen.seeds:
        data, split = drawn(pool, cut(pool, seed), most, seed)
        for name, (sizes, epochs) in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            result = fine_tune(
                data,
                split,
                FineTuneOptions(
                    make_preset("sem", sizes=sizes, epochs=epochs),
                    device=chosen.device,
                    seed=seed,
                    batch_size=chosen.batch,
                ),
            )
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            held = result.held_out
            found = score(held.truth, held.probabilities.argmax(axis=1), len(data.class_names))
            print(
                f"seed {seed} | {name} | {sizes}, {epochs} epochs each | accuracy "
                f"{found.accuracy:.3f} | macro-F1 {found.macro_f1:.3f} | {processor:.0f} processor "
                f"s | {clock:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
