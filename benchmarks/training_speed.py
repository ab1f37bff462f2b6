"""How fast fine-tuning is beside the bare network on one batch that never changes.

    python benchmarks/training_speed.py --size 128                  share of the bare rate
    python benchmarks/training_speed.py --article-schedule --device cuda

The share is that of ``benchmark --training``. The article's schedule is extrapolated from
one epoch of the head and one of all layers at each of its sizes, and from the decoding of some
JPEGs of 1024 × 768 px.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.benchmark.training import random_set, run_training_benchmark
from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import ARTICLE, Stage
from napari_sem_classify.core.network.engine.devices import device_title, find_device

ARTICLE_IMAGES = 18_577


def article_schedule(images: int, device: Any, jpegs: int) -> dict[str, Any]:
    """Minutes of the article's schedule on its number of images, from measured epochs."""
    stages = tuple(Stage(s.size, 1, 1, s.lr_frozen, s.lr_unfrozen) for s in ARTICLE.stages)
    data, split = random_set(images, 224)
    told: list[Any] = []
    preset = replace(ARTICLE, stages=stages)
    fine_tune(data, split, FineTuneOptions(preset, str(device)), on_epoch=told.append)
    scale = ARTICLE_IMAGES / images
    epochs = {f"{r.size} px, {r.phase}": scale * r.seconds for r in told}
    total = 0.0
    for stage in ARTICLE.stages:
        total += stage.epochs_frozen * epochs[f"{stage.size} px, head"]
        total += stage.epochs_unfrozen * epochs[f"{stage.size} px, all layers"]
    decoding = decoding_seconds(jpegs) * ARTICLE_IMAGES / jpegs
    return {
        "images_measured": images,
        "seconds_of_an_epoch": epochs,
        "decoding_minutes": decoding / 60,
        "training_minutes": total / 60,
        "all_minutes": (decoding + total) / 60,
    }


def decoding_seconds(count: int) -> float:
    """Seconds to make the tiles of some JPEGs of 1024 × 768 px."""
    from PIL import Image

    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            folder = Path(place) / "set" / f"class {number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(0, 256, (96, 128), np.uint8)
            picture = Image.fromarray(coarse).resize((1024, 768)).convert("RGB")
            picture.save(folder / f"L{number % 2}_{number}.jpg", quality=90)
        begun = time.perf_counter()
        made = make_training_set(read_listing(Path(place) / "set"), cache_folder=Path(place))
        spent = time.perf_counter() - begun
        made.discard()
    return spent


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--article-schedule", action="store_true")
    parser.add_argument("--images", type=int, default=ARTICLE_IMAGES)
    parser.add_argument("--jpegs", type=int, default=200)
    chosen = parser.parse_args()
    device = find_device(chosen.device)
    if chosen.article_schedule:
        result = article_schedule(chosen.images, device, chosen.jpegs)
    else:
        result = run_training_benchmark(chosen.size, chosen.device, chosen.seconds)
    json.dump({**result, "device": device_title(device)}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
