"""Fine-tuning beside frozen heads and texture baselines, on tiles of other specimens or places.

    python benchmarks/finetune_compare.py ebc ncm --seeds 0 1 2

Every seed has its own split into tiles to learn from, to choose the best weights on, and to score.
Coatings (NASA EBC, 64 px tiles) are split by specimen; of the cathodes (NCM, 128 px tiles, rows 130
to 893) each class is one specimen, so they are split by place in the scanned strip, a tile apart.
The article's preset runs at smaller sizes and with fewer epochs than its own, to be affordable
without a GPU; a table of means follows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from knob import KNOBS, turned_image
from numpy.typing import NDArray
from tile_features import intensity_statistics, texture_features
from tile_sets import CLASSES, NCM_ROWS, NCM_STEP, load_index, nasa_pairs

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.evaluate.dataset import ImageRecord
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.metrics import Scores, score
from napari_sem_classify.core.evaluate.set_reading import ImageFacts
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.compare import CompareOptions, compare
from napari_sem_classify.core.finetune.comparison import GROUPS
from napari_sem_classify.core.finetune.finetune_presets import make_preset, sizes_for
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import (
    IntensityRecipe,
    measure_range,
    stretch_to_uint8,
)
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.tiles.grid import TileGrid

Baseline = Callable[
    [NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]], NDArray[np.int64]
]


@dataclass(frozen=True, slots=True)
class Pool:
    """Tiles to draw from; `place` is the specimen, or the row in the strip."""

    class_names: tuple[str, ...]
    tiles: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    place: NDArray[np.int64]
    tile_px: int


def ebc_pool(data: Path, tile: int = 64, knob: str | None = None) -> Pool:
    """Coatings: background, oxide, crack (2 % of a tile is enough for a crack).

    With one of `KNOBS` the images are turned first; the tiles have the same numbers.
    """
    classes, contains = CLASSES["ebc3"]
    tiles, labels, groups = [], [], []
    for image, mask, specimen in nasa_pairs(data, "ebc"):
        grid = TileGrid(Area(0, image.shape[0], 0, image.shape[1]), tile, tile)
        found = tiles_from_mask(mask, grid, classes, contains=contains).labels.ravel()
        grey = _stretched(image.with_area(grid.area), knob)
        for window, label in zip(grid.windows(), found, strict=True):
            if label >= 0:
                tiles.append(grey[window.top : window.bottom, window.left : window.right])
                labels.append(label)
                groups.append(specimen)
    known, place = np.unique(groups, return_inverse=True)
    names = tuple(classes.values())
    return Pool(names, np.stack(tiles), np.array(labels), known[place], place, tile)


def ncm_pool(data: Path, tile: int = 128, knob: str | None = None) -> Pool:
    """Cathodes: composition and state; see `ebc_pool`."""
    frames = {p: row for p, row in load_index(data).items() if row["class"] and "ncm_c" in p}
    names = tuple(sorted({row["class"] for row in frames.values()}))
    tiles, labels, groups, rows = [], [], [], []
    last: dict[str, int] = {}
    for path, row in frames.items():
        top = int(dict(part.split("=") for part in row["note"].split(";"))["y0"])
        if top - last.get(row["class"], -NCM_STEP) < NCM_STEP:
            continue  # a frame that shows almost what the last one did
        last[row["class"]] = top
        image = open_image(data / path)
        image = image.with_area(Area(*NCM_ROWS, 0, image.shape[1]))
        grey = _stretched(image, knob)
        for window in TileGrid(image.area, tile, tile).windows():
            down = window.top - image.area.top
            tiles.append(grey[down : down + tile, window.left : window.right])
            labels.append(names.index(row["class"]))
            groups.append(row["group"])
            rows.append(window.top + top)
    return Pool(names, np.stack(tiles), np.array(labels), np.array(groups), np.array(rows), tile)


def _stretched(image: SemImage, knob: str | None) -> NDArray[np.uint8]:
    area = image.area
    if knob is not None:
        image = turned_image(image, KNOBS[knob]).with_area(Area(0, area.height, 0, area.width))
    return stretch_to_uint8(image.read(image.area), measure_range(image, IntensityRecipe()))


def split_ebc(pool: Pool, seed: int) -> list[NDArray[np.int64]]:
    """Half of the specimens to learn from, a quarter to choose, a quarter to score."""
    specimens = np.random.default_rng(seed).permutation(np.unique(pool.place))
    cut = [round(len(specimens) * share) for share in (0.5, 0.75)]
    return [np.flatnonzero(np.isin(pool.place, some)) for some in np.split(specimens, cut)]


def split_ncm(pool: Pool, seed: int) -> list[NDArray[np.int64]]:
    """One end of each strip to learn from, the other to score; odd seeds the other way about."""
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for number in range(len(pool.class_names)):
        mine = np.flatnonzero(pool.labels == number)
        at = pool.place[mine] if seed % 2 else -pool.place[mine]
        first, second = np.quantile(at, [0.5, 0.7])
        parts[0].append(mine[at <= first - pool.tile_px])
        parts[1].append(mine[(at >= first) & (at <= second - pool.tile_px)])
        parts[2].append(mine[at >= second])
    return [np.concatenate(part) for part in parts]


def drawn(
    pool: Pool, parts: list[NDArray[np.int64]], most: tuple[int, int, int], seed: int
) -> tuple[TrainingSet, Split]:
    """At most so many tiles of each class on each side, every tile a case of its own."""
    generator = np.random.default_rng(seed)
    kept = [
        np.concatenate(
            [
                generator.permutation(part[pool.labels[part] == number])[:limit]
                for number in range(len(pool.class_names))
            ]
        )
        for part, limit in zip(parts, most, strict=True)
    ]
    chosen = np.concatenate(kept)
    px = pool.tile_px
    images = tuple(
        ImageFacts(
            ImageRecord(Path(f"tile {number}"), int(pool.labels[number]), pool.groups[number]),
            None,
            (px, px),
            None,
            (0, px, 0, px),
        )
        for number in chosen
    )
    data = TrainingSet(
        class_names=pool.class_names,
        images=images,
        labels=pool.labels[chosen],
        tiles=pool.tiles[chosen],
        tile_image=np.arange(len(chosen)),
        pairs=np.empty((0, 2), dtype=np.int64),
        tile_px=px,
        whole_images=True,
        recipe=IntensityRecipe(),
        crop=None,
        left_out={},
        notes=(),
        folder=Path("nowhere"),
    )
    numbers = np.split(np.arange(len(chosen)), np.cumsum([len(part) for part in kept])[:-1])
    return data, Split(*numbers, np.empty(0, dtype=np.int64), "see the script", 0.0)


def baselines(data: TrainingSet, split: Split) -> dict[str, tuple[Scores, float]]:
    """5-NN on intensity statistics and a random forest on texture, with their seconds."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    grid = TileGrid(Area(0, data.tile_px, 0, data.tile_px), data.tile_px, data.tile_px)
    ways = {
        "5-NN, intensity statistics": (
            intensity_statistics,
            make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
        ),
        "random forest, multi-scale texture": (
            texture_features,
            RandomForestClassifier(200, class_weight="balanced", random_state=0, n_jobs=1),
        ),
    }
    found = {}
    for name, (describe, model) in ways.items():
        begun = time.process_time()
        features = np.concatenate(
            [describe(tile.astype(np.float32) / 255, grid) for tile in data.tiles]
        )
        model.fit(features[split.train], data.labels[split.train])
        predicted = model.predict(features[split.test])
        scores = score(data.labels[split.test], predicted, len(data.class_names))
        found[name] = (scores, time.process_time() - begun)
    return found


