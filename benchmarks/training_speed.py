"""How fast fine-tuning is beside the bare network on one batch that never changes.

    python benchmarks/training_speed.py --size 128                  share of the bare rate
    python benchmarks/training_speed.py --article-schedule --device cuda

The bare rate is forward, backward and optimiser step of the same network on a resident batch, in
the same run. On a CPU both take turns, batch by batch, and are told in processor time, which a busy
machine disturbs less; on a GPU whole epochs are timed. The article's schedule is extrapolated from
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

from napari_sem_classify.core.evaluate.dataset import ImageRecord, read_listing
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.set_reading import ImageFacts
from napari_sem_classify.core.evaluate.training_set import TrainingSet, make_training_set
from napari_sem_classify.core.finetune.finetune import _arithmetic, fine_tune
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import ARTICLE, Preset, Stage, make_preset
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.network.engine.devices import device_title, find_device

CLASSES = 10
ARTICLE_IMAGES = 18_577


def random_set(count: int, side: int) -> tuple[TrainingSet, Split]:
    """Tiles of noise; four of each class choose the best weights."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % CLASSES
    one = ImageFacts(ImageRecord(Path("noise"), 0), None, (side, side), None, (0, side, 0, side))
    data = TrainingSet(
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        images=(one,) * count,
        labels=labels,
        tiles=generator.integers(0, 256, (count, side, side), np.uint8),
        tile_image=np.arange(count),
        pairs=np.empty((0, 2), dtype=np.int64),
        tile_px=side,
        whole_images=True,
        recipe=IntensityRecipe(),
        crop=None,
        left_out={},
        notes=(),
        folder=Path("nowhere"),
    )
    few = 4 * CLASSES
    none = np.empty(0, dtype=np.int64)
    return data, Split(np.arange(few, count), np.arange(few), none, none, "noise", 0.0)


class BareStep:
    """The same network and optimiser on one batch on the device."""

    def __init__(self, preset: Preset, size: int, batch: int, device: Any) -> None:
        import torch

        from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
        from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE

        self.model = TrainedNetwork(
            DEFAULT_BACKBONE,
            CLASSES,
            stages=preset.pooled_stages,
            dropout=preset.dropout,
            fixed_norms=preset.fixed_norms,
            dtype=_arithmetic(device),
        ).to(device, memory_format=torch.channels_last)
        self.model.train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-6, fused=True)
        self.grey = torch.rand(batch, 1, size, size, device=device)
        self.label = torch.arange(batch, device=device) % CLASSES

    def __call__(self) -> None:
        """Forward, backward, step."""
        import torch

        loss = torch.nn.functional.cross_entropy(self.model(self.grey), self.label)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()


def taking_turns(size: int, batch: int, batches: int, device: Any) -> dict[str, Any]:
    """Processor time and clock of a batch of the training and of a bare one, turn by turn."""
    preset = replace(
        make_preset("sem", sizes=[size], epochs=1),
        head_first=False,
        average=False,
    )
    preset = replace(preset, augmentation=replace(preset.augmentation, smallest_crop=1.0))
    bare = BareStep(preset, size, batch, device)
    bare()
    data, split = random_set(batch * batches + 4 * CLASSES, size)
    real: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    last = [(0.0, 0.0)]

    def now() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()

    def after(_loss: float) -> None:
        begun = now()
        real.append((begun[0] - last[0][0], begun[1] - last[0][1]))
        bare()
        end = now()
        alone.append((end[0] - begun[0], end[1] - begun[1]))
        last[0] = now()

    options = FineTuneOptions(preset, str(device), batch_size=batch)
    fine_tune(data, split, options, on_batch=after)
    tiles = batch * (len(real) - 1)
    spent = np.sum(real[1:], axis=0), np.sum(alone[1:], axis=0)  # the first counts the start
    return {
        "size": size,
        "batch": batch,
        "tiles": tiles,
        "training_cpu_ms_per_tile": 1000 * spent[0][0] / tiles,
        "bare_cpu_ms_per_tile": 1000 * spent[1][0] / tiles,
        "share_of_bare_rate_cpu_time": spent[1][0] / spent[0][0],
        "share_of_bare_rate_clock": spent[1][1] / spent[0][1],
    }


def by_epochs(size: int, batch: int, batches: int, device: Any) -> dict[str, Any]:
    """Tiles per second of whole epochs, and of as many bare batches."""
    import torch

    preset = replace(make_preset("sem", sizes=[size], epochs=3), head_first=False, average=False)
    preset = replace(preset, augmentation=replace(preset.augmentation, smallest_crop=1.0))
    data, split = random_set(batch * batches + 4 * CLASSES, size)
    bare = BareStep(preset, size, batch, device)
    for _ in range(5):
        bare()
    torch.cuda.synchronize(device)
    begun = time.perf_counter()
    for _ in range(batches):
        bare()
    torch.cuda.synchronize(device)
    rate = batch * batches / (time.perf_counter() - begun)
    told: list[Any] = []
    options = FineTuneOptions(preset, str(device), batch_size=batch)
    fine_tune(data, split, options, on_epoch=told.append)
    training = len(split.train) / min(report.seconds for report in told[1:])
    return {
        "size": size,
        "batch": batch,
        "training_tiles_per_s": training,
        "bare_tiles_per_s": rate,
        "share_of_bare_rate_clock": training / rate,
    }


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
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--article-schedule", action="store_true")
    parser.add_argument("--images", type=int, default=ARTICLE_IMAGES)
    parser.add_argument("--jpegs", type=int, default=200)
    chosen = parser.parse_args()
    device = find_device(chosen.device)
    if chosen.article_schedule:
        result = article_schedule(chosen.images, device, chosen.jpegs)
    else:
        measure = by_epochs if device.type == "cuda" else taking_turns
        result = measure(chosen.size, chosen.batch, chosen.batches, device)
    json.dump({"device": device_title(device), **result}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
