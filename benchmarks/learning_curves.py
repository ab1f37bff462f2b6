"""Scores at 5, 20 and 100 annotated tiles a class; what suggestions and honest splits are worth.

Three studies on real specimens; train and test tiles never come from the same specimen (for the NCM
cathodes, of which each class is one specimen: never from the same part of the scanned strip).

    python benchmarks/learning_curves.py tiles        the head beside 5-NN and a random forest
    python benchmarks/learning_curves.py suggestions  suggested against random tiles
    python benchmarks/learning_curves.py bias         blocked and random scores against the truth
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from teach_nasa import forest, neighbours
from tile_sets import TileSet, load_set

from napari_sem_classify.core.evaluate.metrics import Scores, score
from napari_sem_classify.core.teach.axes import reduce_features
from napari_sem_classify.core.teach.folds import TilePlaces
from napari_sem_classify.core.teach.head_fit import FitOptions, Taught, teach_head
from napari_sem_classify.core.teach.logistic import DEFAULT_STRENGTH
from napari_sem_classify.core.teach.suggest import suggest_tiles

SETS = {"ebc3": 64, "super3": 64, "ncm": 224}
BUDGET, STEP = 100, 10


def split(tiles: TileSet, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tiles to annotate and tiles to score: about a third of the specimens is scored."""
    generator = np.random.default_rng(seed)
    if tiles.name != "ncm":
        specimens = generator.permutation(np.unique(tiles.groups))
        held = np.isin(tiles.groups, specimens[: round(len(specimens) / 3)])
        return np.flatnonzero(~held), np.flatnonzero(held)
    train, test = [], []
    for number in range(len(tiles.class_names)):
        mine = np.flatnonzero(tiles.labels == number)
        y = tiles.places.y[mine] if seed % 2 else -tiles.places.y[mine]
        border = np.quantile(y, 0.6)
        test.append(mine[y >= border])
        train.append(mine[y <= border - tiles.places.tile_px])
    return np.concatenate(train), np.concatenate(test)


def draw(labels: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.int64]:
    """`per_class` random tiles of each class, all of a class that has fewer."""
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(np.flatnonzero(labels == c))[:per_class] for c in set(labels)]
    return np.concatenate(drawn)


def teach(tiles: TileSet, train: NDArray[np.int64], *, strength: float | None = None) -> Taught:
    """A head on some tiles, by specimen where there are several, else by spatial blocks."""
    places = TilePlaces(
        tiles.places.image[train],
        tiles.places.y[train],
        tiles.places.x[train],
        tiles.places.tile_px,
    )
    groups = None if tiles.name == "ncm" else tiles.groups[train]
    return teach_head(
        tiles.embeddings[train],
        tiles.labels[train],
        tiles.class_names,
        FitOptions(groups, places, strength=strength),
    )


def on(tiles: TileSet, taught: Taught, test: NDArray[np.int64]) -> Scores:
    """Score a head on some tiles."""
    predicted = taught.head.logits(tiles.embeddings[test]).argmax(axis=1)
    return score(tiles.labels[test], predicted, len(tiles.class_names))


def study_tiles(tiles: TileSet, seeds: int) -> None:
    """Print accuracy, balanced accuracy and macro-F1 of each way at each number of tiles."""
    for per_class in (5, 20, 100):
        rows: dict[str, list[list[float]]] = {}
        used = []
        for seed in range(seeds):
            train, test = split(tiles, seed)
            some = train[draw(tiles.labels[train], per_class, seed)]
            used.append(len(some))
            found = {"taught head": on(tiles, teach(tiles, some), test)}
            for name, predict in (("5-NN intensity", neighbours), ("random forest", forest)):
                predicted = predict(tiles, some, test)
                found[name] = score(tiles.labels[test], predicted, len(tiles.class_names))
            for name, s in found.items():
                rows.setdefault(name, []).append([s.accuracy, s.balanced_accuracy, s.macro_f1])
        for name, values in rows.items():
            mean, spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
            cells = [f"{m:.3f} ± {d:.3f}" for m, d in zip(mean, spread, strict=True)]
            print(
                f"{tiles.name} | {per_class} ({np.mean(used):.0f} tiles) | {name} | "
                + " | ".join(cells),
                flush=True,
            )