POOLS = {
    "ebc": (ebc_pool, split_ebc, (64, 48, 100)),
    "ncm": (ncm_pool, split_ncm, (16, 12, 40)),
}
"""How to make and split each set; the most tiles of a class to learn, choose and score."""


def main() -> None:
    """Print every row as it comes, then the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", choices=list(POOLS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--most", type=int, nargs=3)
    parser.add_argument("--article-sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--article-epochs", type=int, default=6, help="at every size")
    parser.add_argument("--sizes", type=int, nargs="+", help="as suit the tiles where not given")
    parser.add_argument("--epochs", type=int, help="at every size")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--tile", type=int, help="of the cathodes, in px")
    parser.add_argument("--presets", nargs="*", default=["article", "sem"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    settings = {
        "article": (chosen.article_sizes, chosen.article_epochs),
        "sem": (chosen.sizes, chosen.epochs),
    }
    rows = []

    def add(name: str, seed: int, method: str, scores: Scores, seconds: float) -> None:
        row = {
            "set": name,
            "method": method,
            "seed": seed,
            "accuracy": scores.accuracy,
            "balanced_accuracy": scores.balanced_accuracy,
            "macro_f1": scores.macro_f1,
            "cpu_s": seconds,
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
        if chosen.out:
            chosen.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")

    tile = {} if chosen.tile is None else {"tile": chosen.tile}
    pools = {name: POOLS[name][0](chosen.data, **tile) for name in chosen.sets}
    for seed in chosen.seeds:
        for name, pool in pools.items():
            _, cut, most = POOLS[name]
            presets = [
                make_preset(
                    each, tile_px=pool.tile_px, sizes=settings[each][0], epochs=settings[each][1]
                )
                for each in chosen.presets
            ]
            data, split = drawn(pool, cut(pool, seed), tuple(chosen.most or most), seed)
            counts = [np.bincount(data.labels[part]).tolist() for part in _parts(split)]
            print(f"{name}, seed {seed}: {counts} tiles to learn, choose, score", file=sys.stderr)
            for method, (scores, seconds) in baselines(data, split).items():
                add(name, seed, method, scores, seconds)
            clock = [time.process_time()]

            def told(row: object, name: str = name, seed: int = seed, clock: list = clock) -> None:
                spent, clock[0] = time.process_time() - clock[0], time.process_time()
                if row.evaluation is None:
                    print(f"{row.method}: {row.problem}", file=sys.stderr)
                else:
                    add(name, seed, row.method, row.evaluation.scores, spent)

            compare(
                data,
                {GROUPS: split},
                CompareOptions(
                    presets=tuple(presets),
                    seeds=(seed,),
                    frozen_px=(chosen.sizes or sizes_for(pool.tile_px))[-1],
                    download=False,
                    device=chosen.device,
                    batch_size=chosen.batch,
                ),
                on_row=told,
            )
    print_means(rows)


def _parts(split: Split) -> tuple[NDArray[np.int64], ...]:
    return split.train, split.valid, split.test


def print_means(rows: list[dict]) -> None:
    """Mean and standard deviation over seeds, a row for each set and method."""
    print("\n| set | method | seeds | accuracy | balanced accuracy | macro-F1 | processor s |")
    print("|---|---|---|---|---|---|---|")
    for key in dict.fromkeys((row["set"], row["method"]) for row in rows):
        mine = [row for row in rows if (row["set"], row["method"]) == key]
        cells = []
        for measure in ("accuracy", "balanced_accuracy", "macro_f1"):
            values = [row[measure] for row in mine]
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}")
        seconds = f"{np.mean([row['cpu_s'] for row in mine]):.0f}"
        print("| " + " | ".join([*key, str(len(mine)), *cells, seconds]) + " |")


if __name__ == "__main__":
    main()
