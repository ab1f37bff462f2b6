"""Teach on some specimens of coated ceramics, classify the others: the head against simpler ways.

Each specimen in turn is left out (8 of them, 12 images, tiles of 64 px, 0 = background, 1 = oxide);
the head's strength is chosen by cross-validation over the other specimens. Run from the repository:

    python benchmarks/teach_nasa.py [--data ../shared/data] [--cache FOLDER] [--set NAME]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tile_sets import TileSet, load_set

from napari_sem_classify.core.evaluate.metrics import Scores, score
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head

Predict = Callable[[TileSet, NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]


def taught_head(
    tiles: TileSet, train: NDArray[np.int64], test: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The program's way; in the record of its fold it also tells what it expected."""
    taught = teach_head(
        tiles.embeddings[train],
        tiles.labels[train],
        tiles.class_names,
        FitOptions(groups=tiles.groups[train]),
    )
    if taught.score is not None:
        EXPECTED.append(taught.score.scores.macro_f1)
    STRENGTHS.append(taught.strength)
    return taught.head.logits(tiles.embeddings[test]).argmax(axis=1)


def majority(
    tiles: TileSet, train: NDArray[np.int64], test: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The commonest class everywhere."""
    return np.full(len(test), np.bincount(tiles.labels[train]).argmax())


def neighbours(
    tiles: TileSet, train: NDArray[np.int64], test: NDArray[np.int64]
) -> NDArray[np.int64]:
    """5 nearest neighbours on standardised intensity statistics."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), KNeighborsClassifier(min(5, len(train))))
    return model.fit(tiles.intensity[train], tiles.labels[train]).predict(tiles.intensity[test])


def forest(tiles: TileSet, train: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[np.int64]:
    """A balanced random forest on multi-scale texture features."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(200, class_weight="balanced", random_state=0, n_jobs=1)
    return model.fit(tiles.texture[train], tiles.labels[train]).predict(tiles.texture[test])


WAYS: dict[str, Predict] = {
    "majority class": majority,
    "5-NN, intensity statistics": neighbours,
    "random forest, multi-scale texture": forest,
    "taught head": taught_head,
}
EXPECTED: list[float] = []
STRENGTHS: list[float] = []


def leave_one_out(tiles: TileSet, predict: Predict) -> dict[str, Scores]:
    """Score each specimen with a model of all others."""
    scores = {}
    for specimen in sorted(set(tiles.groups.tolist())):
        test = np.flatnonzero(tiles.groups == specimen)
        train = np.flatnonzero(tiles.groups != specimen)
        predicted = predict(tiles, train, test)
        scores[specimen] = score(tiles.labels[test], predicted, len(tiles.class_names))
    return scores


def main() -> None:
    """Print the table and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    parser.add_argument("--set", default="ebc2", choices=["ebc2", "ebc3", "super2", "super3"])
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    tiles = load_set(chosen.set, chosen.data, chosen.cache)
    print(f"{chosen.set}: {len(tiles.labels)} tiles, {tiles.n_mixed} mixed ones left out,", end=" ")
    print(dict(zip(tiles.class_names, np.bincount(tiles.labels).tolist(), strict=True)))
    report = {}
    print("way | accuracy | balanced accuracy | macro-F1 | macro-F1 of all tiles together")
    for name, predict in WAYS.items():
        scores = leave_one_out(tiles, predict)
        rows = np.array([[s.accuracy, s.balanced_accuracy, s.macro_f1] for s in scores.values()])
        pooled = Scores(np.sum([s.confusion for s in scores.values()], axis=0))
        cells = [
            f"{m:.3f} ± {d:.3f}" for m, d in zip(rows.mean(0), rows.std(0, ddof=1), strict=True)
        ]
        print(" | ".join([name, *cells, f"{pooled.macro_f1:.3f}"]), flush=True)
        report[name] = {specimen: s.confusion.tolist() for specimen, s in scores.items()}
        if predict is taught_head:
            for specimen, s in scores.items():
                print(f"    {specimen}: accuracy {s.accuracy:.3f}, macro-F1 {s.macro_f1:.3f}")
            print(f"    expected macro-F1 (blocked score of each fold): {np.mean(EXPECTED):.3f}")
            print(f"    strengths: {STRENGTHS}")
    if chosen.out:
        chosen.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
