"""Class folders of small generated images whose grain tells the class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def grains(rows: int, cols: int, grain_px: int, seed: int) -> np.ndarray:
    """Noise in square grains of `grain_px`."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(rows // grain_px + 1, cols // grain_px + 1))
    structure = np.kron(coarse, np.ones((grain_px, grain_px)))[:rows, :cols]
    return np.clip(128 + 40 * structure, 1, 255).astype(np.uint8)


def write_classes(
    folder: Path, counts: dict[str, int], shape: tuple[int, int] = (48, 64), seed: int = 0
) -> Path:
    """A folder of class folders; grains of 2, 5, 8, 11 px in turn."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture = grains(*shape, 2 + 3 * (number % 4), 10_000 * seed + 100 * number + index)
            Image.fromarray(picture).save(folder / name / f"{name}-{index}.png")
    return folder
