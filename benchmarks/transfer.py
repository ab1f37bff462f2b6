"""Does a model carry over to the next specimen, and what do the surroundings of a tile add to it?

Each specimen in turn is left out; 5, 20, 100 or all tiles a class of the others teach. Of the NCM
cathodes, whose classes are one specimen each, the end of each scanned strip is left out, a tile
away from the rest, and every frame counts as an image. All that the program does is used as it is:
only the tiles are drawn here.

    python benchmarks/transfer.py [--sets ebc2 ebc3 super2 super3 ncm] [--budgets 5 20 100 0]
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tile_sets import CLASSES, NCM_ROWS, NCM_STEP, load_index, nasa_pairs, whole_grid

from napari_sem_classify.core.annotate.annotation import tiles_from_mask
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings, surroundings_for
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.teach.folds import TilePlaces
from napari_sem_classify.core.teach.head_fit import FitOptions, Taught
from napari_sem_classify.core.teach.learn import tile_probabilities
from napari_sem_classify.core.teach.lesson import Lesson, part_of
from napari_sem_classify.core.teach.lesson_fit import fit_lesson
from napari_sem_classify.core.teach.looked import SeenTiles, Sight, look
from napari_sem_classify.core.tiles.grid import TileGrid

TILE_PX = {"ebc": 64, "super": 64, "ncm": 224}
NETWORK_PX = {"ebc": 128, "super": 128, "ncm": 224}
TRIED = (
    ALONE,
    Surroundings(context=True),
    Surroundings(alignment=0.5),
    Surroundings(alignment=1.0),
    Surroundings(context=True, alignment=0.5),
    Surroundings(context=True, alignment=1.0),
    Surroundings(smoothing=0.4),
)


@dataclass(frozen=True, slots=True)
class Material:
    """All tiles of a set as one lesson, and the specimen of each.

    `y` is where a tile lies in the strip that it was taken from.
    """

    lesson: Lesson
    specimens: NDArray[np.str_]
    y: NDArray[np.int64]


def load(name: str, data: Path, cache: Path) -> Material:
    """Load a set; what the network sees in it is kept in `cache`."""
    source = name.rstrip("23")
    path = cache / f"transfer-{source}-{TILE_PX[source]}-{NETWORK_PX[source]}.npz"
    frames = list(_frames(source, data))
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        engine = make_engine(network_px=NETWORK_PX[source])
        recipe = Recipe(network_px=NETWORK_PX[source])
        found = [look(Sight(key, *of), recipe, engine).features for key, of, _, _ in frames]
        np.savez(path, **{str(n): each.astype(np.float16) for n, each in enumerate(found)})
    with np.load(path) as kept:
        features = [kept[str(number)] for number in range(len(frames))]
    if source == "ncm":
        names = sorted({specimen for _, _, specimen, _ in frames})
        labels = [
            np.full(grid.n_tiles, names.index(specimen)) for _, (_, grid), specimen, _ in frames
        ]
    else:
        classes, contains = CLASSES[name]
        names = list(classes.values())
        labels = [
            tiles_from_mask(mask, grid, classes, contains=contains).labels.ravel()
            for (_, mask, _), (_, (_, grid), _, _) in zip(
                nasa_pairs(data, source), frames, strict=True
            )
        ]
    presence = source != "ncm" and bool(CLASSES[name][1])
    return _material(frames, features, labels, names, presence, TILE_PX[source])


Frame = tuple[str, tuple[SemImage, TileGrid], str, int]
"""Key, image and tiles, specimen, row of the strip at which it begins."""


def _frames(source: str, data: Path) -> Iterator[Frame]:
    tile = TILE_PX[source]
    if source != "ncm":
        for image, _, specimen in nasa_pairs(data, source):
            grid = whole_grid(image, tile)
            yield image.name, (image.with_area(grid.area), grid), specimen, 0
        return
    last: dict[str, int] = {}
    for path, row in load_index(data).items():
        if not re.match(r"ncm_cathode.*jpg$", path):
            continue
        top = int(dict(part.split("=") for part in row["note"].split(";"))["y0"])
        if top - last.get(row["class"], -NCM_STEP) < NCM_STEP:
            continue  # a frame that shows almost what the last one did
        last[row["class"]] = top
        image = open_image(data / row["path"])
        image = image.with_area(Area(*NCM_ROWS, 0, image.shape[1]))
        yield path, (image, TileGrid(image.area, tile, tile)), row["class"], top


def _material(
    frames: list[Frame],
    features: list[NDArray[np.float16]],
    labels: list[NDArray[np.int64]],
    names: list[str],
    presence: bool,
    tile: int,
) -> Material:
    seen, tiles, parts = {}, [], []
    for number, ((key, (_, grid), specimen, top), found, mine) in enumerate(
        zip(frames, features, labels, strict=True)
    ):
        index = np.arange(grid.n_tiles)
        mean = found.mean(axis=0, dtype=np.float64).astype(np.float32)
        seen[key] = SeenTiles(grid, index, found, mean=mean)
        rows, cols = np.divmod(index, grid.tile_shape[1])
        y, x = grid.row_starts()[rows], grid.col_starts()[cols]
        known = mine >= 0
        tiles += [(key, (int(a), int(b), tile)) for a, b in zip(y[known], x[known], strict=True)]
        parts.append(
            (
                found[known].astype(np.float32),
                mine[known],
                np.full(known.sum(), number),
                y[known],
                x[known],
                index[known],
                np.full(known.sum(), specimen),
                y[known] + top,
            )
        )
    joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
    colours = default_colours(len(names))
    lesson = Lesson(
        joined[0],
        joined[1].astype(np.int64),
        TilePlaces(joined[2], joined[3], joined[4], tile),
        tuple(seen),
        tuple(tiles),
        tuple(ClassInfo(str(each), colours[n]) for n, each in enumerate(names)),
        numbers=joined[5],
        seen=seen,
        presence=presence,
    )
    return Material(lesson, joined[6], joined[7])


def splits(material: Material, name: str, seed: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Rows to learn from and rows to score, one split a specimen."""
    if name != "ncm":
        for specimen in np.unique(material.specimens):
            held = material.specimens == specimen
            yield np.flatnonzero(~held), np.flatnonzero(held)
        return
    train, test = [], []
    for number in range(len(material.lesson.classes)):
        mine = np.flatnonzero(material.lesson.labels == number)
        y = material.y[mine] if seed % 2 else -material.y[mine]
        border = np.quantile(y, 0.6)
        test.append(mine[y >= border])
        train.append(mine[y <= border - material.lesson.places.tile_px])
    yield np.concatenate(train), np.concatenate(test)


