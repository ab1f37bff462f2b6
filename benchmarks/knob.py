"""How much a turned knob of the microscope costs, with and without copies that were turned too.

Images of specimens that were not learned from are turned as an operator would, before anything
is measured on them: contrast, brightness, gamma, a defocus of 1 px, shot noise. Heads are taught
on the other specimens, as the images are. Each specimen is left out once (coatings 8,
superalloys 5).

    python benchmarks/knob.py --data ../shared/data --cache /tmp/features

prints the loss of macro-F1 against the images as they are, at 20 and 100 tiles a class, mean of
five draws (a budget of 0 is all tiles, with one draw).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tile_sets import CLASSES, nasa_pairs

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.recipe import STANDARD
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.network.engine.base import Engine
from napari_sem_classify.core.network.features import embed_image
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head
from napari_sem_classify.core.teach.looked import Sight
from napari_sem_classify.core.teach.turned import MOST_COPIED, N_COPIES, Copies, look_at_copies
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

SETS = "ebc2", "ebc3", "super2", "super3"
BUDGETS = 20, 100
SEEDS = 5
TILE = 64
AS_IT_IS = "as it is"
Grey = NDArray[np.float32]


def _blurred(grey: Grey) -> Grey:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(grey, 1.0))


def _noisy(grey: Grey) -> Grey:
    """Shot noise, 8 of 255 steps of the image's own range in its middle."""
    low, high = np.percentile(grey, [1, 99])
    counts = np.clip((grey - low) / (high - low), 0, 1)
    noise = np.random.default_rng(0).standard_normal(grey.shape)
    return np.asarray(grey + 8 / 255 * (high - low) * np.sqrt(counts / 0.5) * noise)


def _noisy_file(grey: Grey) -> Grey:
    """Shot noise, 8 grey levels of the file in its middle, however narrow the image's range is."""
    noise = np.random.default_rng(0).standard_normal(grey.shape)
    return np.asarray(grey + 8 / 255 * np.sqrt(grey / 0.5) * noise)


KNOBS: dict[str, Callable[[Grey], Grey]] = {
    "contrast x .6": lambda grey: (grey - 0.5) * 0.6 + 0.5,
    "contrast x 1.6": lambda grey: (grey - 0.5) * 1.6 + 0.5,
    "brightness - 15 %": lambda grey: grey - 0.15,
    "brightness + 15 %": lambda grey: grey + 0.15,
    "gamma .7": lambda grey: grey**0.7,
    "gamma 1.4": lambda grey: grey**1.4,
    "defocus 1 px": _blurred,
    "shot noise": _noisy,
}
"""Of grey values from 0 to 1, the whole range of the file; what leaves it is clipped."""
RAW_NOISE = "8 levels of the file"
BESIDE: dict[str, Callable[[Grey], Grey]] = {RAW_NOISE: _noisy_file}
"""Told beside them, no part of the mean and the worst: in images of 50 grey levels it is far more
than a setting of the microscope does."""


SETTINGS = {AS_IT_IS: lambda grey: grey, **KNOBS, **BESIDE}
COPIES = [f"copy {copy}" for copy in range(N_COPIES)]


def turned_image(image: SemImage, knob: Callable[[Grey], Grey]) -> SemImage:
    """An 8-bit image as another setting would have given it."""
    grey = image.read(image.area).astype(np.float32) / 255.0
    pixels = np.rint(np.clip(knob(grey), 0, 1) * 255).astype(np.uint8)
    return image_from_array(pixels, image.name)


@dataclass(frozen=True, slots=True)
class Tiles:
    """Labelled tiles, and what the network saw in them with every setting and in their copies."""

    labels: NDArray[np.int64]
    specimens: NDArray[np.str_]
    images: NDArray[np.int64]
    class_names: tuple[str, ...]
    seen: dict[str, NDArray[np.float32]]


def load(name: str, data: Path, cache: Path, backend: str = "auto", every: int = 1) -> Tiles:
    """Tiles of "ebc2", "ebc3", "super2" or "super3"; features from `cache` if it has them.

    With `every` only one tile of so many is used.
    """
    prefix = name.rstrip("23")
    classes, contains = CLASSES[name]
    pairs = nasa_pairs(data, prefix)
    grids = [TileGrid(Area(0, *_ends(image)), TILE, TILE) for image, _, _ in pairs]
    path = cache / f"knob-{prefix}-{every}.npz"
    known: dict[str, NDArray[np.float16]] = {}
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            known = dict(file)
    lacking = [key for key in (*SETTINGS, *COPIES) if key not in known]
    if lacking:
        engine = make_engine(network_px=128, backend=backend)
        print(f"{prefix}: {engine.backend} on {engine.device}, {engine.dtype}", flush=True)
        parts = [
            describe(image, grid, engine, every, lacking)
            for (image, _, _), grid in zip(pairs, grids, strict=True)
        ]
        known |= {key: np.concatenate([part[key] for part in parts]) for key in lacking}
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **known)
    seen = {key: value.astype(np.float32) for key, value in known.items()}
    found = [
        tiles_from_mask(mask, grid, list(classes.items()), contains=contains).labels.ravel()[
            ::every
        ]
        for (_, mask, _), grid in zip(pairs, grids, strict=True)
    ]
    sizes = [len(each) for each in found]
    labels = np.concatenate(found)
    mine = labels >= 0
    return Tiles(
        labels[mine],
        np.repeat([specimen for _, _, specimen in pairs], sizes)[mine],
        np.repeat(np.arange(len(pairs)), sizes)[mine],
        tuple(classes.values()),
        {key: value[mine] for key, value in seen.items()},
    )


