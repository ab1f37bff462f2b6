"""Do the faster backends keep the classes? A taught model on real images, against float32.

    python benchmarks/agreement.py --model M.safetensors IMAGE... [--tile PX]

For each backend and arithmetic: the share of tiles with the class that torch gives in float32, the
largest difference of a probability, the relative error of the features (mean and largest), and
processor time per tile. 8-bit arithmetic sets its ranges on a part of the tiles, as ``classify
--dtype int8`` does, and is told here whatever its agreement. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from napari_sem_classify.core.classify import int8, int8_memory
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.network.engine.devices import cpu_has_bfloat16, has_openvino
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tile", type=int)
    options = parser.parse_args()
    classifier = load_model(options.model)
    card = classifier.card
    images = [open_image(path) for path in options.images]
    pairs = [
        (image, ClassifyOptions(tile_px=options.tile).grid_for(image, card).grid)
        for image in images
    ]
    settings = [("torch", "float32")]
    half = ["bfloat16"] if cpu_has_bfloat16() else []
    settings += [("torch", dtype) for dtype in half]
    if has_openvino():
        settings += [("openvino", dtype) for dtype in ("float32", *half, "int8")]
    truth = labels = None
    for backend, dtype in settings:
        if dtype == "int8":
            int8_memory.LEAST_AGREEMENT = 0.0
            engine = int8.int8_engine(classifier, [PlaneTiles(*pair) for pair in pairs])
        else:
            engine = make_engine(
                network_px=card.network_px,
                stages=card.stages,
                backbone_id=card.backbone_id,
                trunk=classifier.trunk,
                device="cpu",
                backend=backend,
                dtype=dtype,
            )
        start = time.process_time()
        features = [
            embed_image(PlaneTiles(image, grid), engine, card.intensity) for image, grid in pairs
        ]
        cpu_s = time.process_time() - start
        found = np.concatenate(features)
        found = found[~np.isnan(found[:, 0])]
        mine = classifier.head.probabilities(found, card.temperature)
        if truth is None:
            truth, labels = found, mine
        error = np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1)
        row = {
            "backend": backend,
            "dtype": dtype,
            "tiles": len(found),
            "same_class": float((mine.argmax(axis=1) == labels.argmax(axis=1)).mean()),
            "largest_difference": float(np.abs(mine - labels).max()),
            "features_error_mean": float(error.mean()),
            "features_error_largest": float(error.max()),
            "cpu_ms_per_tile": round(1e3 * cpu_s / len(found), 2),
            "load": round(os.getloadavg()[0], 1),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
