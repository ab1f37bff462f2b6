"""How near is the accuracy that Teach tells while tiles of a new image are answered?

Each specimen in turn is left out, and the others teach a model as the program does. Of some images
of the one left out the most doubtful tiles are answered, and the model is taught further with them.
What is expected of the other tiles, by the heads of the stages with the answers, without them, and
by the mean of both as the program takes it, is set beside their true accuracy. Beside it: the same
ten tiles added to the annotations of the other specimens, and all of them taught anew.

    python benchmarks/ten_tiles_expected.py --features FOLDER [--sets ebc3 super3] [--anew]

FOLDER holds what `benchmarks/transfer.py` kept of what the network saw.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from judgement import _specimens, taught_on
from numpy.typing import NDArray
from transfer import Material, load

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.classify.judgement import judgement_of_rest, judgement_on
from napari_sem_classify.core.model.plane_scores import PlaneScores
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
IMAGES = 4
"""Of a specimen, spread over those there are."""

Row = dict[str, float]


def main() -> None:
    """Print a row an image and number of answers, then the mean error of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["ebc3", "super3"])
    parser.add_argument("--anew", action="store_true", help="teach all anew too, which is slow")
    given = parser.parse_args()
    for name in given.sets:
        found = defaultdict(list)
        material = load(name, given.data, given.features)
        lesson = replace(material.lesson, specimens=_specimens(material))
        for specimen in np.unique(material.specimens):
            for answered, row in _specimen(material, lesson, str(specimen), given.anew):
                found[answered].append(row)
        for answered, rows in found.items():
            print(f"{name}, {answered} answers, {len(rows)} images: {_errors(rows)}")


def _specimen(
    material: Material, lesson: Lesson, specimen: str, anew: bool
) -> list[tuple[int, Row]]:
    theirs = material.specimens == specimen
    others, here = np.flatnonzero(~theirs), np.flatnonzero(theirs)
    taught = taught_on(part_of(lesson, others))
    images = np.unique(lesson.places.image[here])
    found = []
    for image in images[:: max(1, len(images) // IMAGES)]:
        rows = here[lesson.places.image[here] == image]
        seen = lesson.seen[lesson.keys[image]]
        truth = np.full(seen.grid.n_tiles, UNLABELLED)
        truth[lesson.numbers[rows]] = lesson.labels[rows]
        chosen = _doubtful(taught, seen, truth)
        for answered, row in _image(taught, seen, truth, chosen):
            if anew and answered == max(ANSWERED):
                mine = rows[np.isin(lesson.numbers[rows], chosen)]
                fresh = taught_on(part_of(lesson, np.sort(np.concatenate([others, mine]))))
                row["anew true"] = _right(scores_on_view(fresh, seen), truth, chosen)
            found.append((answered, row))
            told = "  ".join(f"{what} {value:.3f}" for what, value in row.items())
            print(f"{lesson.keys[image][:28]:28} {answered:2}: {told}", flush=True)
    return found


def _doubtful(taught: Taught, seen: SeenTiles, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tiles to answer, of those of which the truth is known."""
    sure = scores_on_view(taught, seen).probabilities().reshape(seen.grid.n_tiles, -1)[seen.index]
    closed = np.where(truth[seen.index] == UNLABELLED, 0, UNLABELLED)
    most = max(ANSWERED)
    return seen.index[uncertain_tiles(reduce_features(seen.features), closed, sure, most, 0)]


def _image(
    taught: Taught, seen: SeenTiles, truth: NDArray[np.int64], chosen: NDArray[np.int64]
) -> list[tuple[int, Row]]:
    known, stages = taught.transfer, taught.stages
    assert known is not None
    assert stages is not None
    before = scores_on_view(taught, seen)
    first = judgement_on(before, known)
    found: list[tuple[int, Row]] = []
    for answered in (0, *ANSWERED):
        tiles = chosen[:answered]
        row = {"true": _right(before, truth, tiles), "expected": _estimate(first)}
        if answered:
            usual = taught.head.usual
            features = features_on(seen, seen.rows_of(tiles), taught.surroundings, usual)
            head = further_head(taught.head, features, truth[tiles])
            mended = replace(taught, head=head)
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
        found.append((answered, row))
    return found


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
