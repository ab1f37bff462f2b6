"""What a mosaic of frames with different exposure costs, and what a stretch in parts gives back.

Coatings and superalloys: each image is cut into frames, each with a contrast and brightness of its
own. Cathodes: frames of other parts of the strips, as they were taken, side by side in one montage.
Models are taught on the other specimens (or the other parts of the strips) as the images are, and
see the mosaic stretched over the whole image, over each frame (the frames are found in the
picture), and locally.

    python benchmarks/mosaics.py --features FOLDER [--sets super2 super3 ebc2 ebc3 ncm] [--every 3]

FOLDER holds what `benchmarks/transfer.py` kept of what the network saw; this adds to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tile_sets import nasa_pairs, whole_grid
from transfer import NETWORK_PX, TILE_PX, Material, _frames, draw, load, splits

from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.frames import find_frames
from napari_sem_classify.core.image.intensity import OVER, IntensityRecipe
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

FRAME_PX = {"ebc": 512, "super": 256}
CONTRAST, BRIGHTNESS = (0.6, 1.3), 0.15
TILES_OF_FRAME = 3, 5
"""Of the cathodes: rows and columns of a frame that are laid side by side."""
FRAMES_OF_CLASS, COLUMNS = 3, 6
DRAWS, PER_CLASS = 5, 100

Pixels = NDArray[np.uint8]


def exposed(pixels: Pixels, side: int, seed: int) -> Pixels:
    """An image as a mosaic whose frames were taken with other settings."""
    generator = np.random.default_rng([seed, side])
    made = np.empty_like(pixels)
    for top in range(0, pixels.shape[0], side):
        for left in range(0, pixels.shape[1], side):
            place = np.s_[top : top + side, left : left + side]
            grey = pixels[place].astype(np.float32) / 255
            grey = (grey - 0.5) * generator.uniform(*CONTRAST) + 0.5
            grey += generator.uniform(-BRIGHTNESS, BRIGHTNESS)
            made[place] = np.rint(np.clip(grey, 1 / 255, 1) * 255)
    return made


def mosaics(source: str, data: Path) -> Iterator[tuple[str, Pixels]]:
    """Key and pixels of each mosaic."""
    if source != "ncm":
        for number, (image, _, _) in enumerate(nasa_pairs(data, source)):
            whole = image.read(whole_grid(image, TILE_PX[source]).area)
            yield image.name, exposed(whole, FRAME_PX[source], number)
        return
    chosen, (height, width) = montage_frames(data), frame_size()
    pixels = np.zeros((-(-len(chosen) // COLUMNS) * height, COLUMNS * width), np.uint8)
    frames = list(_frames(source, data))
    for number, frame in enumerate(chosen):
        row, col = number // COLUMNS * height, number % COLUMNS * width
        image = frames[frame][1][0]
        top, left = image.area.top, image.area.left
        part = image.read(Area(top, top + height, left, left + width))
        pixels[row : row + height, col : col + width] = np.maximum(part, 1)
    yield "montage", pixels


def frame_size() -> tuple[int, int]:
    """Rows and columns of a frame of the montage."""
    return TILES_OF_FRAME[0] * TILE_PX["ncm"], TILES_OF_FRAME[1] * TILE_PX["ncm"]


def montage_frames(data: Path) -> NDArray[np.int64]:
    """Numbers of frames at the end of each strip, in random order."""
    specimens = np.array([specimen for _, _, specimen, _ in _frames("ncm", data)])
    tops = np.array([top for *_, top in _frames("ncm", data)])
    chosen = []
    for specimen in np.unique(specimens):
        mine = np.flatnonzero(specimens == specimen)
        far = mine[-tops[mine] >= np.quantile(-tops[mine], 0.6)]
        chosen += far[:FRAMES_OF_CLASS].tolist()
    return np.random.default_rng(0).permutation(np.array(chosen))


def seen(source: str, data: Path, cache: Path, every: int) -> dict[str, NDArray[np.float32]]:
    """What the network sees in the tiles of each mosaic, by key and way; kept in `cache`."""
    path = cache / f"mosaics-{source}-{every}.npz"
    if not path.exists():
        engine, found = make_engine(network_px=NETWORK_PX[source]), {}
        for key, pixels in mosaics(source, data):
            image = image_from_array(pixels, key)
            image = image.with_area(Area(0, pixels.shape[0], 0, pixels.shape[1]))
            grid = TileGrid(image.area, TILE_PX[source], TILE_PX[source])
            keep = (np.arange(grid.n_tiles) % every == 0).reshape(grid.tile_shape)
            print(f"{key}: frames of {find_frames(image)} px", flush=True)
            for over in OVER:
                look = IntensityRecipe(over=over)
                features = embed_image(PlaneTiles(image, grid, keep), engine, look)
                found[f"{key} {over}"] = features.astype(np.float16)
        np.savez(path, **found)
    with np.load(path) as kept:
        return {key: kept[key].astype(np.float32) for key in kept.files}


def parts(
    material: Material, name: str, data: Path, every: int
) -> Iterator[tuple[NDArray[np.int64], str, NDArray[np.int64], NDArray[np.float32]]]:
    """Rows to learn from; of a mosaic: its key, its tiles' classes and their features as images."""
    lesson = material.lesson
    if name == "ncm":
        [(train, _)] = splits(material, name, 0)
        rows, cols = TILES_OF_FRAME
        plain, labels = [], []
        for frame in montage_frames(data):
            known = lesson.seen[lesson.keys[frame]]
            features = known.features.reshape(*known.grid.tile_shape, -1)[:rows, :cols]
            plain.append(features)
            number = lesson.labels[lesson.places.image == frame][0]
            labels.append(np.full((rows, cols), number))
        lacking = -len(plain) % COLUMNS
        plain += [np.full_like(plain[0], np.nan)] * lacking
        labels += [np.full((rows, cols), -1)] * lacking
        yield train, "montage", _side_by_side(labels).ravel(), _side_by_side(plain)
        return
    for train, test in splits(material, name, 0):
        for image in np.unique(lesson.places.image[test]):
            known = lesson.seen[lesson.keys[image]]
            labels = np.full(known.grid.n_tiles, -1)
            mine = test[lesson.places.image[test] == image]
            labels[lesson.numbers[mine]] = lesson.labels[mine]
            features = known.features[::every].astype(np.float32)
            yield train, lesson.keys[image], labels[::every], features


