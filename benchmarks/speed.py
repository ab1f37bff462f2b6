"""Tiles per second beside how others do it: ``python benchmarks/speed.py [IMAGE] [--model M]``.

Prints one JSON object. The program's own part is `run_benchmark`; fastai's `get_preds` runs on the
same tiles, in float32 at 224 px.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.benchmark.plain_loop import PLAIN_LOOP_BATCH, PLAIN_LOOP_PX
from napari_sem_classify.core.benchmark.speed import BenchmarkOptions, run_benchmark


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--network", type=int, default=224)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--dtype", default="auto", help="int8 needs --model")
    parser.add_argument("--dense", action="store_true", help="time dense maps too")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--others", action="store_true", help="run fastai's get_preds too")
    options = parser.parse_args()

    image = classifier = None
    if options.image:
        from napari_sem_classify.core.sem_io import open_image

        image = open_image(options.image)
    if options.model:
        from napari_sem_classify.core.model.catalogue import load_model

        classifier = load_model(options.model)
    wanted = BenchmarkOptions(
        options.tile,
        options.network,
        device=options.device,
        backend=options.backend,
        dtype=options.dtype,
        dense=options.dense,
        repeats=options.repeats,
        seconds=options.seconds,
    )
    result = run_benchmark(image, wanted, classifier=classifier)
    if options.others:
        tiles = _tiles(image, options.tile, 4 * PLAIN_LOOP_BATCH)
        result["fastai_get_preds_tiles_per_s"] = fastai_rate(tiles)
    json.dump(result, sys.stdout, indent=2)
    print()


def fastai_rate(tiles: np.ndarray) -> float:
    """`Learner.get_preds` with a test `DataLoader`, as fastai's tutorials do it."""
    import torch

    from napari_sem_classify.core.network.backbone import load_backbone
    from napari_sem_classify.core.network.torchvision_compat import import_torchvision

    import_torchvision()
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        Learner,
        PILImage,
        Resize,
        noop,
    )

    block = DataBlock(
        blocks=(ImageBlock(PILImage), CategoryBlock(vocab=["a", "b", "c"])),
        get_x=lambda number: np.stack([tiles[number]] * 3, axis=-1),
        get_y=lambda number: "abc"[number % 3],
        splitter=lambda items: (list(range(len(items))), list(range(len(items)))),
        item_tfms=Resize(PLAIN_LOOP_PX),
    )
    loaders = block.dataloaders(list(range(len(tiles))), bs=PLAIN_LOOP_BATCH, num_workers=0)
    network = torch.nn.Sequential(load_backbone(), torch.nn.Linear(2048, 3))
    learner = Learner(loaders, network, loss_func=torch.nn.CrossEntropyLoss(), metrics=noop)
    with learner.no_bar(), learner.no_logging():
        start = time.perf_counter()
        learner.get_preds(dl=loaders.valid)
    return round(len(tiles) / (time.perf_counter() - start), 2)


def _tiles(image: Any, tile_px: int, count: int) -> np.ndarray:
    if image is None:
        return np.random.default_rng(0).integers(0, 256, (count, tile_px, tile_px), np.uint8)
    from napari_sem_classify.core.image.intensity import (
        IntensityRecipe,
        measure_range,
        stretch_to_uint8,
    )
    from napari_sem_classify.core.tiles.grid import TileGrid

    grid = TileGrid(image.area, tile_px, tile_px)
    intensity = measure_range(image, IntensityRecipe())
    windows = [window for window, _ in zip(grid.windows(), range(count), strict=False)]
    return np.stack([stretch_to_uint8(image.read(window), intensity) for window in windows])


if __name__ == "__main__":
    main()
