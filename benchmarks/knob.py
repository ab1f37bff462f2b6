"""How much a turned knob of the microscope costs, with and without copies that were turned too.

Images of specimens that were not learned from are turned as an operator would, before anything
is measured on them: contrast, brightness, gamma, a defocus of 1 px, shot noise. Heads are taught
on the other specimens, as the images are. Each specimen is left out once (coatings 8,
superalloys 5).

    python benchmarks/knob.py --data ../shared/data --cache /tmp/features

prints the loss of macro-F1 against the images as they are, at 20 and 100 tiles a class, mean of
five draws.
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
from napari_sem_classify.core.teach.turned import N_COPIES, Copies, look_at_copies
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

SETS = "ebc3", "super2"
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
    if not path.exists():
        engine = make_engine(network_px=128, backend=backend)
        print(f"{prefix}: {engine.backend} on {engine.device}, {engine.dtype}", flush=True)
        parts = [
            describe(image, grid, engine, every)
            for (image, _, _), grid in zip(pairs, grids, strict=True)
        ]
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})
    with np.load(path, allow_pickle=False) as file:
        seen = {key: file[key].astype(np.float32) for key in file}
    found = [
        tiles_from_mask(mask, grid, list(classes.items()), contains=contains).labels.ravel()[
            ::every
        ]
        for (_, mask, _), grid in zip(pairs, grids, strict=True)
    ]
    sizes = [len(each) for each in found]
    labels = np.concatenate(found)
    known = labels >= 0
    return Tiles(
        labels[known],
        np.repeat([specimen for _, _, specimen in pairs], sizes)[known],
        np.repeat(np.arange(len(pairs)), sizes)[known],
        tuple(classes.values()),
        {key: value[known] for key, value in seen.items()},
    )


def _ends(image: SemImage) -> tuple[int, int, int]:
    return image.shape[0], 0, image.shape[1]


def describe(
    image: SemImage, grid: TileGrid, engine: Engine, every: int
) -> dict[str, NDArray[np.float16]]:
    """What the network sees in an image as it is and turned, and in copies of its tiles."""
    found: dict[str, NDArray[np.float16]] = {}
    some = np.arange(grid.n_tiles)[::every]
    keep = np.isin(np.arange(grid.n_tiles), some).reshape(grid.tile_shape)
    for name, knob in {AS_IT_IS: lambda grey: grey, **KNOBS}.items():
        other = turned_image(image.with_area(grid.area), knob).with_area(grid.area)
        found[name] = embed_image(PlaneTiles(other, grid, keep), engine, IntensityRecipe()).astype(
            "f2"
        )
    copies = look_at_copies(Sight("", image.with_area(grid.area), grid, some), STANDARD, engine)
    for copy in range(N_COPIES):
        found[f"copy {copy}"] = copies.features[:, copy]
    return found


def macro_f1(tiles: Tiles, budget: int, seed: int, with_copies: bool) -> dict[str, float]:
    """Over all specimens, each left out once: as they are and for each knob."""
    generator, n_classes = np.random.default_rng(seed), len(tiles.class_names)
    settings = (AS_IT_IS, *KNOBS)
    said = {knob: np.zeros(len(tiles.labels), np.int64) for knob in settings}
    turned = np.stack([tiles.seen[f"copy {copy}"] for copy in range(N_COPIES)], axis=1)
    for specimen in np.unique(tiles.specimens):
        test, learn = tiles.specimens == specimen, []
        for k in range(len(tiles.class_names)):
            there = np.flatnonzero(~test & (tiles.labels == k))
            learn.append(generator.permutation(there)[:budget])
        chosen = np.concatenate(learn)
        copies = Copies(
            turned[chosen].reshape(-1, turned.shape[-1]),
            np.repeat(np.arange(len(chosen)), N_COPIES),
        )
        options = FitOptions(
            tiles.images[chosen],
            specimens=tiles.specimens[chosen],
            copies=copies if with_copies else None,
        )
        features, labels = tiles.seen[AS_IT_IS][chosen], tiles.labels[chosen]
        head = teach_head(features, labels, tiles.class_names, options).head
        for knob in settings:
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
                rows = [macro_f1(tiles, budget, seed, with_copies) for seed in range(given.seeds)]
                mean = {knob: float(np.mean([row[knob] for row in rows])) for knob in rows[0]}
                lost = {knob: mean[AS_IT_IS] - mean[knob] for knob in KNOBS}
                worst = max(lost, key=lambda knob: lost[knob])
                mean_loss = np.mean(list(lost.values()))
                print(
                    f"{name} {budget:>4} a class, {'with' if with_copies else 'no'} copies: "
                    f"as it is {mean[AS_IT_IS]:.3f}, mean loss {mean_loss:+.3f}, "
                    f"worst {lost[worst]:+.3f} ({worst}) | "
                    + ", ".join(f"{knob} {value:+.3f}" for knob, value in lost.items()),
                    flush=True,
                )


if __name__ == "__main__":
    main()
