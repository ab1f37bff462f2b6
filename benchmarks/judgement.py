"""How well does the program know whether a model holds on another specimen?

Some specimens teach a model as the program does, copies with turned knobs too; it then judges the
images of all the others: as they are, and as they would look had the operator turned a knob. What
is expected is set beside the true accuracy. With `--taught 0` each specimen is left out once, else
so many specimens are drawn, again and again.

    python benchmarks/judgement.py [--sets super2 ebc2 ebc3] [--knobs as-is blur1 noise gamma1.4]
        [--taught 0 3 4] [--draws 6] [--tiles 100] [--no-copies]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transfer import NETWORK_PX, Material, _frames, draw, load, splits

from napari_sem_classify.core.classify.judgement import judgement_on
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings, surroundings_for
from napari_sem_classify.core.model.transfer import Judgement
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.teach.head_fit import FitOptions, Taught
from napari_sem_classify.core.teach.lesson import Lesson, part_of
from napari_sem_classify.core.teach.lesson_fit import fit_lesson
from napari_sem_classify.core.teach.looked import SeenTiles, Sight, look
from napari_sem_classify.core.teach.transfer import with_judgement
from napari_sem_classify.core.teach.turned import MOST_COPIED, Copies, look_at_copies

AS_IS = "as-is"
Pixels = NDArray[np.float64]


def _blurred(pixels: Pixels) -> Pixels:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(pixels, 1.0)


def _noisy(pixels: Pixels) -> Pixels:
    return pixels + np.random.default_rng(0).normal(0, 8, pixels.shape)


KNOBS: dict[str, Callable[[Pixels], Pixels]] = {
    "blur1": _blurred,
    "noise": _noisy,
    "gamma0.7": lambda pixels: 255 * (pixels / 255) ** 0.7,
    "gamma1.4": lambda pixels: 255 * (pixels / 255) ** 1.4,
    "contrast1.6": lambda pixels: pixels.mean() + 1.6 * (pixels - pixels.mean()),
}


def turned(source: str, data: Path, cache: Path, knob: str) -> dict[str, NDArray[np.float16]]:
    """Features of all tiles of each image, with a knob turned; kept in `cache`."""
    path = cache / f"judgement-{source}-{knob}.npz"
    if not path.exists():
        engine = make_engine(network_px=NETWORK_PX[source])
        recipe, found = Recipe(network_px=NETWORK_PX[source]), {}
        for key, (image, grid), _, _ in _frames(source, data):
            pixels = np.asarray(image.data[:], dtype=np.float64)
            other = np.clip(KNOBS[knob](pixels), 0, 255).astype(np.uint8)
            sight = Sight(key, replace(image, data=other, path=None), grid)
            found[key] = look(sight, recipe, engine).features.astype(np.float16)
        np.savez(path, **found)
    with np.load(path) as kept:
        return {key: kept[key] for key in kept.files}


COPIED = 24
"""Tiles of a class and image of which there are copies to draw from."""


def copies_of(name: str, material: Material, data: Path, cache: Path) -> Copies:
    """Copies of some tiles of each class and image of a set; kept in `cache`."""
    source, lesson = name.rstrip("23"), material.lesson
    path = cache / f"judgement-{name}-copies.npz"
    if not path.exists():
        engine = make_engine(network_px=NETWORK_PX[source])
        recipe = Recipe(network_px=NETWORK_PX[source])
        frames = {key: of for key, of, _, _ in _frames(source, data)}
        found = []
        for number, key in enumerate(lesson.keys):
            mine = lesson.places.image == number
            labels = np.where(mine, lesson.labels, -1)
            few = [draw_of(labels, k) for k in range(len(lesson.classes))]
            rows = np.sort(np.concatenate(few))
            sight = Sight(key, *frames[key], lesson.numbers[rows])
            seen = look_at_copies(sight, recipe, engine)
            found.append(seen.of(replace(lesson.seen[key], recipe=recipe), seen.index, 0))
            at = rows[np.searchsorted(lesson.numbers[rows], seen.index)]
            found[-1] = Copies(found[-1].features, at[found[-1].of])
        joined = Copies.joined(found)
        assert joined is not None
        np.savez(path, features=joined.features.astype(np.float16), of=joined.of)
    with np.load(path) as kept:
        return Copies(kept["features"].astype(np.float32), kept["of"])


def draw_of(labels: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """At most `COPIED` of the tiles of a class."""
    return np.random.default_rng(0).permutation(np.flatnonzero(labels == number))[:COPIED]


def with_copies(lesson: Lesson, rows: NDArray[np.int64], copies: Copies, seed: int) -> Lesson:
    """The lesson of some tiles with as many copies as the program makes."""
    some = part_of(lesson, rows)
    of = np.unique(copies.of[np.isin(copies.of, rows)])
    generator, most = np.random.default_rng(seed), MOST_COPIED // len(lesson.classes)
    chosen = np.concatenate(
        [
            generator.permutation(of[lesson.labels[of] == number])[:most]
            for number in range(len(lesson.classes))
        ]
    )
    mine = np.isin(copies.of, chosen)
    at = np.searchsorted(rows, copies.of[mine])
    return replace(some, copies=Copies(copies.features[mine], at))


def taught_on(lesson: Lesson, wished: tuple[Surroundings, ...]) -> Taught:
    """A model as `teach` makes it."""
    how = FitOptions(lesson.places.image, lesson.places, specimens=lesson.specimen_numbers)
    return with_judgement(lesson, fit_lesson(lesson, wished, how), 0)


def judged(taught: Taught, seen: SeenTiles) -> tuple[PlaneScores, Judgement]:
    """What a model says of an image, and what is to be expected of it."""
    how = taught.surroundings, taught.temperature
    scores = PlaneScores(taught.head, *how, seen.grid, stages=taught.stages)
    scores.add(seen.index, seen.features)
    assert taught.transfer is not None
    return scores, judgement_on(scores, taught.transfer)


@dataclass(frozen=True, slots=True)
class Wish:
    """Specimens that teach (0 for all but one), how often, tiles a class and with what."""

    taught: int
    seeds: int
    tiles: int
    copies: Copies | None
    wished: tuple[Surroundings, ...]


Drawn = Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]
"""Seed, rows to teach and rows to judge."""


def draws(material: Material, name: str, taught: int, seeds: int) -> Drawn:
    """Each specimen left out, or so many specimens drawn."""
    if not taught:
        for train, test in splits(material, name, 0):
            yield 0, train, test
        return
    specimens = np.unique(material.specimens)
    for seed in range(seeds):
        generator = np.random.default_rng([seed, taught])
        mine = np.isin(material.specimens, generator.choice(specimens, taught, replace=False))
        yield seed, np.flatnonzero(mine), np.flatnonzero(~mine)


def study(
    name: str, material: Material, others: dict[str, dict[str, NDArray[np.float16]]], wish: Wish
) -> Iterator[tuple[str, float, Judgement]]:
    """Knob, true accuracy and judgement of each image of the specimens left out."""
    lesson = replace(material.lesson, specimens=_specimens(material))
    for seed, train, test in draws(material, name, wish.taught, wish.seeds):
        rows = train[draw(lesson.labels[train], wish.tiles, seed)]
        if len(np.unique(lesson.labels[rows])) < len(lesson.classes):
            continue
        some = part_of(lesson, rows)
        if wish.copies is not None:
            some = with_copies(lesson, rows, wish.copies, seed)
        taught = taught_on(some, wish.wished)
        for image in np.unique(lesson.places.image[test]):
            mine = test[lesson.places.image[test] == image]
            key = lesson.keys[image]
            for knob in (AS_IS, *others):
                seen = lesson.seen[key]
                if knob != AS_IS:
                    mean = others[knob][key].mean(axis=0, dtype=np.float32)
                    seen = replace(seen, features=others[knob][key], mean=mean)
                scores, judgement = judged(taught, seen)
                said = scores.probabilities().reshape(-1, len(lesson.classes)).argmax(axis=1)
                right = said[lesson.numbers[mine]] == lesson.labels[mine]
                yield knob, float(right.mean()), judgement
                expected = judgement.expected
                told = "-" if expected is None else f"{expected.estimate:.3f}"
                print(
                    f"{name} {wish.taught} {seed} {key[:28]:28} {knob:11} "
                    f"true {right.mean():.3f} expected {told} "
                    f"promised {judgement.promise or 0:.3f} {judgement.verdict}",
                    flush=True,
                )


def _specimens(material: Material) -> tuple[str, ...]:
    image = material.lesson.places.image
    return tuple(
        str(material.specimens[image == number][0]) for number in range(len(material.lesson.keys))
    )


def tell(name: str, knob: str, found: list[tuple[float, Judgement]]) -> None:
    """One row of the table."""
    gaps, inside, alarms, low = [], [], [], []
    for right, judgement in found:
        expected = judgement.expected
        if expected is not None:
            gaps.append(abs(expected.estimate - right))
            inside.append(expected.low <= right <= expected.high)
        low.append(right <= (judgement.promise or 0) - 0.1)
        alarms.append(judgement.verdict in ("unlike", "very unlike"))
    off = 100 * float(np.mean(gaps)) if gaps else float("nan")
    bad, warned = np.array(low), np.array(alarms)
    print(
        f"| {name} | {knob} | {len(found)} | {off:.1f} | "
        f"{sum(inside)} of {len(inside)} | {np.sum(bad & warned)} of {np.sum(bad)} | "
        f"{np.sum(~bad & warned)} of {np.sum(~bad)} |",
        flush=True,
    )


def main() -> None:
    """Print a row an image, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["super2", "ebc2", "ebc3"])
    parser.add_argument("--knobs", nargs="*", default=list(KNOBS))
    parser.add_argument("--taught", nargs="+", type=int, default=[0])
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--tiles", type=int, default=0, help="A class; all where 0.")
    parser.add_argument("--no-copies", action="store_true")
    parser.add_argument("--alone", action="store_true", help="Do not choose surroundings.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "tile-sets")
    given = parser.parse_args()
    wished = (ALONE,) if given.alone else surroundings_for()
    for name in given.sets:
        material = load(name, given.data, given.cache)
        source = name.rstrip("23")
        others = {knob: turned(source, given.data, given.cache, knob) for knob in given.knobs}
        copies = None if given.no_copies else copies_of(name, material, given.data, given.cache)
        for taught in given.taught:
            wish = Wish(taught, given.draws, given.tiles, copies, wished)
            found = list(study(name, material, others, wish))
            print(
                "| set | knob | images | mean error | in the interval | found low | false alarms |"
            )
            for knob in (AS_IS, *given.knobs):
                tell(name, knob, [(right, each) for which, right, each in found if which == knob])
            tell(name, "all", [(right, each) for _, right, each in found])


if __name__ == "__main__":
    main()
