"""Do ten tiles of a new specimen mend a model, and does it matter which, and how they are added?

Each specimen in turn is left out, and a model is taught on all tiles of the others. Then ten tiles
of one of its images are added, drawn at random or suggested, and the model is tried on the other
tiles of that specimen, the same for all ways. They are added to the head that is there
(`further_head`), or to a sample of the old tiles, such as a model file could hold, for a fit anew.

    python benchmarks/ten_tiles.py --features FOLDER [--sets ebc3 super3]

FOLDER holds what `benchmarks/transfer.py` kept of what the network saw.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transfer import load

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.teach.axes import reduce_features
from napari_sem_classify.core.teach.further import further_head
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.teach.lesson import Lesson, sample_labels
from napari_sem_classify.core.teach.suggest import typical_tiles, uncertain_tiles

TILES, SEEDS, KEPT = 10, 5, 209
Measured = tuple[float, float]


def main() -> None:
    """Print accuracy and macro-F1: by specimen, their mean, and of the hardest third."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["ebc3", "super3"])
    given = parser.parse_args()
    for name in given.sets:
        material = load(name, given.data, given.features)
        rows = []
        for specimen in np.unique(material.specimens):
            mine = np.asarray(material.specimens == specimen)
            rows.append(_one(material.lesson, mine))
            told = "  ".join(f"{way} {a:.3f}/{f:.3f}" for way, (a, f) in rows[-1].items())
            print(f"{name} {specimen}: {told}", flush=True)
        rows.sort(key=lambda row: row["before"][0])
        for what, some in (("all", rows), ("hardest third", rows[: max(1, len(rows) // 3)])):
            for way in rows[0]:
                accuracy, macro_f1 = np.mean([row[way] for row in some], axis=0)
                print(f"{name} {what} ({len(some)}) {way}: {accuracy:.3f} {macro_f1:.3f}")


def _one(lesson: Lesson, mine: NDArray[np.bool_]) -> dict[str, Measured]:
    """Accuracy and macro-F1 on a specimen, of each way, mean of the seeds."""
    features, labels, images = lesson.features, lesson.labels, lesson.places.image
    n_classes = len(lesson.class_names)
    ours, here = np.flatnonzero(~mine), np.flatnonzero(mine)
    full = fit_head(features[ours], labels[ours], n_classes)
    found: dict[str, list[Measured]] = {}
    for seed in range(SEEDS):
        generator = np.random.default_rng(seed)
        tiles = here[images[here] == generator.choice(np.unique(images[here]))]
        [kept] = sample_labels([labels[ours]], KEPT // n_classes, seed)
        old = ours[kept != UNLABELLED]
        reduced, none = reduce_features(features[tiles]), np.full(len(tiles), UNLABELLED)
        sure = full.probabilities(features[tiles])
        chosen = {
            "random": generator.choice(len(tiles), TILES, replace=False),
            "typical": typical_tiles(reduced, none, TILES, seed),
            "doubtful": uncertain_tiles(reduced, none, sure, TILES, seed),
        }
        heads = {"before": full}
        for way, rows in chosen.items():
            new = tiles[rows]
            heads[f"{way}, added to the head"] = further_head(full, features[new], labels[new])
            both = np.concatenate([old, np.repeat(new, 3)])
            heads[f"{way}, with kept tiles"] = fit_head(features[both], labels[both], n_classes)
        left = np.setdiff1d(here, tiles[np.concatenate(list(chosen.values()))])
        for way, head in heads.items():
            said = head.logits(features[left]).argmax(axis=1)
            measured = score(labels[left], said, n_classes)
            found.setdefault(way, []).append((measured.accuracy, measured.macro_f1))
    means = {way: np.mean(each, axis=0) for way, each in found.items()}
    return {way: (float(mean[0]), float(mean[1])) for way, mean in means.items()}


if __name__ == "__main__":
    main()
