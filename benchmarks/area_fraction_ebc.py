"""Area fractions of coated ceramics that the model has not seen: as the map says, and corrected.

NASA's 12 images of environmental barrier coatings, 8 specimens, with pixel masks. For each image a
head is taught on the other specimens; its class map is then reviewed with the mask in the place of
the person: a cell is what covers most of it. Each review is repeated with other random cells. The
truth is the share of the cells, by area, that the reviewer would give each class if she looked at
all of them; how far that is from the mask's share of pixels is told too.

    python benchmarks/area_fraction_ebc.py [--data ../shared/data] [--cache FOLDER] [--set ebc3]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tile_sets import CLASSES, load_set, nasa_pairs

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import Share, count_review, estimate_fractions
from napari_sem_classify.core.measure.field_statistics import (
    field_shares,
    field_spread,
    pooled_fractions,
)
from napari_sem_classify.core.measure.prediction_powered import estimate_prediction_powered
from napari_sem_classify.core.measure.review import start_review
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head
from napari_sem_classify.core.tiles.grid import TileGrid

TILE = 64
ANY_MAJORITY = 1e-6
"""A reviewer names every cell; for teaching, tiles without a clear majority are left out."""


def maps_and_truth(
    name: str, data: Path, cache: Path
) -> tuple[list[ClassMap], list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Class maps of all images by heads that have not seen their specimen, with the cells' truth.

    Returns
    -------
    maps : list of ClassMap
    truth : list of int64, shape (rows, cols)
        1 for the first class.
    pixels : list of float64, shape (classes,)
        The mask's shares.
    """
    load_set(name, data, cache, TILE)  # makes the features where the cache has none
    with np.load(cache / f"{name.rstrip('23')}-{TILE}-128.npz", allow_pickle=False) as file:
        features, groups, number = file["embeddings"], file["groups"], file["image"]
    classes, contains = CLASSES[name]
    names = tuple(classes.values())
    pairs = nasa_pairs(data, name.rstrip("23"))
    grids = [TileGrid(Area(0, i.shape[0], 0, i.shape[1]), TILE, TILE) for i, _, _ in pairs]

    def told(min_share: dict[str, float]) -> list[NDArray[np.int64]]:
        return [
            tiles_from_mask(mask, grid, classes, contains=contains, **min_share).labels
            for (_, mask, _), grid in zip(pairs, grids, strict=True)
        ]

    taught_with = np.concatenate([labels.ravel() for labels in told({})])
    truth = [labels + 1 for labels in told({"min_share": ANY_MAJORITY})]
    infos = tuple(ClassInfo(*each) for each in zip(names, default_colours(len(names)), strict=True))
    heads = {}
    for specimen in sorted(set(groups)):
        train = np.flatnonzero((groups != specimen) & (taught_with >= 0))
        heads[specimen] = teach_head(
            features[train], taught_with[train], names, FitOptions(groups[train])
        ).head
    maps, pixels = [], []
    for index, ((image, mask, _), grid) in enumerate(zip(pairs, grids, strict=True)):
        mine = number == index
        likely = heads[groups[mine][0]].probabilities(features[mine])
        shape = (*grid.shape, len(names))
        maps.append(ClassMap(likely.reshape(shape), grid, infos, None, image.name))
        pixels.append(np.array([(mask == value).mean() for value in classes]))
    return maps, truth, pixels


class Tally:
    """Errors of one way to estimate, over classes and repeats."""

    def __init__(self) -> None:
        self.errors: list[NDArray[np.float64]] = []
        self.holds: list[NDArray[np.bool_]] = []
        self.widths: list[NDArray[np.float64]] = []

    def add(self, shares: tuple[Share, ...], true: NDArray[np.float64]) -> None:
        """Count one estimate."""
        low, high = (np.array([getattr(s, side) for s in shares]) for side in ("low", "high"))
        self.errors.append(np.array([s.value for s in shares]) - true)
        self.holds.append((low - 1e-9 <= true) & (true <= high + 1e-9))
        self.widths.append((high - low) / 2)

    def summary(self) -> dict[str, object]:
        """In percentage points and percent."""
        errors = 100 * np.array(self.errors)
        return {
            "mean_absolute_error": float(np.abs(errors).mean()),
            "largest_mean_bias": float(np.abs(errors.mean(axis=0)).max()),
            "coverage": float(100 * np.mean(self.holds)),
            "median_half_width": float(100 * np.median(self.widths)),
        }


