"""How well do outlines follow what is there? Specimens left out; masks only score.

Tile labels of the other specimens teach a head, as the program does. Its map of an image is drawn
as squares, interpolated, with half-tile overlap, and as outlines, and each is compared with the
image's pixel mask: mean intersection over union of the classes, pixels of other classes left out.
A last column draws outlines from the true classes of tiles: what is lost to edges alone.

    python benchmarks/outlines.py [--sets ebc2 super2] [--data ../shared/data] [--cache FOLDER]
        [--per-class 0] [--pictures FOLDER] [--no-overlap]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tile_sets import CLASSES, nasa_pairs, whole_grid
from transfer import draw, load, splits, teach

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap, tiles_to_cells
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.model.surroundings import surroundings_for
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.outlines.lattice import cell_centres, interpolated
from napari_sem_classify.core.outlines.outline import draw_outlines, outline_labels
from napari_sem_classify.core.teach.head_fit import Taught
from napari_sem_classify.core.teach.learn import tile_probabilities
from napari_sem_classify.core.teach.looked import SeenTiles, Sight, look
from napari_sem_classify.core.tiles.grid import TileGrid

COLUMNS = ("squares", "interpolated", "outlines", "half overlap", "outlines of it", "true tiles")


def mean_iou(labels: NDArray[np.int64], mask: NDArray[np.uint8], classes: int) -> float:
    """Mean intersection over union; pixels of other classes do not count."""
    counted = mask < classes
    found = []
    for number in range(classes):
        mine, true = (labels == number) & counted, (mask == number) & counted
        found.append((mine & true).sum() / max(1, (mine | true).sum()))
    return float(np.mean(found))


def map_of(image: SemImage, grid: TileGrid, tiles: NDArray[np.float32], classes) -> ClassMap:
    """A class map of tiles' probabilities."""
    return ClassMap(tiles_to_cells(grid, tiles), grid, classes, image_name=image.name)


def squares(class_map: ClassMap) -> NDArray[np.int64]:
    """Class of each pixel, from 0: that of its cell."""
    grid = class_map.grid
    heights, widths = grid.cell_sizes()
    labels = class_map.labels().astype(np.int64) - 1
    return np.repeat(np.repeat(labels, heights, axis=0), widths, axis=1)


def smooth(class_map: ClassMap) -> NDArray[np.int64]:
    """Class of each pixel, from 0, of probabilities interpolated between cells."""
    area = class_map.grid.area
    places = np.arange(area.height) + 0.5, np.arange(area.width) + 0.5
    found = interpolated(class_map.probabilities, cell_centres(class_map), *places)
    return np.asarray(found.argmax(axis=-1))


def outlined(class_map: ClassMap, image: SemImage) -> NDArray[np.int64]:
    """Class of each pixel, from 0, as the program draws it."""
    cells = draw_outlines(class_map, image)
    return outline_labels(cells, class_map.grid.area).astype(np.int64) - 1


def true_tiles(mask: NDArray[np.uint8], grid: TileGrid, classes: int) -> NDArray[np.float32]:
    """Probabilities of tiles of which it is known which class most of each is."""
    shares = np.empty((*grid.tile_shape, classes))
    for number, window in enumerate(grid.windows()):
        part = mask[window.top : window.bottom, window.left : window.right]
        shares[divmod(number, grid.tile_shape[1])] = [(part == c).mean() for c in range(classes)]
    powers = np.exp(10 * shares)
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def study(
    name: str, data: Path, cache: Path, per_class: int, pictures: Path | None, overlap: bool
) -> None:
    """Print the table of a set, an image a line."""
    material = load(name, data, cache)
    lesson, source = material.lesson, name.rstrip("23")
    heads: dict[str, Taught] = {}
    columns = COLUMNS if overlap else (*COLUMNS[:3], COLUMNS[5])
    for train, test in splits(material, name, 0):
        rows = train[draw(lesson.labels[train], per_class, 0)]
        held = str(material.specimens[test][0])
        heads[held] = teach(material, name, rows, surroundings_for())
        print(f"without {held}: {heads[held].surroundings.title}", flush=True)
    engine = make_engine(network_px=128)
    table = []
    print(f"{name} | " + " | ".join(columns))
    for image, mask, specimen in nasa_pairs(data, source):
        grid = whole_grid(image, 64)
        image = image.with_area(grid.area)
        taught, count = heads[specimen], len(lesson.classes)
        whole = map_of(
            image, grid, tile_probabilities(taught, lesson.seen[image.name]), lesson.classes
        )
        best = replace(whole, probabilities=true_tiles(mask, grid, count))
        drawn = outlined(whole, image)
        labels = [squares(whole), smooth(whole), drawn]
        if overlap:
            half_grid = TileGrid(grid.area, 64, 32)
            seen = _seen(image, half_grid, engine, cache)
            half = map_of(image, half_grid, tile_probabilities(taught, seen), lesson.classes)
            labels += [squares(half), outlined(half, image)]
        labels.append(outlined(best, image))
        table.append([mean_iou(each, mask, count) for each in labels])
        print(f"{image.name} | " + " | ".join(f"{each:.3f}" for each in table[-1]), flush=True)
        if pictures is not None:
            picture(image, mask, squares(whole), drawn, pictures / f"{image.name}.png")
    print("mean | " + " | ".join(f"{each:.3f}" for each in np.mean(table, axis=0)), flush=True)


def _seen(image: SemImage, grid: TileGrid, engine, cache: Path) -> SeenTiles:
    path = cache / f"outlines-{image.name}-{grid.stride}.npy"
    if not path.exists():
        found = look(Sight(image.name, image, grid), Recipe(network_px=128), engine)
        np.save(path, found.features.astype(np.float16))
    features = np.load(path)
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    return SeenTiles(grid, np.arange(grid.n_tiles), features, mean=mean)


def picture(
    image: SemImage,
    mask: NDArray[np.uint8],
    tiles: NDArray[np.int64],
    drawn: NDArray[np.int64],
    path: Path,
) -> None:
    """Tiles and outlines over the image in orange, the mask's edge in green."""
    from PIL import Image
    from scipy.ndimage import binary_erosion

    pixels = np.asarray(image.read(image.area), dtype=np.float64)
    low, high = np.percentile(pixels, [1, 99])
    grey = np.clip((pixels - low) / (high - low), 0, 1) * 255
    true = mask == 1
    edge = true & ~binary_erosion(true, iterations=max(1, len(grey) // 400))
    panels = []
    for labels in (tiles, drawn):
        panel = np.repeat(grey[..., None], 3, axis=2)
        panel[labels == 1] = 0.6 * panel[labels == 1] + 0.4 * np.array([255, 127, 14])
        panel[edge] = [0, 255, 0]
        panels.append(panel)
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = Image.fromarray(np.concatenate(panels, axis=1).astype(np.uint8))
    shown.resize((800, 400)).save(path)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["ebc2", "super2"], choices=[*CLASSES])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    parser.add_argument("--per-class", type=int, default=0)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--overlap", action=argparse.BooleanOptionalAction, default=True)
    wish = parser.parse_args()
    for name in wish.sets:
        study(name, wish.data, wish.cache, wish.per_class, wish.pictures, wish.overlap)


if __name__ == "__main__":
    main()