def draw(labels: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.int64]:
    """`per_class` random tiles of each class, all where that is 0 or there are fewer."""
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    return np.sort(np.concatenate([each[: per_class or None] for each in drawn]))


def teach(
    material: Material, name: str, rows: NDArray[np.int64], wished: tuple[Surroundings, ...]
) -> Taught:
    """The program's way, by specimen, or of the cathodes by frame."""
    some = part_of(material.lesson, rows)
    specimens = None
    if name != "ncm":
        specimens = np.unique(material.specimens, return_inverse=True)[1][rows]
    how = FitOptions(some.places.image, some.places, specimens=specimens)
    return fit_lesson(some, wished, how)


def true_macro_f1(material: Material, taught: Taught, test: NDArray[np.int64]) -> float:
    """Macro-F1 on tiles that the model did not learn from."""
    some = part_of(material.lesson, test)
    keys = np.array([key for key, _ in some.tiles])
    predicted = np.empty(len(test), dtype=np.int64)
    for key in np.unique(keys):
        mine = keys == key
        found = tile_probabilities(taught, some.seen[str(key)])
        predicted[mine] = found.reshape(-1, found.shape[-1])[some.numbers[mine]].argmax(axis=1)
    return score(some.labels, predicted, len(some.classes)).macro_f1


def study(material: Material, name: str, per_class: int, seeds: int) -> None:
    """Print the true macro-F1 of each way, and of what the program chose."""
    true: dict[str, list[float]] = {}
    chosen: Counter[str] = Counter()
    tried = list(dict.fromkeys(TRIED))
    if name == "ncm":
        tried = [each for each in tried if not each.alignment]
    if material.lesson.presence:
        tried = [each for each in tried if not each.smoothing]
    for seed in range(seeds if per_class or name == "ncm" else 1):
        if name == "ncm" and not per_class and seed > 1:
            break  # there are two ways to split a strip
        for train, test in splits(material, name, seed):
            rows = train[draw(material.lesson.labels[train], per_class, seed)]
            heads = {each: teach(material, name, rows, (each,)) for each in tried}
            picked = teach(material, name, rows, surroundings_for())
            for each, taught in heads.items():
                true.setdefault(each.title, []).append(true_macro_f1(material, taught, test))
            true.setdefault("chosen", []).append(true_macro_f1(material, picked, test))
            chosen[picked.surroundings.title] += 1
    base = np.array(true[ALONE.title])
    print(f"{name} | {per_class or 'all'} tiles a class | {len(base)} splits | {dict(chosen)}")
    for title, values in true.items():
        gain = np.array(values) - base
        print(f"    {title}: {np.mean(values):.3f} ({gain.mean():+.3f}, worst {gain.min():+.3f})")
    print(flush=True)


def main() -> None:
    """Run the study on all sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*CLASSES, "ncm"]
    parser.add_argument("--sets", nargs="+", default=names, choices=names)
    parser.add_argument("--budgets", nargs="+", type=int, default=[5, 20, 100, 0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    wish = parser.parse_args()
    for name in wish.sets:
        material = load(name, wish.data, wish.cache)
        for per_class in wish.budgets:
            study(material, name, per_class, wish.seeds)


if __name__ == "__main__":
    main()