def _side_by_side(frames: list[NDArray]) -> NDArray:
    """Frames of tiles as the montage lays them, features flat."""
    rows = [
        np.concatenate(frames[start : start + COLUMNS], axis=1)
        for start in range(0, len(frames), COLUMNS)
    ]
    joined = np.concatenate(rows)
    return joined.reshape(-1, joined.shape[-1]) if joined.ndim == 3 else joined


def main() -> None:
    """Print accuracy and macro-F1 of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["super2", "super3", "ebc2", "ebc3", "ncm"])
    parser.add_argument("--every", type=int, default=1, help="One tile of so many of coatings.")
    given = parser.parse_args()
    for name in given.sets:
        every = given.every if name.startswith("ebc") else 1
        material = load(name, given.data, given.features)
        found = seen(name.rstrip("23"), given.data, given.features, every)
        lesson = material.lesson
        draws, per_class = (DRAWS, PER_CLASS) if name == "ncm" else (1, 0)
        results: dict[str, list[tuple[float, float]]] = {}
        for seed in range(draws):
            truth, said = [], {way: [] for way in ("images", *OVER)}
            for train, key, labels, plain in parts(material, name, given.data, every):
                rows = train[draw(lesson.labels[train], per_class, seed)]
                head = fit_head(lesson.features[rows], lesson.labels[rows], len(lesson.classes))
                known = labels >= 0
                truth.append(labels[known])
                for way, mine in said.items():
                    features = plain if way == "images" else found[f"{key} {way}"]
                    mine.append(head.logits(features[known].astype(np.float32)).argmax(axis=1))
            for way, mine in said.items():
                measured = score(np.concatenate(truth), np.concatenate(mine), len(lesson.classes))
                results.setdefault(way, []).append((measured.accuracy, measured.macro_f1))
        told = ", ".join(
            f"{way} {np.mean([a for a, _ in each]):.3f} / {np.mean([f for _, f in each]):.3f}"
            for way, each in results.items()
        )
        print(f"{name}, {sum(map(len, truth))} tiles: {told}", flush=True)


if __name__ == "__main__":
    main()