def true_shares(maps: list[ClassMap], truth: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Shares by area of the reviewer's classes in all cells that some maps classified."""
    k = len(maps[0].classes)
    areas = np.concatenate([(m.grid.cell_areas() * ~m.left_out).ravel() for m in maps]).astype(
        float
    )
    labels = np.concatenate([each.ravel() for each in truth])
    return np.array([areas[labels == j + 1].sum() for j in range(k)]) / areas.sum()


def review_often(
    maps: list[ClassMap], truth: list[NDArray[np.int64]], cells: int, repeats: int
) -> dict[str, Tally]:
    """Review the maps again and again, each time with other cells."""
    true = true_shares(maps, truth)
    names = [info.name for info in maps[0].classes]
    tallies = {"corrected": Tally(), "prediction-powered": Tally()}
    for seed in range(repeats):
        review = start_review(maps, cells, seed=seed)
        for index, cell in enumerate(review.cells):
            review = review.with_answer(index, int(truth[cell.image][cell.row, cell.col]))
        estimate = estimate_fractions(count_review(review), names)
        tallies["corrected"].add(estimate.corrected, true)
        tallies["prediction-powered"].add(estimate_prediction_powered(review, maps), true)
    return tallies


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--set", choices=("ebc2", "ebc3"), default="ebc3")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    maps, truth, pixels = maps_and_truth(chosen.set, chosen.data, chosen.cache)
    names = [info.name for info in maps[0].classes]
    result: dict[str, object] = {"set": chosen.set, "classes": names, "images": [], "sizes": {}}

    print(f"{chosen.set}: {', '.join(names)}; shares in %\n")
    print("image | agreement of cells | mask | cells' truth | map as it is")
    per_image: dict[int, dict[str, list[Tally]]] = {}
    for class_map, cells, mask in zip(maps, truth, pixels, strict=True):
        true = true_shares([class_map], [cells])
        naive = np.array([row.fraction for row in class_map.fractions()])
        right = float((class_map.labels() == cells)[~class_map.left_out].mean())
        row = {
            "image": class_map.image_name,
            "agreement": right,
            "mask": mask.tolist(),
            "true": true.tolist(),
            "naive": naive.tolist(),
            "naive_error": float(100 * np.abs(naive - true).mean()),
        }
        for n in (50, 100):
            tallies = review_often([class_map], [cells], n, chosen.repeats)
            for method, tally in tallies.items():
                row[f"{method} {n}"] = tally.summary()
                per_image.setdefault(n, {}).setdefault(method, []).append(tally)
        result["images"].append(row)
        shown = " | ".join(
            " ".join(f"{100 * v:5.1f}" for v in each) for each in (mask, true, naive)
        )
        print(f"{class_map.image_name} | {right:.3f} | {shown}")

    naive_error = np.mean([row["naive_error"] for row in result["images"]])
    print(f"\nper image, naive: mean absolute error {naive_error:.2f} points")
    result["naive_per_image"] = float(naive_error)
    for n, methods in per_image.items():
        for method, tallies in methods.items():
            said = [tally.summary() for tally in tallies]
            line = {key: float(np.mean([each[key] for each in said])) for key in said[0]}
            result["sizes"][f"per image, {method}, {n}"] = line
            print(f"per image, {method}, {n} cells:", {k: round(v, 2) for k, v in line.items()})

    true = true_shares(maps, truth)
    naive = np.array([row.fraction for row in pooled_fractions(maps)])
    left_out = sum(int(each.left_out.sum()) for each in maps)
    print(f"\n{left_out} cells have no class: they were left out")
    result["pooled"] = {
        "true": true.tolist(),
        "naive": naive.tolist(),
        "naive_error": float(100 * np.abs(naive - true).mean()),
    }
    print(f"\npooled: truth {100 * true}, naive {100 * naive}")
    print(f"pooled, naive: mean absolute error {result['pooled']['naive_error']:.2f} points")
    for n in (50, 100, 200, 500):
        for method, tally in review_often(maps, truth, n, chosen.repeats).items():
            line = tally.summary()
            result["sizes"][f"pooled, {method}, {n}"] = line
            print(f"pooled, {method}, {n} cells:", {k: round(v, 2) for k, v in line.items()})
    print("\nfield to field (E562), map as it is:")
    for name, column in zip(names, field_shares(maps).T, strict=True):
        spread = field_spread(column)
        print(
            f"{name}: {100 * spread.mean:.1f} ± {100 * spread.half_width:.1f} %, "
            f"%RA {spread.relative_accuracy_percent:.0f}"
        )
    if chosen.out:
        chosen.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
