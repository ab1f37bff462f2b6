"""Peak memory of ``classify`` on a generated 40,000 × 40,000 zarr of 1.6 GB.

    python benchmarks/memory_zarr.py [--side 40000] [--chunk 4096] [--tile 512] [--stride 512]
        [--dense]

The image is made chunk by chunk in a process of its own, then ``napari-sem-classify classify`` runs
on it in another one, and the operating system tells that one's largest resident size: interpreter,
libraries, network and results included (Linux and macOS; processes that torch starts to compile
are not in it). The same on a zarr of four tiles tells what interpreter, libraries and network take
by themselves: the difference is what the size of the image costs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Make the image and the model, run, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=40_000, help="rows and columns of the image")
    parser.add_argument("--chunk", type=int, default=4096, help="rows and columns of its chunks")
    parser.add_argument("--tile", type=int, default=512, help="tile in px")
    parser.add_argument("--stride", type=int, help="stride in px; the tile where not given")
    parser.add_argument("--dense", action="store_true", help="make a dense map")
    parser.add_argument("--folder", type=Path, help="keep the files here and use them again")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_inputs(options.make, options.side, options.chunk, options.tile)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "made").is_file():
            sizes = ["--side", str(options.side), "--chunk", str(options.chunk)]
            sizes += ["--tile", str(options.tile)]
            subprocess.run([sys.executable, __file__, *sizes, "--make", str(folder)], check=True)
        extra = ["--dense"] if options.dense else []
        stride = options.stride or (None if options.dense else options.tile)
        small = measure(folder, "small", options.tile, stride, extra)
        large = measure(folder, "image", options.tile, stride, extra)
        own = small["peak_memory_mb"]
        result = {**large, "peak_memory_of_four_tiles_mb": own}
        result["peak_over_that_mb"] = large["peak_memory_mb"] - own
        print(json.dumps(result, indent=2))


def make_inputs(folder: Path, side: int, chunk: int, tile: int) -> None:
    """Write ``image.zarr`` (two materials and noise, no info bar) and ``model.safetensors``."""
    import zarr

    from napari_sem_classify.core.model.card import ClassInfo, ModelCard
    from napari_sem_classify.core.model.file import save_model
    from napari_sem_classify.core.model.head import Head, TileClassifier
    from napari_sem_classify.core.network.backbone import (
        DEFAULT_BACKBONE,
        backbone_info,
        backbone_sha256,
    )

    rng = np.random.default_rng(0)
    image = zarr.create_array(
        folder / "image.zarr", shape=(side, side), chunks=(chunk, chunk), dtype="uint8"
    )
    noise = rng.integers(0, 24, (256, chunk), dtype=np.uint8)
    noise = np.tile(noise, (-(-chunk // 256), 1))[:chunk]
    for top in range(0, side, chunk):
        for left in range(0, side, chunk):
            blobs = rng.integers(0, 2, (-(-chunk // 64),) * 2, dtype=np.uint8) * 90 + 60
            block = np.kron(blobs, np.ones((64, 64), np.uint8))[:chunk, :chunk] + noise
            rows, cols = min(chunk, side - top), min(chunk, side - left)
            image[top : top + rows, left : left + cols] = block[:rows, :cols]
    small = zarr.create_array(
        folder / "small.zarr", shape=(2 * tile,) * 2, chunks=(2 * tile,) * 2, dtype="uint8"
    )
    small[:] = rng.integers(1, 255, small.shape, dtype=np.uint8)
    features = backbone_info().architecture.feature_size((2, 3, 4))
    card = ModelCard(
        name="memory benchmark",
        classes=tuple(ClassInfo(name, "#999999") for name in ("one", "two", "three")),
        tile_px=512,
        network_px=128,
        pixel_size_nm=None,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256=backbone_sha256(),
    )
    head = Head(
        mean=np.zeros(features, np.float32),
        scale=np.ones(features, np.float32),
        weight=rng.normal(size=(3, features)).astype(np.float32),
        bias=np.zeros(3, np.float32),
    )
    save_model(folder / "model.safetensors", TileClassifier(card, head))
    (folder / "made").write_text(f"{side} {chunk}\n", encoding="utf-8")


def measure(
    folder: Path, name: str, tile: int, stride: int | None, extra: list[str]
) -> dict[str, Any]:
    """Run ``classify`` on an image in `folder` and tell its peak resident memory."""
    command = [sys.executable, "-m", "napari_sem_classify", "classify"]
    command += [str(folder / f"{name}.zarr"), "--model", str(folder / "model.safetensors")]
    command += ["--out", str(folder / "out"), "--tile", str(tile), "--again", "--no-cache", *extra]
    command += [] if stride is None else ["--stride", str(stride)]
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"classify ended with status {os.waitstatus_to_exitcode(status)}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    summary = json.loads((folder / "out" / f"{name}.summary.json").read_text(encoding="utf-8"))
    return {
        "image": summary["shape"],
        "tile_px": tile,
        "stride_px": summary["grid"]["stride_px"],
        "tiles": summary["grid"]["tiles"],
        "peak_memory_mb": round(peak / 1e6),
        "seconds": round(seconds, 1),
        "engine": summary["record"]["engine"],
    }


if __name__ == "__main__":
    main()
