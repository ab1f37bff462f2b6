"""Outlines on images whose masks are binary, and beside a forest that learns from pixels.

Spheroidite (AMPIS) and shale: one image at a time is left out, tiles of the others teach a plain
head. The forest is taught with as many labelled pixels as tiles taught the head, a click each, on
the looks that outlines use; of coatings and superalloys specimens are left out.

    python benchmarks/outlines_more.py [--what spheroidite shale forest_super2 forest_ebc2]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from outlines import map_of, mean_iou, outlined, smooth, squares, true_tiles
from tile_sets import nasa_pairs, whole_grid

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRecipe, measure_range
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.outlines.lattice import Lattice
from napari_sem_classify.core.outlines.looks import looks
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head
from napari_sem_classify.core.teach.looked import Sight, look

TWO = (ClassInfo("ground", "#1f77b4"), ClassInfo("phase", "#ff7f0e"))


def binary_pairs(name: str, data: Path) -> Iterator[tuple[SemImage, NDArray[np.uint8]]]:
    """Images and masks of 0 and 1."""
    from PIL import Image

    if name == "spheroidite":
        pairs = [
            (path, data / "ampis/spheroidite/masks" / path.name)
            for path in sorted((data / "ampis/spheroidite/images").glob("*.png"))
        ]
    else:
        pairs = [
            (path, data / "shale/Masks" / path.name.replace("run1_", "run1_MASK_"))
            for path in sorted((data / "shale/Images").glob("*.tif"))[::8]
        ]
    for path, mask in pairs:
        with Image.open(mask) as file:
            yield open_image(path), (np.array(file) > 0).astype(np.uint8)


def binary_study(name: str, data: Path, tile: int = 32) -> None:
    """Print squares, interpolated, outlines and outlines of true tiles."""
    pairs = list(binary_pairs(name, data))
    engine = make_engine(network_px=128)
    seen, labels = [], []
    for image, mask in pairs:
        grid = whole_grid(image, tile)
        found = look(
            Sight(image.name, image.with_area(grid.area), grid), Recipe(network_px=128), engine
        )
        seen.append(found.features.astype(np.float32))
        labels.append(tiles_from_mask(mask, grid, {0: "ground", 1: "phase"}).labels.ravel())
    table = []
    for held, (image, mask) in enumerate(pairs):
        others = [n for n in range(len(pairs)) if n != held]
        x = np.concatenate([seen[n] for n in others])
        y = np.concatenate([labels[n] for n in others])
        groups = np.concatenate([np.full(len(labels[n]), n) for n in others])
        known = y >= 0
        taught = teach_head(x[known], y[known], ("ground", "phase"), FitOptions(groups[known]))
        grid = whole_grid(image, tile)
        tiles = taught.head.probabilities(seen[held]).reshape(*grid.tile_shape, 2)
        image = image.with_area(grid.area)
        made = map_of(image, grid, tiles, TWO)
        best = replace(made, probabilities=true_tiles(mask, grid, 2))
        shown = squares(made), smooth(made), outlined(made, image), outlined(best, image)
        table.append([mean_iou(each, mask, 2) for each in shown])
        print(f"{image.name} | " + " | ".join(f"{v:.3f}" for v in table[-1]), flush=True)
    print(f"{name} mean of {len(table)} | " + " | ".join(f"{v:.3f}" for v in np.mean(table, 0)))


def forest_study(name: str, data: Path, clicks: int) -> None:
    """Print what a forest on pixels reaches with so many clicks a class."""
    from sklearn.ensemble import RandomForestClassifier

    frames = []
    for image, mask, specimen in nasa_pairs(data, name.rstrip("23")):
        area = Area(0, image.shape[0], 0, image.shape[1])
        lattice = Lattice.over(area, 64, 8)
        block = Area(0, lattice.shape[0], 0, lattice.shape[1])
        reach = measure_range(image, IntensityRecipe())
        grey, square, _ = lattice.read(image, (), block, 0, reach)
        frames.append((looks(grey, square, lattice), mask, specimen, image.name))
    generator, table = np.random.default_rng(0), []
    for seen, mask, specimen, title in frames:
        x, y = [], []
        for number in (0, 1):
            every = [
                (other, each)
                for other, (_, m, s, _) in enumerate(frames)
                if s != specimen
                for each in np.argwhere(m[1::2, 1::2] == number)[::97]
            ]
            for at in generator.choice(len(every), min(clicks, len(every)), replace=False):
                other, (row, col) = every[at]
                x.append(frames[other][0][row, col])
                y.append(number)
        forest = RandomForestClassifier(100, class_weight="balanced", random_state=0, n_jobs=1)
        forest.fit(np.array(x), np.array(y))
        found = forest.predict(seen.reshape(-1, seen.shape[-1])).reshape(seen.shape[:2])
        table.append(mean_iou(np.kron(found, np.ones((2, 2), int)), mask, 2))
        print(f"{title} | {table[-1]:.3f}", flush=True)
    print(f"{name} forest, {clicks} clicks a class, mean of {len(table)} | {np.mean(table):.3f}")


def main() -> None:
    """Run the studies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["spheroidite", "shale", "forest_super2", "forest_ebc2"]
    parser.add_argument("--what", nargs="+", default=names, choices=names)
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    wish = parser.parse_args()
    for name in wish.what:
        if name.startswith("forest_"):
            forest_study(name.removeprefix("forest_"), wish.data, wish.clicks)
        else:
            binary_study(name, wish.data)


if __name__ == "__main__":
    main()