def study_suggestions(tiles: TileSet, seeds: int) -> None:
    """Print the area under the macro-F1 curve from `STEP` to `BUDGET` tiles, both ways."""
    areas: dict[str, list[float]] = {"random": [], "suggested": []}
    for seed in range(seeds):
        train, test = split(tiles, seed)
        reduced = reduce_features(tiles.embeddings[train])
        for way, list_ in areas.items():
            list_.append(np.mean(_curve(tiles, train, test, reduced, way, seed)))
    gain = np.array(areas["suggested"]) - np.array(areas["random"])
    print(
        f"{tiles.name} | random {np.mean(areas['random']):.3f} | "
        f"suggested {np.mean(areas['suggested']):.3f} | gain {gain.mean():+.3f} ± "
        f"{gain.std(ddof=1):.3f}, better in {np.count_nonzero(gain > 0)} of {seeds}",
        flush=True,
    )


def _curve(
    tiles: TileSet,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    reduced: NDArray[np.float32],
    way: str,
    seed: int,
) -> list[float]:
    generator = np.random.default_rng(1000 + seed)
    labels = np.full(len(train), -1)
    probabilities = None
    curve = []
    for _ in range(BUDGET // STEP):
        if way == "random":
            chosen = generator.permutation(np.flatnonzero(labels < 0))[:STEP]
        else:
            chosen = suggest_tiles(reduced, labels, probabilities, STEP, seed=seed)
        labels[chosen] = tiles.labels[train[chosen]]
        some = train[labels >= 0]
        if len(np.unique(tiles.labels[some])) < 2:
            only = np.full(len(test), tiles.labels[some[0]])
            curve.append(score(tiles.labels[test], only, len(tiles.class_names)).macro_f1)
            continue
        taught = teach(tiles, some, strength=DEFAULT_STRENGTH)
        probabilities = taught.head.probabilities(tiles.embeddings[train])
        curve.append(on(tiles, taught, test).macro_f1)
    return curve


def study_bias(tiles: TileSet, seeds: int) -> None:
    """Print expected minus true macro-F1 and accuracy, for the blocked and for a random split."""
    gaps: dict[str, list[tuple[float, float]]] = {"blocked": [], "random": []}
    for seed in range(seeds):
        train, test = split(tiles, seed)
        some = train[draw(tiles.labels[train], 100, seed)]
        taught = teach(tiles, some)
        true = on(tiles, taught, test)
        lot = np.random.default_rng(seed).integers(0, 5, len(some))
        shuffled = teach_head(
            tiles.embeddings[some], tiles.labels[some], tiles.class_names, FitOptions(lot)
        )
        for way, found in (("blocked", taught.score), ("random", shuffled.score)):
            if found is not None:
                s = found.scores
                gaps[way].append(
                    (s.accuracy - true.accuracy, s.balanced_accuracy - true.balanced_accuracy)
                )
    for way, values in gaps.items():
        mean, size = 100 * np.mean(values, axis=0), 100 * np.mean(np.abs(values), axis=0)
        print(
            f"{tiles.name} | {way} | accuracy {mean[0]:+.1f} points, off by {size[0]:.1f} | "
            f"balanced accuracy {mean[1]:+.1f} points, off by {size[1]:.1f} | {len(values)} seeds",
            flush=True,
        )


def main() -> None:
    """Run one study on all sets."""
    studies = {"tiles": study_tiles, "suggestions": study_suggestions, "bias": study_bias}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=studies)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    chosen = parser.parse_args()
    for name in chosen.sets:
        studies[chosen.study](load_set(name, chosen.data, chosen.cache, SETS[name]), chosen.seeds)


if __name__ == "__main__":
    main()
