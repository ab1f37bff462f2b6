"""Bias and coverage of area fractions on simulated class maps whose truth is known.

Each map has 3 classes in patches of random size and share, and a classifier with random errors: its
own confusion matrix, errors in patches (so that neighbours err together), and probabilities that
are more or less overconfident. A sample of cells is reviewed with the truth, the fractions are
estimated, and the estimate and its 95 % interval are compared with the true area fraction.

    python benchmarks/area_fraction_simulation.py [--maps 2000] [--figure docs/area-fractions.png]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_sem_classify.core.evaluate.intervals import z_of
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
from napari_sem_classify.core.measure.prediction_powered import estimate_prediction_powered
from napari_sem_classify.core.measure.review import start_review
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.tiles.grid import TileGrid

NAMES = ("matrix", "oxide", "crack")
SIZES = (50, 200, 500)
# Maps 0 to 999 served to choose between Wilson, Jeffreys and a third interval; these did not.
FIRST_MAP = 10_000
METHODS = ("map as it is", "corrected, normal interval", "corrected", "prediction-powered")


def normal_interval(share):
    """The textbook interval, value ± z × standard error: too narrow with few cells or errors."""
    half = z_of(0.95) * share.standard_error
    return max(0.0, share.value - half), min(1.0, share.value + half)


def patches(rng, shape, size):
    """A smooth field of unit variance."""
    field = gaussian_filter(rng.standard_normal(shape), size, mode="wrap")
    return field / field.std()


def simulated_map(rng):
    """A class map and the truth of its cells (1 for the first class)."""
    rows, cols = rng.integers(30, 70, 2)
    size = rng.uniform(0.8, 4.0)
    # Random shares: from equal ones to a class of half a percent.
    shares = rng.dirichlet([1.2, 0.8, 0.35]) * 0.985 + 0.005
    score = np.stack([patches(rng, (rows, cols), size) for _ in NAMES], axis=-1)
    offset = np.zeros(3)
    for _ in range(60):  # offsets that give the wanted shares
        got = np.bincount((score + offset).argmax(-1).ravel(), minlength=3) / (rows * cols)
        offset += 0.4 * (np.log(shares + 1e-3) - np.log(got + 1e-3))
    truth = (score + offset).argmax(-1)

    # The classifier sees the truth through noise, with a preference of its own for each class.
    skill = rng.uniform(1.2, 4.0)
    noise = np.stack(
        [
            0.6 * patches(rng, (rows, cols), 1.5) + 0.8 * rng.standard_normal((rows, cols))
            for _ in NAMES
        ],
        axis=-1,
    )
    logits = skill * np.eye(3)[truth] + noise + rng.normal(0.0, 0.6, 3)
    logits *= rng.uniform(0.7, 3.0)  # from underconfident to overconfident
    logits -= logits.max(-1, keepdims=True)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(-1, keepdims=True)

    tile = 32  # the last row and column of cells are cut off anywhere
    area = Area(
        0, int(rows * tile - rng.integers(0, tile)), 0, int(cols * tile - rng.integers(0, tile))
    )
    grid = TileGrid(area, tile, tile)
    colours = default_colours(3)
    classes = tuple(ClassInfo(n, c) for n, c in zip(NAMES, colours, strict=True))
    return ClassMap(probabilities.astype(np.float32), grid, classes, 25.0, "simulated"), truth + 1


def one_map(seed):
    """Estimates of one map: array (sizes, methods, classes, [value, low, high]) and the truth."""
    rng = np.random.default_rng([20261123, seed])
    class_map, truth = simulated_map(rng)
    areas = class_map.grid.cell_areas()
    true = np.array([areas[truth == k].sum() for k in (1, 2, 3)]) / areas.sum()
    result = np.full((len(SIZES), len(METHODS), 3, 3), np.nan)
    users = np.full((len(SIZES), 2, 3, 3), np.nan)
    labels = class_map.labels()
    for s, size in enumerate(SIZES):
        review = start_review([class_map], size, seed=seed)
        for index, cell in enumerate(review.cells):
            review = review.with_answer(index, int(truth[cell.row, cell.col]))
        estimate = estimate_fractions(count_review(review), NAMES)
        powered = estimate_prediction_powered(review, [class_map])
        for k in range(3):
            naive, share = estimate.naive[k], estimate.corrected[k]
            result[s, 0, k] = naive, naive, naive
            result[s, 1, k] = share.value, *normal_interval(share)
            result[s, 2, k] = share.value, share.low, share.high
            result[s, 3, k] = powered[k].value, powered[k].low, powered[k].high
            mapped, is_true = areas[labels == k + 1].sum(), areas[truth == k + 1].sum()
            both = areas[(labels == k + 1) & (truth == k + 1)].sum()
            for m, (got, whole) in enumerate(
                ((estimate.users[k], mapped), (estimate.producers[k], is_true))
            ):
                if whole and not np.isnan(got.value):
                    inside = got.low <= both / whole <= got.high
                    users[s, m, k] = got.value - both / whole, inside, got.high - got.low
    accuracy = areas[labels == truth].sum() / areas.sum()
    return true, result, users, accuracy


def summary(true, result):
    """Per sample size and method: bias, absolute error, coverage, median width."""
    rows = []
    rare = true < 0.05
    for s, size in enumerate(SIZES):
        for m, method in enumerate(METHODS):
            value, low, high = np.moveaxis(result[:, s, m], -1, 0)
            error = value - true
            inside = (low <= true + 1e-12) & (true - 1e-12 <= high)
            rows.append(
                {
                    "reviewed": size,
                    "method": method,
                    "bias_points": [round(100 * float(e), 3) for e in error.mean(0)],
                    "mean_absolute_error_points": round(100 * float(np.abs(error).mean()), 3),
                    "coverage_percent": None if m == 0 else round(100 * float(inside.mean()), 2),
                    "coverage_by_class_percent": None
                    if m == 0
                    else [round(100 * float(i), 2) for i in inside.mean(0)],
                    "coverage_below_5_percent_area": None
                    if m == 0
                    else round(100 * float(inside[rare].mean()), 2),
                    "median_half_width_points": None
                    if m == 0
                    else round(50 * float(np.median(high - low)), 3),
                    "mean_half_width_points": None
                    if m == 0
                    else round(50 * float(np.mean(high - low)), 3),
                }
            )
    return rows


def draw(true, result, rows, path):
    """Left: estimates against the truth; right: coverage of the intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
    grey, blue = "#999999", "#0072b2"
    naive = 100 * (result[:, 1, 0, :, 0] - true).ravel()
    corrected = 100 * (result[:, 1, 2, :, 0] - true).ravel()
    x = 100 * true.ravel()
    left.plot(x, naive, ".", ms=2, color=grey, label="map as it is", rasterized=True)
    left.plot(x, corrected, ".", ms=2, color=blue, label="corrected, 200 cells", rasterized=True)
    left.axhline(0, color="black", lw=0.8)
    left.set(
        xlabel="true area fraction (%)",
        ylabel="estimate minus truth (percentage points)",
        title=f"{len(true):,} simulated maps of 3 classes",
        ylim=(-45, 45),
    )
    left.legend(markerscale=5, loc="upper right")
    colours = {METHODS[1]: "#d55e00", METHODS[2]: blue, METHODS[3]: "#009e73"}
    marks = {METHODS[1]: "s--", METHODS[2]: "o-", METHODS[3]: "^-"}
    right.axhspan(93, 97, color="#eeeeee")
    right.axhline(95, color="black", lw=0.8)
    for method, colour in colours.items():
        mine = [row for row in rows if row["method"] == method]
        y = [row["coverage_percent"] for row in mine]
        right.plot(range(len(SIZES)), y, marks[method], color=colour, label=method)
    right.set_xticks(range(len(SIZES)), [str(size) for size in SIZES])
    right.set(
        xlabel="reviewed cells",
        ylabel="intervals that hold the truth (%)",
        title="Coverage of 95 % intervals",
        ylim=(75, 100),
    )
    right.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=2000)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--out", type=Path, help="the figures as JSON")
    chosen = parser.parse_args()
    start = time.perf_counter()
    done = [one_map(seed) for seed in range(FIRST_MAP, FIRST_MAP + chosen.maps)]
    true, result, users, accuracy = (np.stack(parts) for parts in zip(*done, strict=True))
    rows = summary(true, result)
    accuracies = {
        name: [round(100 * float(np.nanmean(users[:, s, m, :, 1])), 2) for s in range(len(SIZES))]
        for m, name in enumerate(("user's accuracy", "producer's accuracy"))
    }
    print(
        f"{chosen.maps} maps, {time.perf_counter() - start:.0f} s; "
        f"naive share wrong by {100 * np.abs(result[:, 0, 0, :, 0] - true).mean():.2f} points on "
        f"average, {100 * np.abs(result[:, 0, 0, :, 0] - true).max():.1f} at most"
    )
    print(
        "area given the right class, 5th to 95th percentile of the maps:",
        np.percentile(100 * accuracy, [5, 50, 95]).round(1),
    )
    for row in rows:
        print(json.dumps(row))
    print("coverage", accuracies)
    if chosen.out:
        from napari_sem_classify.core.common.files import write_json

        write_json(chosen.out, {"maps": chosen.maps, "fractions": rows, "coverage": accuracies})
    if chosen.figure:
        draw(true, result, rows, chosen.figure)


if __name__ == "__main__":
    main()
