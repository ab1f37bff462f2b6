"""Each kind of change of the tiles alone, and left out: what it brings where nothing was learned.

    python benchmarks/augmentations.py ebc ncm --seeds 3 4 --epochs 8

Splits as in finetune_compare.py, other specimens or places being scored. What counts is the network
at the end of its training, whatever would be kept: as the scored tiles are, and each with one knob
of the microscope turned.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from finetune_compare import POOLS, drawn
from knob import KNOBS
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.augmentation import KINDS, Augmentation, changed, only
from napari_sem_classify.core.finetune.finetune import _Training
from napari_sem_classify.core.finetune.finetune_data import PlainBatches, TrainingTiles, Units
from napari_sem_classify.core.finetune.finetune_look import predict
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import Preset, make_preset
from napari_sem_classify.core.finetune.finetune_run import Run

MOST = {"ebc": (64, 4, 60), "ncm": (16, 4, 20)}
"""Tiles of a class to learn from, to choose and to score."""


class Ended(_Training):
    """Ends with the weights of the last epoch, and says what they say of further tiles."""

    tiles: NDArray[np.uint8]
    said: NDArray[np.int64]

    def _after_the_last_epoch(self, run: Run) -> None:
        index = np.arange(len(self.tiles))
        units = Units(np.zeros_like(index), index, index, np.ones_like(index))
        store = TrainingTiles(self.tiles, self.device)
        batches = PlainBatches(store, units, self.preset.stages[-1].size, 64)
        logits = predict(self.model, batches, Reporter(len(index), "", None))
        self.said = logits.argmax(dim=1).numpy()
        super()._after_the_last_epoch(run)


def ways_of(usual: Augmentation) -> dict[str, Augmentation]:
    """Nothing, everything, each kind alone, and everything but one kind."""
    strong = changed(
        usual, {kind.name: kind.usual for kind in KINDS if kind.name != "rotation_deg"}
    )
    names = [kind.name for kind in KINDS if kind.name != "rotation_deg"]
    ways = {"nothing": Augmentation(), "the preset's": usual, "everything": strong}
    ways |= {f"{name} alone": only(strong, name) for name in names}
    return ways | {f"without {name}": changed(strong, {name: 0.0}) for name in names}


def trained(
    data: TrainingSet,
    split: Split,
    tiles: NDArray[np.uint8],
    preset: Preset,
    seed: int,
    device: str,
) -> NDArray[np.int64]:
    """Classes that a network says of some tiles at the end of its training."""
    torch.manual_seed(seed)
    training = Ended(data, split, FineTuneOptions(preset, device, seed), torch.device(device))
    training.tiles = tiles
    training.run(None, None, None)
    return training.said


def main() -> None:
    """Print a row for each way, set and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", choices=list(MOST))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[3])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--ways", nargs="*", help="Some of them; all where none is named.")
    parser.add_argument("--device", default="cpu")
    wish = parser.parse_args()
    usual = replace(make_preset("sem", sizes=wish.sizes, epochs=wish.epochs), average=False)
    print("| set, seed | tiles are changed by | macro-F1, as is | knob turned | processor s |")
    for name in wish.sets:
        make, cut, _ = POOLS[name]
        pools = [make(wish.data, knob=knob) for knob in (None, *KNOBS)]
        for seed in wish.seeds:
            parts = cut(pools[0], seed)
            numbered = replace(pools[0], groups=np.arange(len(pools[0].labels)).astype(str))
            data, split = drawn(numbered, parts, MOST[name], seed)
            mine = np.array([int(data.groups[image]) for image in split.test])
            turns = 1 + np.arange(len(mine)) % len(KNOBS)
            turned = [pools[turn].tiles[n] for turn, n in zip(turns, mine, strict=True)]
            tiles = np.concatenate([pools[0].tiles[mine], turned])
            truth = data.labels[split.test]
            for way, augmentation in ways_of(usual.augmentation).items():
                if wish.ways and way not in wish.ways:
                    continue
                begun = time.process_time()
                preset = replace(usual, augmentation=augmentation)
                said = trained(data, split, tiles, preset, seed, wish.device)
                found = [
                    score(truth, each, len(data.class_names)).macro_f1 for each in np.split(said, 2)
                ]
                print(
                    f"| {name}, {seed} | {way} | {found[0]:.3f} | {found[1]:.3f} | "
                    f"{time.process_time() - begun:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
