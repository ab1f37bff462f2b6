"""Outlines on images whose masks are binary, and beside a forest that learns from pixels.

Spheroidite (AMPIS) and shale: one image at a time is left out, tiles of the others teach a plain
head. The forest is taught with as many labelled pixels as tiles taught the head, a click each, on
the looks that outlines use; of coatings and superalloys specimens are left out. Cracks are those of
the coatings, by heads of other specimens, and those of the generated sample, by its true tiles.

    python benchmarks/outlines_more.py [--what spheroidite shale forest_super2 forest_ebc2 cracks]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from outlines import map_of, mean_iou, outlined, smooth, squares, true_tiles
from tile_sets import nasa_pairs, whole_grid
from transfer import draw, load, splits, teach

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRecipe, measure_range
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.model.surroundings import ALONE
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.outlines.lattice import Lattice
from napari_sem_classify.core.outlines.looks import looks
from napari_sem_classify.core.sample.cross_section import generate_cross_section
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head
from napari_sem_classify.core.teach.learn import tile_probabilities
from napari_sem_classify.core.teach.looked import Sight, look
from napari_sem_classify.core.tiles.grid import TileGrid

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


@dataclass(frozen=True, slots=True)
class Cracks:
    """What was drawn, and shares of truth, tiles and outlines, overlap, overlap within 2 px."""

    drawn: NDArray[np.bool_]
    figures: tuple[float, float, float, float, float]


def crack_row(class_map: ClassMap, image: SemImage, truth: NDArray[np.bool_]) -> Cracks:
    """Draw the outlines of a map whose class "crack" is one that tiles contain."""
    from scipy.ndimage import binary_dilation

    (number,) = (n for n, info in enumerate(class_map.classes) if info.contains is not None)
    found = outlined(class_map, image) == number
    near = np.ones((5, 5), np.bool_)
    right = (found & binary_dilation(truth, near)).sum()
    met = (truth & binary_dilation(found, near)).sum()
    both = max(right, met)
    overlap = (found & truth).sum() / max(1, (found | truth).sum())
    near_overlap = both / max(1, both + found.sum() - right + truth.sum() - met)
    tiles = class_map.fractions()[number].fraction
    return Cracks(found, (truth.mean(), tiles, found.mean(), overlap, near_overlap))


def true_presence(
    mask: NDArray[np.integer], grid: TileGrid, classes: int, crack: int
) -> NDArray[np.float32]:
    """Probabilities of tiles of which it is known whether 2 % of each are crack."""
    found = true_tiles(mask, grid, classes)
    for number, window in enumerate(grid.windows()):
        at = divmod(number, grid.tile_shape[1])
        part = mask[window.top : window.bottom, window.left : window.right] == crack
        found[at][crack] = 0.0
        share = 0.9 if part.mean() >= 0.02 else 0.02
        found[at] *= (1 - share) / found[at].sum()
        found[at][crack] = share
    return found


def crack_picture(
    pixels: NDArray[np.integer],
    truth: NDArray[np.bool_],
    found: NDArray[np.bool_],
    path: Path | str,
) -> None:
    """The image, and beside it what was drawn in orange and the mask in green, both in yellow."""
    from PIL import Image

    low, high = np.percentile(pixels, [1, 99])
    grey = np.clip((pixels - low) / (high - low), 0, 1) * 255
    plain = np.repeat(grey[..., None], 3, axis=2)
    shown = plain.copy()
    for mark, colour in (
        (truth, (0, 255, 0)),
        (found, (255, 90, 0)),
        (truth & found, (255, 255, 0)),
    ):
        shown[mark] = colour
    Image.fromarray(np.concatenate([plain, shown], axis=1).astype(np.uint8)).save(path)


def crack_study(data: Path, cache: Path) -> None:
    """Print the shares and overlaps of cracks, an image a line."""
    material = load("ebc3", data, cache)
    heads, lesson, table = {}, material.lesson, []
    for train, test in splits(material, "ebc3", 0):
        rows = train[draw(lesson.labels[train], 300, 0)]
        heads[str(material.specimens[test][0])] = teach(material, "ebc3", rows, (ALONE,))
    classes = tuple(
        replace(info, contains=0.02) if info.name == "crack" else info for info in lesson.classes
    )
    print("image | truth, tiles, outlines, overlap, within 2 px | with true tiles")
    for image, mask, specimen in nasa_pairs(data, "ebc"):
        grid = whole_grid(image, 64)
        image = image.with_area(grid.area)
        tiles = tile_probabilities(heads[specimen], lesson.seen[image.name])
        made = map_of(image, grid, tiles, classes)
        best = replace(made, probabilities=true_presence(mask, grid, 3, 2))
        rows = [crack_row(each, image, mask == 2).figures for each in (made, best)]
        table.append(rows)
        print(f"{image.name} | " + " | ".join(", ".join(f"{v:.4f}" for v in r) for r in rows))
    found = np.array(table)
    for name, each in (("head", found[:, 0]), ("true tiles", found[:, 1])):
        wrong = 100 * np.abs(each[:, 1:3] - each[:, :1]).mean(axis=0)
        print(f"{name}: tiles off by {wrong[0]:.2f} points, outlines by {wrong[1]:.2f}")
    sample = generate_cross_section((1024, 1536), seed=3, info_bar=False)
    image = SemImage("sample", sample.image, Specimen(Area(0, 1024, 0, 1536)))
    grid, truth = TileGrid(image.area, 64, 64), sample.truth.astype(np.int64) - 1
    crack = sample.class_names.index("crack")
    known = tuple(
        ClassInfo(name, "#1f77b4", 0.02 if name == "crack" else None) for name in sample.class_names
    )
    tiles = true_presence(truth, grid, len(known), crack)
    print("sample", crack_row(map_of(image, grid, tiles, known), image, truth == crack).figures)


def main() -> None:
    """Run the studies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["spheroidite", "shale", "forest_super2", "forest_ebc2", "cracks"]
    parser.add_argument("--what", nargs="+", default=names, choices=names)
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    wish = parser.parse_args()
    for name in wish.what:
        if name == "cracks":
            crack_study(wish.data, wish.cache)
        elif name.startswith("forest_"):
            forest_study(name.removeprefix("forest_"), wish.data, wish.clicks)
        else:
            binary_study(name, wish.data)


if __name__ == "__main__":
    main()
