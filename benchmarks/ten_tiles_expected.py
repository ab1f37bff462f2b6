"""How near is the accuracy that Teach tells while tiles of a new image are answered?

Each specimen in turn is left out, or with `--taught 3` all but three that are drawn, and the
others teach a model as the program does, copies with turned knobs too. Of some images of those
left out the most doubtful tiles are answered, and the model is taught further with them. What is
expected of the other tiles, by the heads of the stages with the answers, without them, and by the
mean of both as the program takes it, is set beside their true accuracy. Beside it: ten random
tiles, five times; and the same ten tiles added to the annotations of the other specimens, and all
of them taught anew. The images that the judgement calls unlike are told apart.

    python benchmarks/ten_tiles_expected.py --features FOLDER [--sets ebc3 super3]
        [--taught 0 3] [--draws 5] [--anew]

FOLDER holds what `benchmarks/transfer.py` and `benchmarks/judgement.py` kept of what the network
saw.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from judgement import _specimens, copies_of, draws, taught_on, with_copies
from numpy.typing import NDArray
from transfer import Material, load

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.classify.judgement import judgement_of_rest, judgement_on
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.surroundings import surroundings_for
from napari_sem_classify.core.model.transfer import Judgement
from napari_sem_classify.core.teach.around import features_on
from napari_sem_classify.core.teach.axes import reduce_features
from napari_sem_classify.core.teach.further import further_head, further_stages
from napari_sem_classify.core.teach.head_fit import Taught
from napari_sem_classify.core.teach.learn import scores_on_view
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.lesson_fit import part_of
from napari_sem_classify.core.teach.looked import SeenTiles
from napari_sem_classify.core.teach.suggest import uncertain_tiles

ANSWERED = (3, 6, 10)
SEEDS = 5
"""Of the random tiles."""
IMAGES = 4
"""Of a specimen, spread over those there are."""

Row = dict[str, float]
Told = tuple[int, bool, Row]
"""Answers, whether the image was called unlike before the first, and what was found."""


def main() -> None:
    """Print a row an image and number of answers, then the mean error of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["ebc3", "super3"])
    parser.add_argument("--anew", action="store_true", help="teach all anew too, which is slow")
    parser.add_argument("--taught", nargs="+", type=int, default=[0])
    parser.add_argument("--draws", type=int, default=5)
    given = parser.parse_args()
    for name in given.sets:
        material = load(name, given.data, given.features)
        lesson = replace(material.lesson, specimens=_specimens(material))
        copies = copies_of(name, material, given.data, given.features)
        for some in given.taught:
            found: list[Told] = []
            for seed, train, test in draws(material, name, some, given.draws):
                if len(np.unique(lesson.labels[train])) < len(lesson.classes):
                    continue
                taught = taught_on(with_copies(lesson, train, copies, seed), surroundings_for())
                found += _left_out(material, lesson, taught, (train, test), given.anew)
            who = f"{name}, {some or 'all but one'} taught"
            for answered in (0, *ANSWERED):
                rows = [row for count, _, row in found if count == answered]
                print(f"{who}, {answered} answers, {len(rows)} images: {_errors(rows)}")
            unlike = [row for count, bad, row in found if bad and count == max(ANSWERED)]
            if unlike:
                print(f"{who}, called unlike, {len(unlike)} images: {_errors(unlike)}", flush=True)


