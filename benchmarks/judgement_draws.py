"""How many of the images on which a model fails are found, over many draws of taught specimens?

The wider protocol beside `benchmarks/judgement.py`: few specimens teach, the tile alone counts, and
all the others are judged as they are and with every knob turned, so that there are dozens of images
that are 10 points or more under the promise. It goes by what `benchmarks/knob.py` kept of what the
network saw (of the coatings every third tile).

    python benchmarks/judgement_draws.py --cache FOLDER [--sets super2 ebc2] [--taught 3 0]
        [--draws 6] [--no-copies]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from knob import AS_IT_IS, TILE, _ends
from numpy.typing import NDArray
from tile_sets import CLASSES, nasa_pairs

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.model.transfer import Judgement, agreement_of, judge
from napari_sem_classify.core.teach.head_fit import FitOptions, teach_head
from napari_sem_classify.core.teach.judged_tiles import Seen
from napari_sem_classify.core.teach.transfer import teach_judges
from napari_sem_classify.core.teach.turned import MOST_COPIED, N_COPIES, Copies
from napari_sem_classify.core.tiles.grid import TileGrid

SIZES = (512, 1024, 2048)
EVERY = {"ebc": 3, "super": 1}
KNOBS = AS_IT_IS, "contrast x 1.6", "gamma .7", "gamma 1.4", "defocus 1 px", "shot noise"
PER_CLASS = 400


@dataclass(frozen=True, slots=True)
class Set:
    """Tiles of a set, annotated or not (-1), and what was seen in them with each knob turned."""

    labels: NDArray[np.int64]
    image: NDArray[np.int64]
    specimen: NDArray[np.int64]
    seen: dict[str, NDArray[np.float32]]
    copies: NDArray[np.float32]
    classes: int


def load(name: str, data: Path, cache: Path) -> Set:
    """A set from what `benchmarks/knob.py` kept."""
    source = name.rstrip("23")
    every, (classes, contains) = EVERY[source], CLASSES[name]
    pairs, labels = nasa_pairs(data, source), []
    for image, mask, _ in pairs:
        grid = TileGrid(Area(0, *_ends(image)), TILE, TILE)
        found = tiles_from_mask(mask, grid, list(classes.items()), contains=contains)
        labels.append(found.labels.ravel()[::every])
    with np.load(cache / f"knob-{source}-{every}.npz") as file:
        seen = {key: file[key].astype(np.float32) for key in file.files}
    sizes = [len(each) for each in labels]
    names = np.unique([specimen for *_, specimen in pairs], return_inverse=True)[1]
    copies = np.stack([seen.pop(f"copy {number}") for number in range(N_COPIES)], axis=1)
    image_of = np.repeat(np.arange(len(pairs)), sizes)
    joined = np.concatenate(labels).astype(np.int64)
    return Set(joined, image_of, np.repeat(names, sizes), seen, copies, len(classes))


def judged(some: Set, taught: NDArray[np.int64], seed: int, with_copies: bool) -> Iterator[Row]:
    """Knob, true accuracy and judgement of each image that did not teach."""
    generator = np.random.default_rng(seed)
    known = ~np.isnan(some.seen[AS_IT_IS]).any(axis=1)
    there = np.flatnonzero(np.isin(some.specimen, taught) & known)
    labels = np.full(len(some.labels), -1)
    copied = []
    for number in range(some.classes):
        mine = generator.permutation(there[some.labels[there] == number])[:PER_CLASS]
        labels[mine] = number
        copied.append(mine[: MOST_COPIED // some.classes])
    if any(not len(each) for each in copied):
        return
    turned, rows = np.concatenate(copied), there
    turned = turned[~np.isnan(some.copies[turned]).any(axis=(1, 2))]
    copies = Copies(
        some.copies[turned].reshape(-1, sum(SIZES)),
        np.repeat(np.searchsorted(rows, turned), N_COPIES),
    )
    features = some.seen[AS_IT_IS]
    told = rows[labels[rows] >= 0]
    at = np.searchsorted(told, rows[copies.of])
    how = FitOptions(
        some.image[told],
        specimens=some.specimen[told],
        copies=Copies(copies.features, at) if with_copies else None,
    )
    names = tuple(f"class {number}" for number in range(some.classes))
    model = teach_head(features[told], labels[told], names, how)
    seen = Seen(
        features[rows],
        some.labels[rows],
        some.image[rows],
        some.specimen[rows],
        copies=(copies, copies.features) if with_copies else None,
    )
    how_far = model.strength, model.temperature
    stages, transfer = teach_judges(seen, some.classes, SIZES, *how_far, seed)
    for image in np.unique(some.image[~np.isin(some.specimen, taught)]):
        for knob in KNOBS:
            here = np.flatnonzero(some.image == image)
            here = here[~np.isnan(some.seen[knob][here]).any(axis=1)]
            truth = some.labels[here]
            if np.count_nonzero(truth >= 0) < 10:
                continue
            mine = some.seen[knob][here]
            found = model.head.probabilities(mine, model.temperature)
            parts = (mine @ stages.stacked().T).reshape(len(mine), 3, -1) + stages.bias
            agreed = agreement_of([parts[:, stage].argmax(axis=1) for stage in range(3)])
            right = (found.argmax(axis=1) == truth)[truth >= 0].mean()
            yield knob, float(right), judge(agreed, found, stages.distance(mine), transfer)


Row = tuple[str, float, Judgement]


def tell(what: str, rows: list[Row]) -> None:
    """Counts of some images."""
    low = np.array([right <= (told.promise or 0) - 0.1 for _, right, told in rows])
    alarm = np.array([told.verdict in ("unlike", "very unlike") for *_, told in rows])
    gaps = [abs(told.expected.estimate - right) for _, right, told in rows if told.expected]
    print(
        f"| {what} | {len(rows)} | {100 * np.mean(gaps):.1f} | {np.sum(low & alarm)} of {low.sum()}"
        f" | {np.sum(~low & alarm)} of {np.sum(~low)} |",
        flush=True,
    )


def main() -> None:
    """Print a table: images as they are, turned, and all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["super2", "super3", "ebc2", "ebc3"])
    parser.add_argument("--taught", nargs="+", type=int, default=[3, 0], help="0: all but one.")
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--no-copies", action="store_true")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True)
    given = parser.parse_args()
    found: dict[str, list[Row]] = defaultdict(list)
    print("| set | images | mean error | found low | false alarms |")
    for name in given.sets:
        some = load(name, given.data, given.cache)
        numbers = np.unique(some.specimen)
        for taught in given.taught:
            for seed in range(given.draws if taught else len(numbers)):
                generator = np.random.default_rng([seed, taught])
                mine = generator.choice(numbers, taught, replace=False) if taught else numbers
                mine = np.setdiff1d(mine, [] if taught else [numbers[seed]])
                for row in judged(some, mine, seed, not given.no_copies):
                    where = f"{name}, {taught or 'all but one'}"
                    what = "as they are" if row[0] == AS_IT_IS else "turned"
                    found[f"{where}, {what}"].append(row)
                    found[f"all, {what}"].append(row)
    for what, rows in found.items():
        tell(what, rows)


if __name__ == "__main__":
    main()
