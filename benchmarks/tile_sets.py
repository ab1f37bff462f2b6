"""Annotated tiles of real SEM images for the benchmarks: classes, specimens, places, features.

Three sets from the data folder (``../shared/data``): environmental barrier coatings and nickel
superalloys with pixel masks (NASA), battery cathodes with a class per image (NCM). Features are
kept in a folder, so that only the first run needs the network.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tile_features import intensity_statistics, texture_features

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRecipe, measure_range
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.teach.folds import TilePlaces
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

NCM_ROWS = (130, 893)  # without the distorted top and the info bar, which give the class away
NCM_STEP = 300  # rows of the strip between two frames that are used

Describe = Callable[[SemImage, TileGrid], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class TileSet:
    """Tiles with their classes.

    Attributes
    ----------
    name : str
    class_names : tuple of str
    labels : int64, shape (N,)
    groups : shape (N,), str
        Specimen.
    places : TilePlaces
        For NCM in the coordinates of the strip that the overlapping frames were taken from.
    embeddings, intensity, texture : float32, shape (N, features)
        The network's features; of the two baselines.
    n_mixed : int
        Tiles left out.
    """

    name: str
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    places: TilePlaces
    embeddings: NDArray[np.float32]
    intensity: NDArray[np.float32]
    texture: NDArray[np.float32]
    n_mixed: int


def specimen_of(filename: str, group: str) -> str:
    """Specimen that an image shows; the index lists two images of ``111418_4`` singly."""
    match = re.match(r"ebc__(111418_4)_", filename)
    return match[1] if match else group


def load_index(data: Path) -> dict[str, Mapping[str, str]]:
    """The rows of ``index.csv`` by path."""
    with (data / "index.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def nasa_pairs(data: Path, prefix: str) -> list[tuple[SemImage, NDArray[np.uint8], str]]:
    """Images whose name begins with `prefix` ("ebc", "super"), their masks and specimens."""
    from PIL import Image

    index = load_index(data)
    pairs = []
    for path in sorted((data / "nasa/images").glob(f"{prefix}__*.png")):
        with Image.open(data / "nasa/masks" / path.name) as file:
            mask = np.array(file)
        group = index[f"nasa/images/{path.name}"]["group"]
        pairs.append((open_image(path), mask, specimen_of(path.name, group)))
    return pairs


def load_set(
    name: str,
    data: Path,
    cache: Path,
    tile: int = 64,
    network_px: int = 128,
    *,
    per_tile: bool = False,
) -> TileSet:
    """Load "ebc2", "ebc3", "super2", "super3" or "ncm"; features from `cache` if it has them.

    With `per_tile` the network sees each tile standardised on its own.
    """
    cache.mkdir(parents=True, exist_ok=True)
    source, recipe = name.rstrip("23"), IntensityRecipe(per_tile=per_tile)
    path = cache / f"{source}-{tile}-{network_px}{'-per-tile' * per_tile}.npz"
    if not path.exists():
        np.savez(path, **_make(source, data, tile, _standard(network_px, recipe)))
    made = _read(path, name, data, tile)
    known = made["labels"] >= 0
    return TileSet(
        name=name,
        class_names=tuple(str(item) for item in made["class_names"]),
        labels=made["labels"][known],
        groups=made["groups"][known],
        places=TilePlaces(made["image"][known], made["y"][known], made["x"][known], tile),
        embeddings=made["embeddings"][known],
        intensity=made["intensity"][known],
        texture=made["texture"][known],
        n_mixed=int(np.count_nonzero(~known)),
    )


def load_described(
    name: str, data: Path, cache: Path, tile: int, describe: Describe, tag: str
) -> dict[str, NDArray[np.float32]]:
    """Other descriptions of the same tiles, in the same order, kept in `cache` under a tag."""
    source = name.rstrip("23")
    path = cache / f"{source}-{tile}-{tag}.npz"
    if not path.exists():
        np.savez(path, **_make(source, data, tile, describe))
    made = _read(path, name, data, tile)
    known = made["labels"] >= 0
    places = {"labels", "class_names", "groups", "image", "y", "x"}
    return {key: value[known] for key, value in made.items() if key not in places}


def _make(source: str, data: Path, tile: int, describe: Describe) -> dict[str, object]:
    make = _make_ncm if source == "ncm" else _make_nasa
    return make(source, data, tile, describe)


def _read(path: Path, name: str, data: Path, tile: int) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        made = dict(file)
    return made if name == "ncm" else made | _nasa_labels(name, data, tile)


CLASSES = {
    "ebc2": ({0: "background", 1: "oxide"}, {}),
    "ebc3": ({0: "background", 1: "oxide", 2: "crack"}, {2: 0.02}),
    "super2": ({0: "matrix", 1: "secondary"}, {}),
    "super3": ({0: "matrix", 1: "secondary", 2: "tertiary"}, {2: 0.10}),
}


def _nasa_labels(name: str, data: Path, tile: int) -> dict[str, object]:
    classes, contains = CLASSES[name]
    labels = [
        tiles_from_mask(mask, whole_grid(image, tile), classes, contains=contains).labels.ravel()
        for image, mask, _ in nasa_pairs(data, name.rstrip("23"))
    ]
    return {"labels": np.concatenate(labels), "class_names": np.array(list(classes.values()))}


def whole_grid(image: SemImage, tile: int) -> TileGrid:
    return TileGrid(Area(0, image.shape[0], 0, image.shape[1]), tile, tile)


def _make_nasa(prefix: str, data: Path, tile: int, describe: Describe) -> dict[str, object]:
    parts: dict[str, list[object]] = {}
    for number, (image, _, group) in enumerate(nasa_pairs(data, prefix)):
        grid = whole_grid(image, tile)
        rows, cols = np.indices(grid.tile_shape).reshape(2, -1)
        _append(parts, **describe(image.with_area(grid.area), grid))
        _append(parts, groups=np.full(len(rows), group), image=np.full(len(rows), number))
        _append(parts, y=grid.row_starts()[rows], x=grid.col_starts()[cols])
    return {key: np.concatenate(values) for key, values in parts.items()}


def _make_ncm(_: str, data: Path, tile: int, describe: Describe) -> dict[str, object]:
    frames = [row for path, row in load_index(data).items() if re.match(r"ncm_cathode.*jpg$", path)]
    names = sorted({row["class"] for row in frames})
    parts: dict[str, list[object]] = {}
    last: dict[str, int] = {}
    for row in frames:
        offset = dict(part.split("=") for part in row["note"].split(";"))
        top, left, number = int(offset["y0"]), int(offset["x0"]), names.index(row["class"])
        if top - last.get(row["class"], -NCM_STEP) < NCM_STEP:
            continue  # a frame that shows almost what the last one did
        last[row["class"]] = top
        image = open_image(data / row["path"])
        image = image.with_area(Area(*NCM_ROWS, 0, image.shape[1]))
        grid = TileGrid(image.area, tile, tile)
        rows, cols = np.indices(grid.tile_shape).reshape(2, -1)
        _append(parts, **describe(image, grid))
        _append(parts, labels=np.full(len(rows), number), image=np.full(len(rows), number))
        _append(parts, groups=np.full(len(rows), row["group"]))
        _append(parts, y=grid.row_starts()[rows] + top, x=grid.col_starts()[cols] + left)
    joined = {key: np.concatenate(values) for key, values in parts.items()}
    return {**joined, "class_names": np.array(names)}


def _standard(network_px: int, recipe: IntensityRecipe) -> Describe:
    """The network's features, and those of the two baselines."""

    def describe(image: SemImage, grid: TileGrid) -> dict[str, NDArray[np.float32]]:
        engine = make_engine(network_px=network_px)
        stretched = measure_range(image, recipe)
        pixels = image.read(image.area).astype(np.float32)
        pixels = np.clip((pixels - stretched.low) / (stretched.high - stretched.low), 0, 1)
        return {
            "embeddings": embed_image(PlaneTiles(image, grid), engine, recipe),
            "intensity": intensity_statistics(pixels, grid),
            "texture": texture_features(pixels, grid),
        }

    return describe


def _append(parts: dict[str, list[object]], **values: object) -> None:
    for key, value in values.items():
        parts.setdefault(key, []).append(value)