def _left_out(
    material: Material,
    lesson: Lesson,
    taught: Taught,
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
    anew: bool,
) -> list[Told]:
    """Some images of each specimen that did not teach."""
    train, test = parts
    found: list[Told] = []
    for specimen in np.unique(material.specimens[test]):
        here = test[material.specimens[test] == specimen]
        images = np.unique(lesson.places.image[here])
        for image in images[:: max(1, len(images) // IMAGES)]:
            rows = here[lesson.places.image[here] == image]
            seen = lesson.seen[lesson.keys[image]]
            truth = np.full(seen.grid.n_tiles, UNLABELLED)
            truth[lesson.numbers[rows]] = lesson.labels[rows]
            chosen = _doubtful(taught, seen, truth)
            for answered, unlike, row in _image(taught, seen, truth, chosen):
                if anew and answered == max(ANSWERED):
                    mine = rows[np.isin(lesson.numbers[rows], chosen)]
                    both = part_of(lesson, np.sort(np.concatenate([train, mine])))
                    fresh = taught_on(both, surroundings_for())
                    row["anew true"] = _right(scores_on_view(fresh, seen), truth, chosen)
                found.append((answered, unlike, row))
                told = "  ".join(f"{what} {value:.3f}" for what, value in row.items())
                said = "unlike" if unlike else "like"
                print(f"{lesson.keys[image][:28]:28} {said} {answered:2}: {told}", flush=True)
    return found


def _doubtful(taught: Taught, seen: SeenTiles, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tiles to answer, of those of which the truth is known."""
    sure = scores_on_view(taught, seen).probabilities().reshape(seen.grid.n_tiles, -1)[seen.index]
    closed = np.where(truth[seen.index] == UNLABELLED, 0, UNLABELLED)
    most = max(ANSWERED)
    return seen.index[uncertain_tiles(reduce_features(seen.features), closed, sure, most, 0)]


def _image(
    taught: Taught, seen: SeenTiles, truth: NDArray[np.int64], chosen: NDArray[np.int64]
) -> list[Told]:
    known, stages = taught.transfer, taught.stages
    assert known is not None
    assert stages is not None
    before = scores_on_view(taught, seen)
    first = judgement_on(before, known)
    unlike = first.verdict in ("unlike", "very unlike")
    found: list[Told] = []
    for answered in (0, *ANSWERED):
        tiles = chosen[:answered]
        row = {"true": _right(before, truth, tiles), "expected": _estimate(first)}
        if answered:
            mended, features = _mended(taught, seen, truth, tiles)
            without = scores_on_view(mended, seen)
            both = further_stages(stages, taught.head, features, truth[tiles])
            after = scores_on_view(replace(mended, stages=both), seen)
            told = judgement_of_rest(before, after, known, tiles)
            row |= {
                "before": row["true"],
                "true": _right(after, truth, tiles),
                "with": _estimate(judgement_on(after, known)),
                "without": _estimate(judgement_on(without, known)),
                "expected": _estimate(told),
                "inside": _inside(told, _right(after, truth, tiles)),
            }
        if answered == max(ANSWERED):
            row |= _beside_random(taught, before, seen, truth, tiles)
        found.append((answered, unlike, row))
    return found


def _mended(
    taught: Taught, seen: SeenTiles, truth: NDArray[np.int64], tiles: NDArray[np.int64]
) -> tuple[Taught, NDArray[np.float32]]:
    """The model taught further with some tiles, and what it saw in these."""
    features = features_on(seen, seen.rows_of(tiles), taught.surroundings, taught.head.usual)
    return replace(taught, head=further_head(taught.head, features, truth[tiles])), features


def _beside_random(
    taught: Taught,
    before: PlaneScores,
    seen: SeenTiles,
    truth: NDArray[np.int64],
    doubtful: NDArray[np.int64],
) -> Row:
    """Right of the same other tiles without answers, with ten random and with ten doubtful ones."""
    there = seen.index[truth[seen.index] != UNLABELLED]
    mended = scores_on_view(_mended(taught, seen, truth, doubtful)[0], seen)
    found = []
    for seed in range(SEEDS):
        drawn = np.random.default_rng(seed).choice(there, len(doubtful), replace=False)
        other = scores_on_view(_mended(taught, seen, truth, drawn)[0], seen)
        both = np.concatenate([drawn, doubtful])
        found.append([_right(each, truth, both) for each in (before, other, mended)])
    mean = np.mean(found, axis=0)
    return {"none true": mean[0], "random true": mean[1], "doubtful true": mean[2]}


def _right(scores: PlaneScores, truth: NDArray[np.int64], answered: NDArray[np.int64]) -> float:
    said = scores.probabilities().reshape(len(truth), -1)
    rest = truth != UNLABELLED
    rest[answered] = False
    return float((said[rest].argmax(axis=1) == truth[rest]).mean())


def _estimate(judgement: Judgement) -> float:
    return float("nan") if judgement.expected is None else judgement.expected.estimate


def _inside(judgement: Judgement, true: float) -> float:
    expected = judgement.expected
    return float("nan") if expected is None else float(expected.low <= true <= expected.high)


def _errors(rows: list[Row]) -> str:
    told = [f"true {np.mean([row['true'] for row in rows]):.3f}"]
    for what in rows[0]:
        values = np.array([row[what] for row in rows])
        if what == "inside":
            told.append(f"{np.nansum(values):.0f} of {np.count_nonzero(~np.isnan(values))} inside")
        elif what.endswith("true") or what == "before":
            told.append(f"{what} {np.nanmean(values):.3f}")
        else:
            gaps = values - np.array([row["true"] for row in rows])
            told.append(f"{what} off by {np.nanmean(np.abs(gaps)):.3f} ({np.nanmean(gaps):+.3f})")
    return ", ".join(dict.fromkeys(told))


if __name__ == "__main__":
    main()
