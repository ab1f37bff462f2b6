"""How the blocked score is best split, and whether choosing the strength on it makes it too high.

Each way's expectation minus the score on separate specimens, at 100 tiles a class, in points; with
the mean size of the error. See `learning_curves.py` for the sets and how they are split.

    python benchmarks/blocked_scores.py [--sets ebc3 super3 ncm] [--seeds 10] [--nested 6]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from learning_curves import SETS, draw, on, split, teach
from numpy.typing import NDArray
from tile_sets import TileSet, load_set

from napari_sem_classify.core.evaluate.metrics import Scores, score
from napari_sem_classify.core.teach.folds import Fold, Folds, TilePlaces, plan_folds
from napari_sem_classify.core.teach.logistic import (
    Basis,
    Solution,
    balanced_weights,
    log_loss,
    make_basis,
    solve,
)
from napari_sem_classify.core.teach.scores import STRENGTHS

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """Annotated tiles of one draw."""

    features: NDArray[np.float32]
    labels: Numbers
    names: tuple[str, ...]
    groups: NDArray[np.str_] | None
    places: TilePlaces

    def part(self, some: Numbers) -> Drawn:
        """Some of the tiles."""
        at = self.places
        places = TilePlaces(at.image[some], at.y[some], at.x[some], at.tile_px)
        groups = None if self.groups is None else self.groups[some]
        return Drawn(self.features[some], self.labels[some], self.names, groups, places)

    def plan(self, **more: object) -> tuple[Fold, ...]:
        """Folds as the program makes them; none where it gives no score."""
        chosen = {"groups": self.groups, "places": self.places, **more}
        plan = plan_folds(self.labels, self.names, **chosen)
        return plan.folds if isinstance(plan, Folds) else ()


def out_of_fold(drawn: Drawn, basis: Basis, folds: tuple[Fold, ...]) -> NDArray[np.float64]:
    """Logits of each strength, shape (strengths, N, classes), NaN for tiles not scored."""
    n = len(drawn.names)
    logits = np.full((len(STRENGTHS), len(drawn.labels), n), np.nan)
    for fold in folds:
        solution: Solution | None = None
        for number, strength in enumerate(STRENGTHS):
            known = basis.coordinates[fold.train]
            solution = solve(known, drawn.labels[fold.train], n, strength, solution)
            logits[number, fold.test] = solution.logits(basis.coordinates[fold.test])
    return logits


def best_of(drawn: Drawn, logits: NDArray[np.float64], some: Numbers) -> int:
    """The strength with the lowest balanced log-loss on some tiles."""
    truth = drawn.labels[some]
    weights = balanced_weights(truth, len(drawn.names))
    return int(np.argmin([log_loss(each[some], truth, weights) for each in logits]))


def expected(drawn: Drawn, folds: tuple[Fold, ...], nest: str = "") -> Scores:
    """Score out of fold; `nest` is "" (as the program does), "others" or "fully"."""
    basis = make_basis(drawn.features)
    logits = out_of_fold(drawn, basis, folds)
    scored = np.flatnonzero(~np.isnan(logits[0, :, 0]))
    found = np.zeros(len(drawn.labels), dtype=np.int64)
    for fold in folds:
        if nest == "fully":
            inside = drawn.part(fold.train)
            inner = out_of_fold(inside, make_basis(inside.features), inside.plan())
            known = np.flatnonzero(~np.isnan(inner[0, :, 0]))
            best = best_of(inside, inner, known) if len(known) else 1
        elif nest == "others":
            best = best_of(drawn, logits, np.setdiff1d(scored, fold.test))
        else:
            best = best_of(drawn, logits, scored)
        found[fold.test] = logits[best, fold.test].argmax(axis=1)
    return score(drawn.labels[scored], found[scored], len(drawn.names))


def study(tiles: TileSet, seeds: int, nested: int) -> None:
    """Print the gaps of each way."""
    gaps: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        train, test = split(tiles, seed)
        some = train[draw(tiles.labels[train], 100, seed)]
        true = on(tiles, teach(tiles, some), test)
        groups = None if tiles.name == "ncm" else tiles.groups
        drawn = Drawn(tiles.embeddings, tiles.labels, tiles.class_names, groups, tiles.places)
        drawn = drawn.part(some)
        lot = np.random.default_rng(seed).integers(0, 5, len(some))
        now = drawn.plan()
        ways = {
            "as the program does": expected(drawn, now),
            "strength chosen on the other folds": expected(drawn, now, "others"),
            "one group or block a fold": expected(drawn, drawn.plan(n_folds=len(some))),
            "random": expected(drawn, drawn.plan(groups=lot)),
        }
        if groups is not None:
            image = drawn.places.image
            ways["by image"] = expected(drawn, drawn.plan(groups=image))
            one = drawn.plan(groups=image, n_folds=len(some))
            ways["one image a fold"] = expected(drawn, one)
        if seed < nested:
            ways["nested"] = expected(drawn, now, "fully")
        for way, found in ways.items():
            gap = found.balanced_accuracy - true.balanced_accuracy
            gaps.setdefault(way, []).append((found.accuracy - true.accuracy, gap))
    for way, values in gaps.items():
        mean, size = 100 * np.mean(values, axis=0), 100 * np.mean(np.abs(values), axis=0)
        print(
            f"{tiles.name} | {way} | accuracy {mean[0]:+.1f} points, off by {size[0]:.1f} | "
            f"balanced accuracy {mean[1]:+.1f} points, off by {size[1]:.1f} | {len(values)} draws",
            flush=True,
        )


def main() -> None:
    """Run the study on all sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--nested", type=int, default=6, help="Draws that are nested too.")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    wish = parser.parse_args()
    for name in wish.sets:
        study(load_set(name, wish.data, wish.cache, SETS[name]), wish.seeds, wish.nested)


if __name__ == "__main__":
    main()