def _ends(image: SemImage) -> tuple[int, int, int]:
    return image.shape[0], 0, image.shape[1]


def describe(
    image: SemImage, grid: TileGrid, engine: Engine, every: int, wanted: list[str]
) -> dict[str, NDArray[np.float16]]:
    """What the network sees in an image as it is and turned, and in copies of its tiles."""
    found: dict[str, NDArray[np.float16]] = {}
    some = np.arange(grid.n_tiles)[::every]
    keep = np.isin(np.arange(grid.n_tiles), some).reshape(grid.tile_shape)
    for name in wanted:
        if name in SETTINGS:
            other = turned_image(image.with_area(grid.area), SETTINGS[name]).with_area(grid.area)
            seen = embed_image(PlaneTiles(other, grid, keep), engine, IntensityRecipe())
            found[name] = seen.astype("f2")
    if any(name in COPIES for name in wanted):
        mine = Sight("", image.with_area(grid.area), grid, some)
        copies = look_at_copies(mine, STANDARD, engine)
        found |= {name: copies.features[:, copy] for copy, name in enumerate(COPIES)}
    return found


def macro_f1(tiles: Tiles, budget: int, seed: int, with_copies: bool) -> dict[str, float]:
    """Over all specimens, each left out once: as they are and for each knob."""
    generator, n_classes = np.random.default_rng(seed), len(tiles.class_names)
    said = {knob: np.zeros(len(tiles.labels), np.int64) for knob in SETTINGS}
    turned = np.stack([tiles.seen[name] for name in COPIES], axis=1)
    for specimen in np.unique(tiles.specimens):
        test, learn = tiles.specimens == specimen, []
        for k in range(len(tiles.class_names)):
            there = np.flatnonzero(~test & (tiles.labels == k))
            learn.append(generator.permutation(there)[: budget or None])
        chosen = np.concatenate(learn)
        # As many tiles of each class as the program copies.
        first = np.concatenate([np.arange(len(each)) < MOST_COPIED // n_classes for each in learn])
        copied = np.flatnonzero(first)
        copies = Copies(
            turned[chosen[copied]].reshape(-1, turned.shape[-1]),
            np.repeat(copied, N_COPIES),
        )
        options = FitOptions(
            tiles.images[chosen],
            specimens=tiles.specimens[chosen],
            copies=copies if with_copies else None,
        )
        features, labels = tiles.seen[AS_IT_IS][chosen], tiles.labels[chosen]
        head = teach_head(features, labels, tiles.class_names, options).head
        for knob in SETTINGS:
            seen = tiles.seen[knob][test]
            known = ~np.isnan(seen).any(axis=1)
            # What is turned until it is black has no class: it counts as wrong.
            mine = (tiles.labels[test] + 1) % n_classes
            mine[known] = head.probabilities(seen[known]).argmax(axis=1)
            said[knob][test] = mine
    return {knob: score(tiles.labels, mine, n_classes).macro_f1 for knob, mine in said.items()}


def main() -> None:
    """Print a table for each set and budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--budgets", nargs="*", type=int, default=list(BUDGETS))
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--every", type=int, default=1, help="Use one tile of so many.")
    given = parser.parse_args()
    for name in given.sets:
        tiles = load(name, given.data, given.cache, given.backend, given.every)
        for budget in given.budgets:
            for with_copies in (False, True):
                seeds = range(given.seeds if budget else 1)
                rows = [macro_f1(tiles, budget, seed, with_copies) for seed in seeds]
                mean = {knob: float(np.mean([row[knob] for row in rows])) for knob in rows[0]}
                lost = {knob: mean[AS_IT_IS] - mean[knob] for knob in (*KNOBS, *BESIDE)}
                worst = max(KNOBS, key=lambda knob: lost[knob])
                mean_loss = np.mean([lost[knob] for knob in KNOBS])
                print(
                    f"{name} {budget:>4} a class, {'with' if with_copies else 'no'} copies: "
                    f"as it is {mean[AS_IT_IS]:.3f}, mean loss {mean_loss:+.3f}, "
                    f"worst {lost[worst]:+.3f} ({worst}) | "
                    + ", ".join(f"{knob} {value:+.3f}" for knob, value in lost.items()),
                    flush=True,
                )


if __name__ == "__main__":
    main()
