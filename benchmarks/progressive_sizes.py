"""Small sizes first against the full size throughout: time and score, as many tile pixels seen.

    python benchmarks/progressive_sizes.py --tile 128 --seeds 0

Cathode tiles (NCM), split by place in the strip as in finetune_compare.py. The sizes are those of
the default recipe for such tiles; the one size is the last of them, for as many epochs as cost the
same pixels. Beside the model that is kept, the last epoch's score on the tiles that choose is told.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from finetune_compare import POOLS, drawn

from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import Preset, make_preset


def one_size(preset: Preset) -> Preset:
    """Give the last size alone, with as many pixels of tiles as all sizes together."""
    last = preset.stages[-1]
    pixels = sum(stage.epochs * stage.size**2 for stage in preset.stages)
    epochs = round(pixels / last.size**2)
    return replace(preset, stages=(replace(last, epochs_unfrozen=epochs),))


def main() -> None:
    """Print both ways for every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--epochs", type=int, help="at every size")
    parser.add_argument("--most", type=int, nargs=3, default=[16, 12, 40])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    rising = make_preset("sem", tile_px=chosen.tile, sizes=chosen.sizes, epochs=chosen.epochs)
    ways = {"sizes one after the other": rising, "largest size throughout": one_size(rising)}
    make, cut, _ = POOLS["ncm"]
    pool = make(chosen.data, chosen.tile)
    for seed in chosen.seeds:
        data, split = drawn(pool, cut(pool, seed), tuple(chosen.most), seed)
        for name, preset in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            options = FineTuneOptions(preset, device=chosen.device, seed=seed)
            result = fine_tune(data, split, options)
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            held = result.held_out
            found = score(held.truth, held.probabilities.argmax(axis=1), len(data.class_names))
            trained = [each for each in result.history if each.phase == "all layers"]
            stages = ", ".join(f"{stage.epochs} at {stage.size} px" for stage in preset.stages)
            print(
                f"seed {seed} | {name} | epochs {stages} | kept: macro-F1 {found.macro_f1:.3f}, "
                f"accuracy {found.accuracy:.3f} | last epoch, on what chooses: macro-F1 "
                f"{trained[-1].macro_f1:.3f} | {processor:.0f} processor s | {clock:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
